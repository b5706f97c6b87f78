"""Sealing: a closed day's readings become one sorted version, each identity once.

A sealed day is read in milliseconds for one device, and statistics of a day need no deduplication.
Late readings make new open files, and sealing the day again makes a version with both. Trees by
minute seal themselves (`trees.MinuteTree.seal`); this module says when.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import duckdb
import msgspec
import polars as pl
import structlog
from filelock import FileLock

from iot_pipeline.clock import DAY, day_key, utc_now
from iot_pipeline.errors import DataError
from iot_pipeline.files import Stamp, stamp
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.store import event_day_files
from iot_pipeline.retained import Level, refuse_removed
from iot_pipeline.sealed_days import version_time
from iot_pipeline.settings import Settings
from iot_pipeline.stats.inputs import (
    COPIES_FILE,
    COPY_NUMBER,
    FIRST_COPY,
    INPUTS_FILE,
    SORTED_READINGS,
    DayInput,
    all_copies_sql,
    day_input_files,
    input_name,
    quoted,
    sealed_inputs,
)
from iot_pipeline.stats.relations import minute_trees, sealed_readings
from iot_pipeline.stats.session import engine

log = structlog.get_logger(__name__)

# How long readers may hold on to files that a newer version replaced.
GRACE = timedelta(minutes=15)
# One device's hour lies in one or two row groups, and a group is worth reading at once.
ROW_GROUP = 122_880


@dataclass(frozen=True, slots=True)
class SealReport:
    """What sealing a day came to.

    Attributes:
        day: the event day (UTC).
        version: name of the version that counts now; None when there is nothing to seal.
        rows: readings in it.
        open_files: open files that are in this version and were not, or not so, in the one before.
        changed: whether a new version was made.
        minute_days: days of trees by minute that were sealed on this occasion.
        seconds: wall time.
    """

    day: date
    version: str | None
    rows: int
    open_files: int
    changed: bool
    minute_days: int
    seconds: float


def seal_day(settings: Settings, day: date) -> SealReport:
    """Make the sealed version of `day` hold all of its readings, each once, and let it count.

    Nothing is made when nothing changed. The day is sorted by device, metric and time out of core:
    memory is bounded by DuckDB's limit, the rest spills below `<data>/tmp`. On the occasion, trees by
    minute are sealed for all days before yesterday: until then their minutes are still being built.

    Raises:
        DataError: a file cannot be read; the day is as it was before.
        RemovedError: retention removed readings of the day; nothing was sealed.
        StorageUnavailable: the version cannot be written; the day is as it was before.
    """
    started = time.perf_counter()
    paths = settings.paths
    refuse_removed(paths, Level.READINGS, day)
    paths.readings.mkdir(parents=True, exist_ok=True)
    with FileLock(sealed_readings(paths).root.parent / "sealing.lock"):
        # Stamps before the listing: what changes in between counts as unsealed, never as sealed unread.
        stamps = {input_name(path): seen for path in event_day_files(paths, day) if (seen := stamp(path)) is not None}
        found = day_input_files(paths, day)
        if found.open:
            _write_version(settings, day, found, stamps)
    current = sealed_readings(paths).current(day)
    report = SealReport(
        day=day,
        version=current.name.removeprefix("v=") if current else None,
        rows=sum(_rows(path) for path in sealed_readings(paths).files(day)),
        open_files=len(found.open),
        changed=bool(found.open),
        minute_days=seal_minutes(paths, before=utc_now().date() - DAY),
        seconds=time.perf_counter() - started,
    )
    log.info("day_sealed", day=day_key(day), rows=report.rows, changed=report.changed, open_files=report.open_files)
    return report


def seal_minutes(paths: DataPaths, *, before: date) -> int:
    """Seal the days before `before` in every tree by minute; returns how many were open."""
    sealed = 0
    for tree in minute_trees(paths).values():
        for day in tree.open_days():
            if day < before and tree.sealed.current(day) is None:
                tree.seal(day)
                sealed += 1
    return sealed


def days_between(first: date, last: date) -> Iterator[date]:
    """All days from `first` to `last`, both included."""
    return (first + index * DAY for index in range((last - first).days + 1))


def superseded(paths: DataPaths, *, now: datetime, grace: timedelta = GRACE) -> list[Path]:
    """What housekeeping may delete: old versions, and open files that a sealed version holds as they are."""
    found = [folder for tree in minute_trees(paths).values() for folder in tree.superseded(now, grace)]
    found += sealed_readings(paths).superseded(now, grace)
    found += [path for path, _ in _settled_files(paths, now, grace)]
    return found


def remove_superseded(paths: DataPaths, *, now: datetime, grace: timedelta = GRACE) -> int:
    """Delete what `superseded` lists; returns how many files and folders went.

    A reading file that is replaced in this very moment is kept: it is moved aside, looked at again and
    put back if it is not what the sealed version holds.
    """
    removed = sum(len(tree.remove_superseded(now, grace)) for tree in minute_trees(paths).values())
    removed += len(sealed_readings(paths).remove_superseded(now, grace))
    return removed + sum(_remove_unchanged(path, seen) for path, seen in _settled_files(paths, now, grace))


def _settled_files(paths: DataPaths, now: datetime, grace: timedelta) -> Iterator[tuple[Path, list[int]]]:
    days = sealed_readings(paths)
    for day in days.days():
        version = days.current(day)
        if version is None or version_time(version) + grace > now:
            continue
        known = sealed_inputs(version)
        for path in event_day_files(paths, day):
            seen = known.get(input_name(path))
            if seen is not None and seen == stamp(path):
                yield path, seen


def _remove_unchanged(path: Path, seen: list[int]) -> bool:
    aside = path.with_name(f"{path.name}.removing.tmp")
    path.rename(aside)
    if stamp(aside) == seen:
        aside.unlink()
        return True
    if not path.exists():
        aside.rename(path)
    else:
        aside.unlink()
    return False


def _write_version(settings: Settings, day: date, found: DayInput, stamps: Mapping[str, Stamp]) -> None:
    copies = all_copies_sql(found)
    with sealed_readings(settings.paths).publishing(day) as building, engine(settings.paths) as connection:
        try:
            first = f"from ({copies}) qualify {FIRST_COPY} order by {SORTED_READINGS}"
            kept = _copy(connection, first, building / "part-000.parquet")
            [[told]] = connection.execute(f"select count(*) from ({copies})").fetchall()
            if told > kept:
                _copy(connection, f"from ({copies}) qualify {COPY_NUMBER} > 1", building / COPIES_FILE)
        except duckdb.Error as error:
            raise DataError(
                f"readings of {day_key(day)} cannot be sealed: {error}. The day is as it was before; "
                "rebuild the landing minute of the file named, then seal the day again."
            ) from error
        (building / INPUTS_FILE).write_bytes(msgspec.json.encode(stamps))


def _copy(connection: duckdb.DuckDBPyConnection, query: str, target: Path) -> int:
    options = f"format parquet, compression zstd, row_group_size {ROW_GROUP}, use_tmp_file false"
    [[rows]] = connection.execute(f"copy ({query}) to {quoted(str(target))} ({options})").fetchall()
    return int(rows)


def _rows(path: Path) -> int:
    count: int = pl.scan_parquet(path).select(pl.len()).collect().item()
    return count
