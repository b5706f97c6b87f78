"""When statistics were published last, and how far they go: read from the marts' own files.

No file is opened here: a partition's age is its file's modification time.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from iot_pipeline.clock import parse_day
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import device_minute_tree, published_file
from iot_pipeline.trees import SEED_DAY


def published_minute(paths: DataPaths, minute: datetime) -> datetime | None:
    """When the statistics of `minute` were published last; None for never, and for a sealed day.

    A sealed day is rewritten whole for any of its minutes, so its files tell nothing about one of them.
    """
    tree = device_minute_tree(paths)
    if tree.sealed.current(minute.date()) is not None:
        return None
    return _modified(tree.file(minute))


def published_day(paths: DataPaths, day: date) -> datetime | None:
    """When the statistics of `day` were published last; None for never."""
    return _modified(published_file(paths, "device_day", day))


def newest_day(paths: DataPaths) -> date | None:
    """The newest day with statistics, the present one so far included; None before the first."""
    return next(_days_descending(paths.marts / "device_day"), None)


def newest_minute(paths: DataPaths) -> datetime | None:
    """The newest minute with statistics; None before the first."""
    tree = device_minute_tree(paths)
    for day in _days_descending(tree.open):
        minutes = sorted(path.parent.name for path in (tree.open / f"dt={day}").glob("hm=*/part.parquet"))
        if minutes:
            return datetime.strptime(f"{day}{minutes[-1]}", "%Y-%m-%dhm=%H%M").replace(tzinfo=UTC)
    return None


def days_with_readings(paths: DataPaths) -> list[date]:
    """Days that have decoded readings, open or sealed, oldest first."""
    return sorted({*_days_descending(paths.readings / "open"), *_days_descending(paths.readings / "sealed")})


def _days_descending(folder: Path) -> Iterator[date]:
    names = sorted((path.name for path in folder.glob("dt=*")), reverse=True)
    return (day for name in names if (day := parse_day(name.removeprefix("dt="))) != SEED_DAY)


def _modified(path: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except FileNotFoundError:
        return None
