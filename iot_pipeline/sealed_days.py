"""Closed days of a tree of files, kept in versions of which the newest counts.

    <root>/dt=YYYY-MM-DD/v=<version>/part-*.parquet

A day is sealed when it has a version folder. The folder is renamed into place complete, so its name is the seal: a
reader that lists versions first and files after sees each row exactly once at every instant, because what a version
supersedes is deleted only after a grace period (`superseded`). What is in the files is the business of who seals:
`trees.py` for trees by minute, `stats/sealing.py` for readings.
"""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from iot_pipeline.clock import parse_day, utc_now
from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.files import fsync_folder
from iot_pipeline.paths import day_folder

SEED_DAY = date(1970, 1, 1)
"""Folder of files without rows, which keep globs from finding nothing; it is no day of the tree."""

VERSION_FORMAT = "%Y%m%dT%H%M%S%fZ"


@dataclass(frozen=True, slots=True)
class SealedDays:
    """The versions of the closed days of one tree."""

    root: Path

    def _day(self, day: date) -> Path:
        return day_folder(self.root, day)

    def versions(self, day: date) -> list[Path]:
        """Folders of all versions of `day` that still exist, oldest first."""
        try:
            return sorted(path for path in self._day(day).iterdir() if path.name.startswith("v="))
        except FileNotFoundError:
            return []

    def current(self, day: date) -> Path | None:
        """Folder of the version that counts, or None while the day is open."""
        versions = self.versions(day)
        return versions[-1] if versions else None

    def files(self, day: date) -> list[Path]:
        """Files of the version that counts; none while the day is open."""
        current = self.current(day)
        return sorted(current.glob("part-*.parquet")) if current else []

    def days(self) -> list[date]:
        """All sealed days, oldest first."""
        return [day for day in days_below(self.root) if self.current(day) is not None]

    @contextlib.contextmanager
    def publishing(self, day: date) -> Iterator[Path]:
        """Yield an empty folder; on success its files become the version of `day` that counts.

        Files are fsynced and the folder appears by one rename. On any failure nothing changes.

        Raises:
            StorageUnavailable: the operating system refused.
        """
        parent = self._day(day)
        building = parent / f"building-{uuid.uuid4().hex[:12]}"
        try:
            building.mkdir(parents=True)
            try:
                yield building
                for path in building.iterdir():
                    with path.open("rb") as handle:
                        os.fsync(handle.fileno())
                fsync_folder(building)
                building.rename(parent / f"v={self._next_version(day)}")
                fsync_folder(parent)
                fsync_folder(self.root)
            finally:
                shutil.rmtree(building, ignore_errors=True)
        except OSError as error:
            raise StorageUnavailable(
                f"cannot seal {day} in {self.root}: {error.strerror or error}; the day is as it was before. "
                "Check free space and permissions with `iot doctor`."
            ) from error

    def _next_version(self, day: date) -> str:
        # Strictly after the present version even when the clock was set back: the newest name wins.
        version = utc_now()
        if (current := self.current(day)) is not None:
            version = max(version, version_time(current) + timedelta(microseconds=1))
        return version.strftime(VERSION_FORMAT)

    def superseded(self, now: datetime, grace: timedelta) -> list[Path]:
        """Version folders that a newer version replaced at least `grace` ago."""
        return [
            old
            for day in self.days()
            for old, newer in pairwise(self.versions(day))
            if version_time(newer) + grace <= now
        ]

    def remove_superseded(self, now: datetime, grace: timedelta) -> list[Path]:
        """Delete what `superseded` lists, and return it."""
        folders = self.superseded(now, grace)
        for folder in folders:
            shutil.rmtree(folder)
        return folders

    def sealed_since(self, day: date) -> datetime | None:
        """When the oldest version that still exists was sealed; None while the day is open."""
        versions = self.versions(day)
        return version_time(versions[0]) if versions else None


def version_time(folder: Path) -> datetime:
    """When the version in `folder` (`v=<version>`) was sealed, in UTC."""
    return datetime.strptime(folder.name.removeprefix("v="), VERSION_FORMAT).replace(tzinfo=UTC)


def days_below(folder: Path) -> list[date]:
    """Days that have a folder in `folder`, oldest first."""
    days = sorted(parse_day(path.name.removeprefix("dt=")) for path in folder.glob("dt=*"))
    return [day for day in days if day != SEED_DAY]
