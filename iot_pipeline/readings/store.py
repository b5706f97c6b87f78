"""Where readings are: the names of their files and folders, and which of these there are.

    data/readings/open/dt=<event day>/hm=<HHMM>/landed-<landing minute>.parquet
    data/readings/open/dt=<event day>/hm=day/landed-<landing minute>.parquet    older than the minute window
    data/readings/births/landed-<landing minute>.parquet                        Sparkplug births
    data/readings/filed/dt=/hm=/filed.json                                      see `filing.py`

Each landing minute has its own file in every event minute that it has readings of, so building it
again replaces its readings and nobody else's.
"""

import os
from collections.abc import Iterable
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path

from iot_pipeline.paths import DataPaths, day_folder

LANDED_FORMAT = "%Y%m%dT%H%M"
DAY_PARTITION = "day"
_PREFIX, _SUFFIX = "landed-", ".parquet"


def open_root(paths: DataPaths) -> Path:
    """The readings of days that are not sealed."""
    return paths.readings / "open"


def landed_name(landing_minute: datetime) -> str:
    """Name of the files that a landing minute writes."""
    return f"{_PREFIX}{landing_minute.astimezone(UTC).strftime(LANDED_FORMAT)}{_SUFFIX}"


def landed_of(path: Path) -> datetime:
    """The landing minute in the name of a file. Raises ValueError for any other file."""
    return datetime.strptime(path.name, f"{_PREFIX}{LANDED_FORMAT}{_SUFFIX}").replace(tzinfo=UTC)


def birth_files(paths: DataPaths, before: datetime) -> list[Path]:
    """Files of births that landed before a landing minute, newest first."""
    folder = paths.readings / "births"
    found = (path for path in folder.glob(f"{_PREFIX}*{_SUFFIX}") if path.name < landed_name(before))
    return sorted(found, reverse=True)


def birth_file(paths: DataPaths, landing_minute: datetime) -> Path:
    """The births of one landing minute."""
    return paths.readings / "births" / landed_name(landing_minute)


def event_minute_files(paths: DataPaths, minutes: Iterable[datetime]) -> list[Path]:
    """Open files of event minutes, in order of event and landing minute."""
    found: list[Path] = []
    for day, of_day in groupby(minutes, key=datetime.date):
        folder = day_folder(open_root(paths), day)
        # Most minutes of a sealed day have no folder any more: one listing of the day tells it of all.
        there = _names_in(folder)
        names = (f"hm={minute:%H%M}" for minute in of_day) if there else ()
        found += [
            path for name in names if name in there for path in sorted((folder / name).glob(f"{_PREFIX}*{_SUFFIX}"))
        ]
    return found


def _names_in(folder: Path) -> frozenset[str]:
    try:
        return frozenset(os.listdir(folder))
    except FileNotFoundError:
        return frozenset()


def event_day_files(paths: DataPaths, day: date) -> list[Path]:
    """All open files of an event day, those older than the minute window too."""
    return sorted(day_folder(open_root(paths), day).glob(f"hm=*/{_PREFIX}*{_SUFFIX}"))
