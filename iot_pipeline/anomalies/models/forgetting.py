"""Which models nobody needs any more, and deleting them. Which one scores is in `store.py`.

The journal of promotions keeps what the checks said of every model that ever scored.
"""

import shutil
from collections.abc import Sequence
from datetime import date

from filelock import FileLock

from iot_pipeline.anomalies.models.model import Manifest
from iot_pipeline.anomalies.models.store import list_models, manifests, model_folder, pointer_file, promoted_on
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.files import fsync_folder
from iot_pipeline.paths import DataPaths
from iot_pipeline.retained import Level, kept_since
from iot_pipeline.stats.relations import flags_tree


def outlived(paths: DataPaths) -> list[Manifest]:
    """Models that scored and whose flags retention removed, oldest first; none while flags are kept for ever.

    A model stays that a kept minute would be scored with if it was made again, and one that a kept flag names.
    """
    since = kept_since(paths, Level.MINUTE)
    if since is None:
        return []
    scored = [one for one in manifests(paths) if _scores(paths, one) and one.day <= since]
    old = scored[:-1]  # the newest is in force on the first day that is kept
    if not old:
        return []
    named = _versions_of_flags(paths)
    return [one for one in old if one.version not in named]


def forget(paths: DataPaths, models: Sequence[Manifest]) -> None:
    """Delete these models; those that scored stop to, before their tables go."""
    if not models:
        return
    with FileLock(paths.models / "promotions.lock"):
        for one in models:
            if _scores(paths, one):
                pointer = pointer_file(paths, one.day)
                pointer.unlink()
                fsync_folder(pointer.parent)
            shutil.rmtree(model_folder(paths, one.day, one.version))
    list_models(paths)


def rejected(paths: DataPaths, before: date) -> list[Manifest]:
    """Models of days before `before` that do not score."""
    return [one for one in manifests(paths) if one.day < before and not _scores(paths, one)]


def _scores(paths: DataPaths, one: Manifest) -> bool:
    promotion = promoted_on(paths, one.day)
    return promotion is not None and promotion.version == one.version


def _versions_of_flags(paths: DataPaths) -> set[str]:
    """Versions of detectors and models that kept flags name."""
    tree = flags_tree(paths)
    found: set[str] = set()
    for day in {*tree.sealed.days(), *tree.open_days()}:
        flags = tree.read(day_start(day), day_start(day) + DAY - MINUTE)
        found.update(flags["detector_version"].unique().drop_nulls())
    return found
