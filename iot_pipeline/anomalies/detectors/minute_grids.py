"""Rows of `device_minute` as arrays: one row a minute, one column a series, one array a statistic.

What is made of them is in the detectors, which files are read in `anomalies/flags.py`. Minutes of a fleet are put in
one after another, so that millions of rows are never a frame; what a minute says lies side by side in memory.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.numbering import MOST_RUNS, SERIES, Numbering
from iot_pipeline.anomalies.detectors.resolution import Floats
from iot_pipeline.clock import MINUTE

MOMENTS = ("count", "min", "max", "stddev", "first", "last")
MEANS = ("minute", *SERIES, "mean")
"""Columns of `device_minute` for detectors that look at means alone."""
STATISTICS = (*MEANS, *MOMENTS)
"""Columns of `device_minute` for all detectors."""

SPARE = 8
"""One part in this many of further series is made room for: making room again touches hundreds of megabytes."""


@dataclass(frozen=True, slots=True)
class MinuteGrids:
    """Statistics of some series by minute.

    Attributes:
        series: SERIES, one row a column of the arrays.
        first: minute of the first row (UTC).
        columns: by name of their column in `device_minute`: (minutes, series), NaN where nothing was read or it is not
            known. All end with the same minute; those of MOMENTS may begin later than `mean`.
    """

    series: pl.DataFrame
    first: datetime
    columns: Mapping[str, Floats]

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "MinuteGrids":
        """All of `rows` (STATISTICS, unique by series and minute), in any order."""
        begin, end = rows["minute"].min(), rows["minute"].max()
        if not isinstance(begin, datetime) or not isinstance(end, datetime):
            begin = end = datetime.fromtimestamp(0, UTC)
        return filled([rows], begin, end, moments_from=begin)

    def between(self, name: str, first: datetime, last: datetime) -> Floats:
        """The statistic `name` of the minutes `first` to `last` (UTC), both included; NaN where there are none."""
        known = self.columns[name]
        # The rows are counted from the end, where all statistics have theirs.
        begin = round((first - self.first) / MINUTE) - (len(self.columns["mean"]) - len(known))
        end = begin + round((last - first) / MINUTE) + 1
        if begin >= 0 and end <= len(known):
            return known[begin:end]
        wanted = np.full((max(end - begin, 0), known.shape[1]), np.nan)
        inside = slice(min(max(begin, 0), len(known)), max(min(end, len(known)), 0))
        wanted[inside.start - begin : inside.start - begin + len(known[inside])] = known[inside]
        return wanted


def filled(pieces: Iterable[pl.DataFrame], first: datetime, last: datetime, *, moments_from: datetime) -> MinuteGrids:
    """Put in rows piece by piece.

    Args:
        pieces: columns MEANS, and MOMENTS from `moments_from` on; unique by series and minute. Rows without a finite
            mean, and of other minutes, are left out.
        first: first minute (UTC).
        last: last minute (UTC), included.
        moments_from: first minute of which all statistics are kept; memory is 8 bytes for each of them.
    """
    width, late = (round((last - begin) / MINUTE) + 1 for begin in (first, moments_from))
    columns = {"mean": np.full((width, 0), np.nan), **{name: np.full((late, 0), np.nan) for name in MOMENTS}}
    numbering = Numbering()
    for minute, rows in _by_minute(pieces):
        row = round((minute - first) / MINUTE) - width
        if not -width <= row < 0:
            continue
        number = numbering.numbers(rows.select(SERIES))
        if numbering.series.height > columns["mean"].shape[1]:
            columns = {name: _wider(grid, numbering.series.height) for name, grid in columns.items()}
        at = slice(0, number.size) if np.array_equal(number, np.arange(number.size)) else number
        known = np.isfinite(rows["mean"].to_numpy())
        whole = bool(known.all())
        for name, grid in columns.items():
            if -row <= len(grid):
                told = rows[name].to_numpy()  # null is NaN
                grid[row, at] = told if whole else np.where(known, told, np.nan)
    count = numbering.series.height
    return MinuteGrids(numbering.series, first, {name: grid[:, :count] for name, grid in columns.items()})


def _wider(grid: Floats, series: int) -> Floats:
    """Room for `series` series, and for some that may come up later: the first minute seldom has all."""
    known = grid.shape[1]
    wider = np.full((len(grid), series + series // SPARE), np.nan)
    wider[:, :known] = grid
    return wider


def _by_minute(pieces: Iterable[pl.DataFrame]) -> Iterator[tuple[datetime, pl.DataFrame]]:
    for piece in pieces:
        mixed = piece["minute"].rle().len() > MOST_RUNS
        rows = piece.sort("minute", maintain_order=True) if mixed else piece
        start = 0
        for length, minute in rows["minute"].rle().struct.unnest().iter_rows():
            yield minute, rows[start : start + length]
            start += length
