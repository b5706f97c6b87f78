"""What may be deleted once a night because something newer replaced it, and doing it.

What goes because of its age is `retention.py`. Dagster's own history is pruned in `jobs.py`, because only
Dagster can do that; sealing is part of the day chain.
"""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from iot_pipeline.anomalies.models.forgetting import forget, outlived
from iot_pipeline.anomalies.models.model import Manifest
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.sealing import remove_superseded, superseded

log = structlog.get_logger(__name__)
RUN_FOLDER_AGE = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Chores:
    """What a night's housekeeping has to do.

    Attributes:
        superseded: files that a sealed version replaced long enough ago.
        run_folders: folders of dbt runs that a crash left behind.
        models: learned models whose flags retention removed.
    """

    superseded: tuple[Path, ...]
    run_folders: tuple[Path, ...]
    models: tuple[Manifest, ...]


def find_chores(paths: DataPaths, now: datetime) -> Chores:
    """Look, and change nothing."""
    return Chores(tuple(superseded(paths, now=now)), tuple(_left_behind(paths, now)), tuple(outlived(paths)))


def do_chores(paths: DataPaths, chores: Chores, now: datetime) -> None:
    """Delete what `find_chores` found. Repeating it is safe."""
    removed = remove_superseded(paths, now=now)
    for folder in chores.run_folders:
        shutil.rmtree(folder, ignore_errors=True)
    forget(paths, chores.models)
    log.info("housekeeping_done", removed=removed, run_folders=len(chores.run_folders), models=len(chores.models))


def _left_behind(paths: DataPaths, now: datetime) -> list[Path]:
    folder = paths.tmp / "dbt" / "runs"
    oldest = (now - RUN_FOLDER_AGE).timestamp()
    return [path for path in folder.glob("*") if path.stat().st_mtime < oldest]
