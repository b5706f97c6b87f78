"""Dense numbers for series, so that arrays take the place of joins.

A fleet says the same minute after minute: where a minute's rows name the series of the minute before in the same order,
their numbers are taken over, and nothing is looked up.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

SERIES = ("device_id", "metric", "unit")

MOST_RUNS = 1000
"""Pieces of one minute each that are compared; rows that are more mixed are looked up together."""


def series_in(rows: pl.DataFrame) -> pl.DataFrame:
    """SERIES of `rows` (columns minute and SERIES), each once, in the order of their first row."""
    told = [names for names, is_new in _by_minute(rows) if is_new]
    return pl.concat([rows.select(SERIES).clear(), *told]).unique(maintain_order=True)


def series_numbers(rows: pl.DataFrame, series: pl.DataFrame) -> NDArray[np.int64]:
    """For each of `rows` (columns minute and SERIES) the number of its series in `series`, -1 for none."""
    numbers = [np.zeros(0, np.int64)]
    for names, is_new in _by_minute(rows):
        numbers.append(_looked_up(names, series) if is_new else numbers[-1])
    return np.concatenate(numbers)


def _by_minute(rows: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, bool]]:
    """SERIES of each minute's rows, and whether they are other ones than those before; at most MOST_RUNS pieces."""
    names = rows.select(SERIES)
    lengths = rows["minute"].rle().struct.field("len").to_list()
    if len(lengths) > MOST_RUNS:
        lengths = [rows.height]
    start = 0
    before: pl.DataFrame | None = None
    for length in lengths:
        piece = names[start : start + length]
        yield piece, before is None or not piece.equals(before, null_equal=True)
        before = piece
        start += length


def _looked_up(names: pl.DataFrame, series: pl.DataFrame) -> NDArray[np.int64]:
    known = series.select(SERIES).with_row_index("number")
    found = names.join(known, on=SERIES, how="left", nulls_equal=True, maintain_order="left")
    return found["number"].cast(pl.Int64).fill_null(-1).to_numpy()
