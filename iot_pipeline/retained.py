"""Since when each level of the data is kept: what is older was removed, and nothing may be made of the rest of it.

Only the record is here, because every stage has to respect it. What goes, and when, is `operations/retention.py`.
"""

from datetime import date
from enum import StrEnum

import msgspec
from filelock import FileLock

from iot_pipeline.errors import ConfigurationError, DataError
from iot_pipeline.files import write_bytes
from iot_pipeline.paths import DataPaths


class Level(StrEnum):
    """A level of the data that is kept for a time of its own; the settings `retention_<level>_days` name them."""

    LANDING = "landing"
    READINGS = "readings"
    MINUTE = "minute"
    DAY = "day"


class RemovedError(ConfigurationError):
    """What was asked for would be made from data that retention removed. Nothing was changed."""


def kept_since(paths: DataPaths, level: Level) -> date | None:
    """The first day (UTC) that is kept of `level`; None when nothing was ever removed.

    Raises:
        DataError: the record cannot be read. It is left as it is.
    """
    return _read(paths).get(level)


def mark_kept_since(paths: DataPaths, level: Level, day: date) -> None:
    """Record durably that of `level` only `day` and later are kept; it never goes back.

    Called before the first file goes, so that a crash in between leaves days that nobody counts on.

    Raises:
        StorageUnavailable: nothing was recorded, and nothing may be removed.
    """
    paths.root.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.retained.with_suffix(".lock")):
        known = _read(paths)
        if (before := known.get(level)) is None or before < day:
            write_bytes(msgspec.json.encode(dict(sorted({**known, level: day}.items()))), paths.retained)


def refuse_removed(paths: DataPaths, level: Level, first: date) -> None:
    """Refuse to make anything of `level` from `first` on, if part of that was removed.

    Raises:
        RemovedError: names the first day that can be made.
    """
    since = kept_since(paths, level)
    if since is not None and first < since:
        raise RemovedError(
            f"{level} of {first} was removed by retention, so what was made of it is final and stays as it is; "
            f"nothing was built. Ask for {since} and later."
        )


def _read(paths: DataPaths) -> dict[Level, date]:
    try:
        return msgspec.json.decode(paths.retained.read_bytes(), type=dict[Level, date])
    except FileNotFoundError:
        return {}
    except msgspec.DecodeError as error:
        raise DataError(
            f"{paths.retained} cannot be read ({error}); nothing is built or removed before it is mended. "
            'Restore it from a backup, or write {"readings": "<first day that has readings>"} by hand.'
        ) from error
