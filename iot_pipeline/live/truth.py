"""What the batch layer published, brought into the windows: the past on start, corrections ever after.

Everything is done in small steps, so that what lands meanwhile is seen in time. Nothing is decoded here.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from iot_pipeline.clock import DAY
from iot_pipeline.live.periods import HOUR_MINUTES, HOURS, MINUTE_US
from iot_pipeline.live.state import State, parts_of
from iot_pipeline.live.windows import Ids
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.store import event_day_files
from iot_pipeline.stats.published import front, newest_minute
from iot_pipeline.stats.relations import device_minute_tree, dim_device_file, published_file, sealed_readings

ROWS_AT_ONCE = 50_000
# An hour counts as complete in the hours of a day whose inputs were listed this long after its end.
COMPLETE_AFTER = timedelta(minutes=5)
# Texts are looked for in readings, which the statistics do not hold, if these are not too large to be read.
MOST_TEXT_BYTES = 500_000_000
_STATISTICS = ["device_id", "metric", "unit", "count", "min", "max", "mean", "first", "last"]
_HOUR = timedelta(hours=1)

Steps = Iterator[None]
MinuteListener = Callable[[int, pl.DataFrame, Ids], None]


class Truth:
    """Reads published marts into a `State`.

    Attributes:
        through: the newest minute that was published when this was made, as a number; None: there was none.
        landed_through: the newest landing minute that was decoded by then; None: there was none.
        minutes_read: the last minutes are read, so that what landed after them can be taken in.
        progress: share of the rebuilding that is done, 0 to 1.
    """

    def __init__(self, paths: DataPaths, state: State, *, heard: MinuteListener) -> None:
        """`heard` is told the rows of each minute that is read, with their series."""
        self._paths = paths
        self._state = state
        self._heard = heard
        self._tree = device_minute_tree(paths)
        newest = newest_minute(paths)
        self.through = None if newest is None else number_of(newest)
        decoded = front(paths)
        self.landed_through = decoded if newest is None or decoded is None else max(decoded, newest)
        self.minutes_read = newest is None
        self.progress = 0.0
        self._seen: dict[int, int] = {}  # minute to modification time of the file that was read last
        self._seen_hours: dict[date, int] = {}
        self._seen_devices = 0
        self._adopted = pl.Series(dtype=pl.UInt64)  # hashes of what is known of devices and was taken over

    def rebuild(self) -> Steps:
        """The last minutes first, then the hours before them, then what devices are."""
        periods, through = self._state.periods, self.through
        if through is not None:
            ring = list(range(periods.oldest_minute, min(through, periods.newest_minute) + 1))
            covered = self._covered_hours()
            first = periods.oldest_hour * HOUR_MINUTES
            alone = [
                m for m in range(first, min(through + 1, ring[0] if ring else through + 1)) if m // 60 not in covered
            ]
            days = sorted({instant_of(hour * HOUR_MINUTES).date() for hour in covered}, reverse=True)
            total = len(ring) + len(alone) + len(days) + 2
            done = 0
            for minute in reversed(ring):
                yield from self._read_minute(minute)
                done += 1
                self.progress = done / total
            self.minutes_read = True
            for day in days:
                yield from self._read_hours(day)
                done += 1
                self.progress = done / total
            for minute in reversed(alone):
                yield from self._add_minute(minute)
                done += 1
                self.progress = done / total
        yield from self._read_texts()
        yield from self.read_devices()
        self.progress = 1.0

    def corrections(self) -> Steps:
        """Minutes and hours that were published since they were read last."""
        periods = self._state.periods
        for minute in range(periods.oldest_minute, periods.newest_minute + 1):
            if _changed(self._tree.file(instant_of(minute)), self._seen.get(minute)):
                yield from self._read_minute(minute)
        self._seen = {minute: seen for minute, seen in self._seen.items() if minute >= periods.oldest_minute}
        for day in self._days():
            if _changed(published_file(self._paths, "device_hour", day), self._seen_hours.get(day)):
                yield from self._read_hours(day)
        if _changed(dim_device_file(self._paths), self._seen_devices):
            yield from self.read_devices()

    def read_devices(self) -> Steps:
        """What devices told of themselves at any time; what was told since the start counts more.

        The table is published every minute, and nearly all rows say what they said before: those are passed over.
        """
        path = dim_device_file(self._paths)
        self._seen_devices = _modified(path) or 0
        devices, adopted = self._state.series.devices, []
        for rows in _slices(path, ["device_id", "fleet", "attributes", "region", "customer"]):
            hashes = rows.hash_rows()
            known = hashes.is_in(self._adopted.implode())
            adopted.append(hashes.filter(known))
            fresh = rows.filter(~known)
            held = pl.Series([devices.find(name) is not None for name in fresh["device_id"]], dtype=pl.Boolean)
            grouping = {name: pl.col("attributes").str.json_path_match(f"$.{name}") for name in ("utility", "state")}
            self._state.attributes.adopt(devices, fresh.filter(held).with_columns(**grouping))
            adopted.append(hashes.filter(~known).filter(held))
            yield
        self._adopted = pl.concat([self._adopted.clear(), *adopted])

    def _days(self) -> list[date]:
        last = instant_of(self._state.periods.current).date()
        return [last, last - DAY]

    def _covered_hours(self) -> set[int]:
        """Hours that the published hours hold whole, and that the ring of minutes does not reach."""
        covered = set()
        for day in self._days():
            as_of = _modified(published_file(self._paths, "device_hour", day))
            covered |= {hour for hour in _hours_of(day) if as_of is not None and self._takes(hour, as_of)}
        return covered

    def _takes(self, hour: int, as_of: int) -> bool:
        periods = self._state.periods
        end = instant_of((hour + 1) * HOUR_MINUTES)
        complete = end + COMPLETE_AFTER <= datetime.fromtimestamp(as_of / 1e9, UTC)
        return complete and periods.oldest_hour <= hour and (hour + 1) * HOUR_MINUTES <= periods.oldest_minute

    def _minute_rows(self, minute: int) -> Iterator[pl.DataFrame]:
        when = instant_of(minute)
        if self._tree.sealed.current(when.date()) is not None:
            yield self._tree.read(when, when)
            return
        yield from _slices(self._tree.file(when), [*_STATISTICS, "stddev", "minute"])

    def _read_minute(self, minute: int) -> Steps:
        """Replace the window of a minute."""
        state = self._state
        # Taken before reading: what is written meanwhile is newer, and read again.
        self._seen[minute] = _modified(self._tree.file(instant_of(minute))) or 0
        touched = np.zeros(state.series.end, np.bool_)
        for rows in self._minute_rows(minute):
            ids = self._ids(minute, rows)
            state.periods.correct_minute(minute, ids[ids >= 0], parts_of(rows, 0, MINUTE_US - 1).take(ids >= 0))
            _touch(touched, ids)
            yield
        before = state.periods.in_minute(minute, len(touched))
        state.periods.forget_minute(minute, before[~touched[before]])
        yield

    def _add_minute(self, minute: int) -> Steps:
        """Add a minute to its hour."""
        for rows in self._minute_rows(minute):
            ids = self._ids(minute, rows)
            self._state.periods.add_minute(minute, ids[ids >= 0], parts_of(rows, 0, MINUTE_US - 1).take(ids >= 0))
            yield

    def _ids(self, minute: int, rows: pl.DataFrame) -> Ids:
        ids = self._state.number(rows)
        held = ids >= 0
        self._state.told_by_windows(ids[held], minute * MINUTE_US, rows["last"].to_numpy()[held])
        self._heard(minute, rows, ids)
        return ids

    def _read_hours(self, day: date) -> Steps:
        """Replace the hours of a day that are complete and have left the ring of minutes."""
        path = published_file(self._paths, "device_hour", day)
        self._seen_hours = {known: seen for known, seen in self._seen_hours.items() if known in self._days()}
        as_of = self._seen_hours[day] = _modified(path) or 0
        taken = {hour for hour in _hours_of(day) if self._takes(hour, as_of)}
        touched = {hour: np.zeros(self._state.series.end, np.bool_) for hour in taken}
        for rows in _slices(path, ["hour", *_STATISTICS]) if taken else ():
            hours = rows["hour"].dt.epoch("s").to_numpy() // 3600
            ids = self._state.number(rows)
            parts, last = parts_of(rows, 0, HOUR_MINUTES - 1), rows["last"].to_numpy()
            for hour in np.unique(hours).tolist():
                if hour in taken:
                    own = np.flatnonzero((hours == hour) & (ids >= 0))
                    self._state.periods.correct_hour(hour, ids[own], parts.take(own))
                    self._state.told_by_windows(ids[own], hour * HOUR_MINUTES * MINUTE_US, last[own])
                    _touch(touched[hour], ids[own])
            yield
        for hour in taken:
            before = self._state.periods.in_hour(hour, len(touched[hour]))
            self._state.periods.forget_hour(hour, before[~touched[hour][before]])
        yield

    def _read_texts(self) -> Steps:
        """The newest text of each series in the readings of the last day: states may be told once in hours."""
        since = instant_of(self._state.periods.oldest_hour * HOUR_MINUTES)
        days = [day for day in self._days() if day >= since.date()]
        sealed = sealed_readings(self._paths)
        files = [path for day in days for path in sealed.files(day) or event_day_files(self._paths, day)]
        if not files or sum(path.stat().st_size for path in files if path.exists()) > MOST_TEXT_BYTES:
            return
        yield
        series = ["device_id", "metric", "unit"]
        newest = (
            pl.scan_parquet(files, hive_partitioning=False)
            .filter(pl.col("text").is_not_null() & (pl.col("event_ts") >= since))
            .group_by(series)
            .agg(pl.col("event_ts").max(), pl.col("text", "value").sort_by("event_ts").last())
            .filter(pl.col("value").is_null())
            .collect()
        )
        ids = self._state.number(newest)
        held = ids >= 0
        event_us = newest["event_ts"].dt.epoch("us").to_numpy()
        self._state.told_texts(ids[held], event_us[held], newest["text"].filter(pl.Series(held)))
        yield


def number_of(minute: datetime) -> int:
    """A minute as the number of minutes since 1970 UTC."""
    return int(minute.timestamp()) // 60


def instant_of(minute: int) -> datetime:
    """The begin of a minute by its number."""
    return datetime.fromtimestamp(minute * 60, UTC)


def first_landing_minute(truth: Truth, now: datetime) -> datetime:
    """Where decoding begins: the newest published minute, whose landing minute holds the begin of the next one."""
    oldest = now - HOURS * _HOUR
    return oldest if truth.through is None else max(instant_of(truth.through), oldest)


def _slices(path: Path, columns: list[str]) -> Iterator[pl.DataFrame]:
    """Some columns of a file, some rows at a time; nothing when it is gone."""
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=columns):
                rows = pl.from_arrow(batch)
                if isinstance(rows, pl.DataFrame) and rows.height:
                    yield rows
    except FileNotFoundError:
        return


def _hours_of(day: date) -> range:
    first = number_of(datetime(day.year, day.month, day.day, tzinfo=UTC)) // HOUR_MINUTES
    return range(first, first + 24)


def _modified(path: Path) -> int | None:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def _changed(path: Path, seen: int | None) -> bool:
    modified = _modified(path)
    return modified is not None and modified != seen


def _touch(touched: NDArray[np.bool_], ids: Ids) -> None:
    """Mark series, of those that were there in the beginning."""
    touched[ids[(ids >= 0) & (ids < len(touched))]] = True
