"""Rows as grids: series that are walked together, and the cell that each row falls into.

How cells are scored is in `walk.py`; how wide they are is told by `lattice.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.evaluation.lattice import cell_of
from iot_pipeline.anomalies.evaluation.stamps import read_stamps
from iot_pipeline.clock import DAY

LARGEST = 1e18
"""Values beyond count as this. No instrument shows them, and their squares must be numbers."""

EPOCH = datetime.fromtimestamp(0, UTC)
HOUR = timedelta(hours=1)

CELLS = 2_000_000
"""Cells that are walked together, at most: bounds memory. A single series may have more."""


@dataclass(frozen=True, slots=True)
class Group:
    """Series that are learned and scored together: same interval, same begin, learned from until the same cell.

    Attributes:
        names: identity of the subjects in the order of the arrays, which is that of their names.
        rows: of each row with a time stamp: row, subject's place, column, column of the row `before` it in its series
            (-1: none), and whether it is still `learning`; by place and time.
        values: (subjects x channels, columns), NaN where nothing was read.
        first: number of column 0; columns are `step` apart, beginning in 1970.
        step: interval.
        start: instant of column 0, to the hour: readings of every morning at six are not those of midnight.
        fit: column of the first instant to score.
    """

    names: pl.DataFrame
    rows: pl.DataFrame
    values: NDArray[np.float64]
    first: int
    step: timedelta
    start: datetime
    fit: int


def rows_of(frame: pl.DataFrame, names: Sequence[str], ts_unit: str | None) -> pl.DataFrame:
    """Rows by number: row, subject (dense number of the series), series, us (UTC), and the channels as `c0`, `c1`...

    Channels get names of our own: those from outside could be any of ours.
    """
    subjects = frame.select("series").unique(maintain_order=True).with_row_index("subject")
    numbers = [pl.col(name).cast(pl.Float64, strict=False).alias(f"c{place}") for place, name in enumerate(names)]
    return (
        frame.select("series", *numbers)
        .with_columns(read_stamps(frame["ts"], ts_unit).us.alias("us"))
        .with_row_index("row")
        .join(subjects, on="series", how="left", nulls_equal=True, maintain_order="left")
    )


def groups_of(rows: pl.DataFrame, clocks: pl.DataFrame, *, channels: int) -> Iterator[Group]:
    """The groups, one after the other.

    Args:
        rows: of `rows_of`.
        clocks: of `lattice.clocks`; series without one are left out.
        channels: how many channels rows have.
    """
    spans = clocks.with_columns(
        cell_of(pl.col("fit_us")).alias("fit"),
        (pl.col("phase") // (HOUR // timedelta(microseconds=1))).alias("hours"),
        (pl.col("first") // (DAY // timedelta(microseconds=1))).alias("day"),
        # Series of ten days and of ten years in one array would be mostly holes.
        ((pl.col("last") - pl.col("first")) / pl.col("step") + 1).log(2).ceil().alias("octave"),
    )
    alike = ["step", "hours", "fit", "day", "octave"]
    together = (CELLS / channels / pl.lit(2).pow(pl.col("octave"))).floor().clip(lower_bound=1).cast(pl.Int64)
    part = pl.int_range(pl.len()).over(alike) // together
    spans = spans.with_columns(part.alias("part")).with_columns(pl.struct(*alike, "part").rank("dense").alias("group"))
    placed = (
        rows.drop_nulls("us")
        .join(spans.select("subject", "step", "phase", "fit_us", "group"), on="subject")
        .with_columns(cell_of(pl.col("us")).alias("cell"), (pl.col("us") < pl.col("fit_us")).alias("learning"))
        .drop("step", "phase", "fit_us")
    )
    members = placed.partition_by("group", as_dict=True, include_key=False, maintain_order=True)
    del placed
    told = {group: clock for group, *clock in spans.select("group", "step", "hours", "fit").iter_rows()}
    for key in sorted(members):
        step, hours, fit = told[key[0]]
        yield _group(members.pop(key), timedelta(microseconds=step), hours * HOUR, fit, channels)


def _group(members: pl.DataFrame, step: timedelta, offset: timedelta, fit: int, channels: int) -> Group:
    subjects = members.select("subject", "series").unique("subject").sort(pl.col("series").cast(pl.String))
    subjects = subjects.with_row_index("place")
    members = members.drop("series").join(subjects.select("subject", "place"), on="subject").sort("place", "us", "row")
    cell, place = members["cell"].to_numpy(), members["place"].to_numpy().astype(np.int64)
    first = int(cell.min())
    values = np.full((subjects.height * channels, int(cell.max()) - first + 1), np.nan)
    for channel in range(channels):
        value = pl.col(f"c{channel}")
        means = (
            members.filter(pl.struct("place", "us").is_first_distinct() & value.is_finite())
            .group_by("place", "cell", maintain_order=True)
            .agg(value.clip(-LARGEST, LARGEST).mean().alias("mean"))
        )
        line = means["place"].to_numpy().astype(np.int64) * channels + channel
        values[line, means["cell"].to_numpy() - first] = means["mean"].to_numpy()
    before = np.concatenate(([-1], np.where(place[1:] == place[:-1], cell[:-1] - first, -1)))
    rows = members.select(
        "row", pl.Series("place", place), pl.Series("column", cell - first), pl.Series("before", before), "learning"
    )
    # Cells of the year 1 may begin before it, where there are no dates.
    start = EPOCH + max(first * step + offset, datetime.min.replace(tzinfo=UTC) - EPOCH)
    fit = min(max(fit - first, 0), values.shape[1])
    return Group(subjects.select("series"), rows, values, first, step, start, fit)
