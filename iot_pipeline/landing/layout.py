"""Where landed files are and how a landing minute is read back.

Only readers and names here; `writer.py` makes the files, `ledger.py` tells what is new.

    data/landing/dt=YYYY-MM-DD/hm=HHMM/<collector>-<batch>.parquet
"""

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import structlog

from iot_pipeline.clock import floor_minute
from iot_pipeline.errors import DataError
from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.paths import DataPaths, minute_folder

SUFFIX = ".parquet"
PARQUET_MAGIC = b"PAR1"
log = structlog.get_logger(__name__)


def landing_file(paths: DataPaths, minute: datetime, collector: str, batch: int) -> Path:
    """The file that holds the rows of one batch that belong to one landing minute."""
    return minute_folder(paths.landing, minute) / f"{collector}-{batch}{SUFFIX}"


def batch_of(path: Path, collector: str) -> int | None:
    """The batch number in the name of a file of `collector`; None for any other file."""
    prefix = f"{collector}-"
    if path.suffix != SUFFIX or not path.stem.startswith(prefix):
        return None
    digits = path.stem.removeprefix(prefix)
    # Collector `a` must not claim the files of collector `a-1`, whose rest is not a plain number.
    return int(digits) if digits.isascii() and digits.isdigit() else None


def minute_of(folder: Path) -> datetime | None:
    """The landing minute of a `dt=…/hm=…` folder; None when it is not one."""
    try:
        return datetime.strptime(f"{folder.parent.name} {folder.name}", "dt=%Y-%m-%d hm=%H%M").replace(tzinfo=UTC)
    except ValueError:
        return None


def landed_files(paths: DataPaths, minute: datetime) -> list[Path]:
    """The files of a landing minute, sorted by name; a collector's batches are in order of arrival."""
    return sorted(minute_folder(paths.landing, minute).glob(f"*{SUFFIX}"))


def read_minute(paths: DataPaths, minute: datetime) -> pl.DataFrame:
    """All messages of a landing minute (columns of `LANDING_SCHEMA`); no rows when nothing landed.

    Torn files are passed over: see `torn_files`.

    Raises:
        DataError: a file cannot be read or its columns differ. It is left as it is.
    """
    torn = torn_files(paths, [minute])
    for path in torn:
        log.error("landed_file_torn", file=str(path), outcome="left out; the other files of its minute are read")
    frames = [read_file(path) for path in landed_files(paths, minute) if path not in torn]
    return pl.concat(frames) if frames else pl.DataFrame(schema=LANDING_SCHEMA)


def torn_files(paths: DataPaths, minutes: Iterable[datetime]) -> list[Path]:
    """Files of these landing minutes that do not begin and end as Parquet does.

    A power cut leaves such files on disks that confirm a write before it is durable. They must not keep
    the rest of their minute, or of the minutes that are built with it, from being read.
    """
    return [path for minute in minutes for path in landed_files(paths, minute) if not _is_whole(path)]


def landed_minutes(paths: DataPaths, since: datetime | None) -> list[datetime]:
    """Landing minutes that have at least one file, ascending, from the minute of `since` (or all)."""
    first = None if since is None else floor_minute(since)
    first_day = "" if first is None else f"dt={first:%Y-%m-%d}"
    minutes = (
        (minute_of(folder), folder)
        for day in paths.landing.glob("dt=*")
        if day.name >= first_day
        for folder in day.glob("hm=*")
    )
    return sorted(
        minute
        for minute, folder in minutes
        if minute is not None and (first is None or minute >= first) and any(folder.glob(f"*{SUFFIX}"))
    )


def _is_whole(path: Path) -> bool:
    with open(path, "rb") as handle:
        begins = handle.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC
        if handle.seek(0, os.SEEK_END) <= 2 * len(PARQUET_MAGIC):
            return False
        handle.seek(-len(PARQUET_MAGIC), os.SEEK_END)
        return begins and handle.read() == PARQUET_MAGIC


def read_file(path: Path) -> pl.DataFrame:
    """The messages of one landed file. Raises DataError; the file is left as it is."""
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"landed file {path} cannot be read ({error}); it was left as it is") from error
    if frame.schema != pl.Schema(LANDING_SCHEMA):
        raise DataError(f"landed file {path} has the columns {dict(frame.schema)}; it was left as it is")
    return frame
