"""What may be deleted or sealed once a day, and doing it. Never landing: it is the log.

Dagster's own history is pruned in `jobs.py`, because only Dagster can do that.
"""

import shutil
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import structlog

from iot_pipeline.clock import DAY
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings
from iot_pipeline.stats.published import days_with_readings
from iot_pipeline.stats.relations import minute_trees
from iot_pipeline.stats.sealing import remove_superseded, seal_trees, superseded

log = structlog.get_logger(__name__)
RUN_FOLDER_AGE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Chores:
    """What a night's housekeeping has to do.

    Attributes:
        seal: closed days whose minute tables are still one file a minute.
        superseded: files that a sealed version replaced long enough ago.
        run_folders: folders of dbt runs that a crash left behind.
    """

    seal: tuple[date, ...]
    superseded: tuple[Path, ...]
    run_folders: tuple[Path, ...]


def find_chores(settings: Settings, now: datetime) -> Chores:
    """Look, and change nothing."""
    paths = settings.paths
    closed = [day for day in days_with_readings(paths) if settings.first_minute.date() <= day < now.date() - DAY]
    trees = minute_trees(paths).values()
    unsealed = [day for day in closed if any(tree.sealed.current(day) is None for tree in trees)]
    return Chores(tuple(unsealed), tuple(superseded(paths, now=now)), tuple(_left_behind(paths, now)))


def do_chores(settings: Settings, chores: Chores, now: datetime) -> None:
    """Seal and delete what `find_chores` found. Repeating it is safe."""
    for day in chores.seal:
        seal_trees(settings.paths, day)
    removed = remove_superseded(settings.paths, now=now)
    for folder in chores.run_folders:
        shutil.rmtree(folder, ignore_errors=True)
    log.info("housekeeping_done", sealed=len(chores.seal), removed=removed, run_folders=len(chores.run_folders))


def _left_behind(paths: DataPaths, now: datetime) -> list[Path]:
    folder = paths.tmp / "dbt" / "runs"
    oldest = (now - RUN_FOLDER_AGE).timestamp()
    return [path for path in folder.glob("*") if path.stat().st_mtime < oldest]
