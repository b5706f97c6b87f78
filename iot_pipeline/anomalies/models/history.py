"""Minutes of past days for learning: which days, which of their series at a time, and what is left out.

Read straight from the files of `device_minute` with only the columns that are needed: days of a large fleet do not
fit into memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.rolling_z import RollingZ
from iot_pipeline.anomalies.models.minute_grid import READ
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import DEVICE_MINUTE_SCHEMA, device_minute_tree

MOST_DAYS = 14
"""Days that are learned from: two of each day of the week, and a season's change is forgotten within them."""

MOST_ROWS = 120_000_000
"""Rows that are learned from. A fleet that fills them sooner learns from fewer days, one at least."""

CELLS_AT_ONCE = 16_000_000
"""Cells of a grid that are in memory at a time."""

_SCHEMA = {name: DEVICE_MINUTE_SCHEMA[name] for name in READ}


@dataclass(frozen=True, slots=True)
class History:
    """The minutes of some days.

    Attributes:
        first: first minute (UTC).
        last: last minute (UTC), included.
        rows: lazily, columns READ, without running totals by name.
    """

    first: datetime
    last: datetime
    rows: pl.LazyFrame

    @property
    def minutes(self) -> int:
        """Number of columns of a grid of it."""
        return round((self.last - self.first) / MINUTE) + 1

    def counts(self) -> pl.DataFrame:
        """Columns minute, series: how many series spoke; sorted."""
        return self.rows.group_by("minute").agg(pl.len().alias("series")).sort("minute").collect()

    def series(self) -> pl.DataFrame:
        """SERIES, sorted."""
        return self.rows.select(SERIES).unique().sort(SERIES).collect()

    def parts(self, series: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Some of `series` at a time, in their order, with their rows."""
        size = max(CELLS_AT_ONCE // self.minutes, 1)
        for start in range(0, series.height, size):
            part = series[start : start + size]
            if part.height == series.height:
                yield part, self.rows.collect()
                continue
            # Sorted by device: a range of names is what Parquet can skip by.
            first, last = (pl.lit(part["device_id"][place], pl.String) for place in (0, -1))
            devices = pl.col("device_id").is_between(first, last)
            yield part, self.rows.filter(devices).collect()


def history(paths: DataPaths, first: datetime, last: datetime) -> History:
    """The minutes `first` to `last`, both included (UTC), of whatever days they are."""
    days = [(first.date() + offset * DAY) for offset in range((last.date() - first.date()).days + 1)]
    frames = [_day(paths, day) for day in days]
    rows = pl.concat([frame for frame in frames if frame is not None] or [pl.LazyFrame(schema=_SCHEMA)])
    return History(first, last, numbers(rows).filter(pl.col("minute").is_between(first, last)))


def numbers(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Without what is known to be a running total."""
    return rows.filter(~pl.col("metric").is_in(RollingZ().cumulative))


def days_before(paths: DataPaths, day: date) -> list[date]:
    """The days that a model of `day` learns from, oldest first: those with data, the newest MOST_DAYS before it."""
    chosen: list[date] = []
    rows = 0
    for offset in range(1, MOST_DAYS + 1):
        one = day - offset * DAY
        frame = _day(paths, one)
        found = 0 if frame is None else int(numbers(frame).select(pl.len()).collect().item())
        if chosen and rows + found > MOST_ROWS:
            break
        if found:
            chosen.append(one)
            rows += found
    return sorted(chosen)


def whole_days(paths: DataPaths, days: list[date]) -> History:
    """From the begin of the first of `days` to the end of the last."""
    return history(paths, day_start(days[0]), day_start(days[-1]) + DAY - MINUTE)


def day_files(paths: DataPaths, day: date) -> list[Path]:
    """The files that hold the minutes of `day`, each row once; they are only ever replaced."""
    tree = device_minute_tree(paths)
    if sealed := tree.sealed.files(day):
        return sealed
    begin = day_start(day)
    return [path for part in tree.open_parts(begin, begin + DAY - MINUTE) for path in part.files if path.exists()]


def _day(paths: DataPaths, day: date) -> pl.LazyFrame | None:
    files = day_files(paths, day)
    if not files:
        return None
    return pl.scan_parquet(
        files, hive_partitioning=False, schema=_SCHEMA, missing_columns="insert", extra_columns="ignore"
    )
