"""Where landed files are and how a landing minute is read back.

Only readers and names here; `writer.py` makes the files, `ledger.py` tells what is new.

    data/landing/dt=YYYY-MM-DD/hm=HHMM/<collector>-<batch>.parquet
"""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from iot_pipeline.clock import floor_minute
from iot_pipeline.errors import DataError
from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.paths import DataPaths, minute_folder

SUFFIX = ".parquet"


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

    Raises:
        DataError: a file cannot be read or its columns differ. It is left as it is.
    """
    frames = [read_file(path) for path in landed_files(paths, minute)]
    return pl.concat(frames) if frames else pl.DataFrame(schema=LANDING_SCHEMA)


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


def read_file(path: Path) -> pl.DataFrame:
    """The messages of one landed file. Raises DataError; the file is left as it is."""
    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(f"landed file {path} cannot be read ({error}); it was left as it is") from error
    if frame.schema != pl.Schema(LANDING_SCHEMA):
        raise DataError(f"landed file {path} has the columns {dict(frame.schema)}; it was left as it is")
    return frame
