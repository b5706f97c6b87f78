"""Hours of open days in one file each, so that a reader of many minutes need not open a file for each of them.

Such a file is a copy and never the truth: its name holds a digest of the minute files that it was made of, so it counts
exactly as long as each of them is what it was then, and a crash at any instant leaves one that counts or none. Which
columns there are and who writes is `trees.py`; a sealed day needs no hours.

    <open>/dt=YYYY-MM-DD/hours/HH-<digest>.parquet      goes with the folder of its day
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from pathlib import Path

import polars as pl
import structlog

from iot_pipeline.clock import DAY, MINUTE, day_start, minute_key, utc_now
from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.files import replacing_by_polars
from iot_pipeline.paths import day_folder

log = structlog.get_logger(__name__)

HOUR = timedelta(hours=1)
# The minutes of an hour are published a little after its end.
CLOSED_AFTER = 2 * MINUTE
# Opening a file costs as much as reading this many of the rows of an hour: fewer minutes are read by themselves.
FEWEST_MINUTES = 5
# Where an hour is larger than this, opening its files is not what costs, and a copy would.
MOST_BYTES = 64_000_000
# A reader may have found a file just before it was replaced.
GRACE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class OpenPart:
    """Open minutes from `first` to `last` (UTC), both included: files that hold them, or the one that holds their hour.

    Files of minutes may not exist; that of an hour has further minutes, and a column that tells which is which.
    """

    first: datetime
    last: datetime
    files: Sequence[Path]
    is_hour: bool


@dataclass(frozen=True, slots=True)
class _Hour:
    """The minute files of an hour that exist, and the name that a copy of them has."""

    minutes: Sequence[Path]
    size: int
    copy: Path


def open_parts(root: Path, first: datetime, last: datetime) -> Iterator[OpenPart]:
    """The open minutes from `first` to `last`, each once, in order of time; none of days that have none."""
    hour = first.replace(minute=0)
    while hour <= last:
        if not day_folder(root, hour.date()).exists():  # asking for each of its minutes costs 10 ms
            hour = day_start(hour.date()) + DAY
            continue
        begin, end = max(first, hour), min(last, hour + HOUR - MINUTE)
        copy = _look(root, hour).copy if (end - begin) / MINUTE + 1 >= FEWEST_MINUTES else None
        if copy is not None and copy.exists():
            yield OpenPart(begin, end, [copy], is_hour=True)
        else:
            count = int((end - begin) / MINUTE) + 1
            yield OpenPart(begin, end, [_minute(root, begin + index * MINUTE) for index in range(count)], is_hour=False)
        hour += HOUR


def copy_closed_hours(root: Path, minutes: Iterable[datetime], write: Callable[[Sequence[Path], Path], None]) -> None:
    """Make the copies of the closed hours of `minutes`, which were just written, and of the hour before them.

    Args:
        root: the open part of a tree. Nobody else may write to it meanwhile.
        minutes: UTC.
        write: makes the file named last of the minute files named first, in their order.
    """
    written = {minute.replace(minute=0) for minute in minutes}
    if not written:
        return
    now = utc_now()
    for hour in sorted(written | {min(written) - HOUR}):
        if hour + HOUR + CLOSED_AFTER > now:
            continue
        found = _look(root, hour)
        if len(found.minutes) >= FEWEST_MINUTES and found.size <= MOST_BYTES and not found.copy.exists():
            try:
                with replacing_by_polars(found.copy) as temporary:
                    write(found.minutes, temporary)
                _remove_replaced(found.copy, now)
            except (StorageUnavailable, OSError, pl.exceptions.PolarsError) as error:
                # Readers take the minutes then. What is wrong with one of those is told by who needs it.
                log.warning("hour_not_copied", hour=minute_key(hour), tree=str(root), reason=str(error))


def _look(root: Path, hour: datetime) -> _Hour:
    folder = day_folder(root, hour.date())
    digest, found, size = blake2b(digest_size=8), [], 0
    for minute in range(60):
        path = f"{folder}/hm={hour.hour:02}{minute:02}/part.parquet"
        try:
            status = os.stat(path)  # noqa: PTH116  # sixty for each hour that somebody reads
        except FileNotFoundError:
            continue
        digest.update(f"{minute} {status.st_size} {status.st_mtime_ns} {status.st_ino};".encode())
        found.append(Path(path))
        size += status.st_size
    return _Hour(found, size, folder / "hours" / f"{hour.hour:02}-{digest.hexdigest()}.parquet")


def _minute(root: Path, minute: datetime) -> Path:
    return day_folder(root, minute.date()) / f"hm={minute:%H%M}" / "part.parquet"


def _remove_replaced(copy: Path, now: datetime) -> None:
    oldest = (now - GRACE).timestamp()
    for other in copy.parent.glob(f"{copy.name[:3]}*.parquet"):
        if other != copy and other.stat().st_mtime < oldest:
            other.unlink()
