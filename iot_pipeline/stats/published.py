"""When statistics were published last, and how far they go: read from the marts' own files.

A partition's age is its file's modification time, that of a day the time at which its inputs were listed; a file is
opened only where a day is sealed.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from iot_pipeline.clock import parse_day
from iot_pipeline.paths import DataPaths
from iot_pipeline.retained import Level, kept_since
from iot_pipeline.sealed_days import SEED_DAY
from iot_pipeline.stats.relations import device_minute_tree, minute_trees, published_file
from iot_pipeline.trees import PARTITION_MINUTE, MinuteTree


def published_minute(paths: DataPaths, minute: datetime) -> datetime | None:
    """When the statistics of `minute` were published last; None for never, and for a sealed day.

    A sealed day is rewritten whole for any of its minutes, so its files tell nothing about one of them.
    """
    tree = device_minute_tree(paths)
    if tree.sealed.current(minute.date()) is not None:
        return None
    return _modified(tree.file(minute))


def published_day(paths: DataPaths, day: date) -> datetime | None:
    """When the inputs were listed of which the statistics of `day` were made last; None for never."""
    return _modified(published_file(paths, "device_day", day))


def newest_day(paths: DataPaths) -> date | None:
    """The newest day with statistics, the present one so far included; None before the first."""
    return next(_days_descending(paths.marts / "device_day"), None)


def newest_minute(paths: DataPaths) -> datetime | None:
    """The newest minute with statistics; None before the first."""
    return newest_in(device_minute_tree(paths))


def front(paths: DataPaths) -> datetime | None:
    """The newest minute that was decoded, also when nothing happened in it; None before the first."""
    return newest_in(minute_trees(paths)["intake"])


def days_with_readings(paths: DataPaths) -> list[date]:
    """Days that have decoded readings which are kept, open or sealed, oldest first."""
    days = {*_days_descending(paths.readings / "open"), *_days_descending(paths.readings / "sealed")}
    since = kept_since(paths, Level.READINGS)
    return sorted(day for day in days if since is None or day >= since)


def newest_in(tree: MinuteTree) -> datetime | None:
    """The newest minute of a tree. Open files tell it by name; in a sealed day, minutes with rows count."""
    for day in sorted({*_days_descending(tree.open), *tree.sealed.days()}, reverse=True):
        names = [path.parent.name for path in (tree.open / f"dt={day}").glob("hm=*/part.parquet")]
        minutes = [datetime.strptime(f"{day}{name}", "%Y-%m-%dhm=%H%M").replace(tzinfo=UTC) for name in names]
        if sealed := tree.sealed.files(day):
            rows = pl.scan_parquet(sealed, hive_partitioning=False)
            last: datetime | None = rows.select(pl.col(PARTITION_MINUTE).max()).collect().item()
            minutes += [last.astimezone(UTC)] if last else []
        if minutes:
            return max(minutes)
    return None


def _days_descending(folder: Path) -> Iterator[date]:
    names = sorted((path.name for path in folder.glob("dt=*")), reverse=True)
    return (day for name in names if (day := parse_day(name.removeprefix("dt="))) != SEED_DAY)


def _modified(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
