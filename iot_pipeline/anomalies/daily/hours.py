"""Hours of a day and of the days before it as grids, some series at a time. What is unusual in them is `scoring.py`.

Hours instead of minutes: what shows in less is the minute tier's, and they are kept for as long as days are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.models.history import numbers
from iot_pipeline.clock import DAY, day_start
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import DEVICE_HOUR_SCHEMA, published_file

HOUR = timedelta(hours=1)
DAY_HOURS = 24

MOST_DAYS = 28
"""Days before the day that are learned from: four of each day of the week."""

LATELY = 7 * DAY
"""A series that was silent for longer is not scored."""

CELLS_AT_ONCE = 1_500_000
"""Cells of a grid that are in memory at a time, some 2,000 series: windows of them are 24 times as much."""

_SCHEMA = {name: DEVICE_HOUR_SCHEMA[name] for name in ("hour", *SERIES, "mean")}


@dataclass(frozen=True, slots=True)
class DayHours:
    """The hours of a day and of at most MOST_DAYS before it.

    Attributes:
        day: the day (UTC).
        first: first hour of the oldest day with any (UTC).
        rows: lazily, hour, SERIES and mean; without running totals by name.
    """

    day: date
    first: datetime
    rows: pl.LazyFrame

    @property
    def past(self) -> int:
        """Hours before the day: columns of a grid that may be learned from."""
        return round((day_start(self.day) - self.first) / HOUR)

    def series(self) -> pl.DataFrame:
        """SERIES that spoke in the week before the day, sorted: others begin anew, and have no past yet.

        The day itself does not choose them: what it brings in its last hour must not change what its first is
        measured by.
        """
        begin = day_start(self.day)
        spoke = self.rows.filter(pl.col("hour").is_between(begin - LATELY, begin, closed="left"))
        return spoke.select(SERIES).unique().sort(SERIES).collect()

    def grids(self, series: pl.DataFrame) -> Iterator[Grid]:
        """Means of the hours of some of `series` at a time, in their order; NaN where nothing was read."""
        size = max(CELLS_AT_ONCE // (self.past + DAY_HOURS), 1)
        for start in range(0, series.height, size):
            part = series[start : start + size]
            # Sorted by device: a range of names is what Parquet can skip by.
            first, last = (pl.lit(part["device_id"][place], pl.String) for place in (0, -1))
            yield self._grid(part, self.rows.filter(pl.col("device_id").is_between(first, last)).collect())

    def _grid(self, part: pl.DataFrame, rows: pl.DataFrame) -> Grid:
        known = rows.join(part.with_row_index("row"), on=SERIES, how="inner", nulls_equal=True).filter(
            pl.col("mean").is_finite()
        )
        values = np.full((part.height, self.past + DAY_HOURS), np.nan)
        column = (known["hour"] - self.first).dt.total_hours().to_numpy()
        values[known["row"].to_numpy(), column] = known["mean"].to_numpy()
        return Grid(part.select(SERIES), self.first, HOUR, values)


def hours_of(paths: DataPaths, day: date) -> DayHours | None:
    """The hours of `day` and before; None where nothing was read on the day, or on no day before it."""
    days = [day - offset * DAY for offset in range(MOST_DAYS, -1, -1)]
    frames = {one: frame for one in days if (frame := _read(paths, one)) is not None}
    if day not in frames or len(frames) == 1:
        return None
    return DayHours(day, day_start(min(frames)), numbers(pl.concat(frames.values())))


def _read(paths: DataPaths, day: date) -> pl.LazyFrame | None:
    path = published_file(paths, "device_hour", day)
    if not path.exists():
        return None
    rows = pl.scan_parquet(
        path, hive_partitioning=False, schema=_SCHEMA, missing_columns="insert", extra_columns="ignore"
    )
    return rows if rows.select(pl.len()).collect().item() else None
