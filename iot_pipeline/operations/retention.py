"""Retention: what is older than its level is kept goes, day by day, without anybody seeing half a day.

Order of everything: find what may go, record since when the level is kept (`retained.py`), move each day's folders
aside by rename, then delete. After a crash at any point the same call completes the work. Dagster's runs are pruned
in `jobs.py`; what a sealed version superseded is in `housekeeping.py`.
"""

import contextlib
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import structlog
from filelock import FileLock

from iot_pipeline.clock import DAY, day_key, day_start, parse_day
from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.files import fsync_folder
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.readings.backlog import undecoded
from iot_pipeline.readings.build import device_tree, quarantine_tree
from iot_pipeline.readings.store import event_day_files, open_root
from iot_pipeline.retained import Level, kept_since, mark_kept_since
from iot_pipeline.sealed_days import SEED_DAY, version_time
from iot_pipeline.settings import Settings
from iot_pipeline.stats.published import published_day
from iot_pipeline.stats.relations import DAY_MODELS, flags_tree, minute_marts, sealed_readings

log = structlog.get_logger(__name__)

# Days of one level that a night removes; a backlog is worked off in a few nights.
MOST_DAYS = 100
Progress = Callable[[Level, date], None]


@dataclass(frozen=True, slots=True)
class LevelPlan:
    """What may go of one level.

    Attributes:
        level: which.
        keep_days: its setting; None keeps everything.
        days: days (UTC) that go, oldest first.
        files: files of these days.
        bytes: their size.
        held: days that are old enough and stay nevertheless.
        why_held: why they stay; empty when none does.
    """

    level: Level
    keep_days: int | None
    days: tuple[date, ...]
    files: int
    bytes: int
    held: tuple[date, ...] = ()
    why_held: str = ""


def plan_retention(settings: Settings, now: datetime) -> list[LevelPlan]:
    """Look at all levels and change nothing.

    Args:
        settings: how many days each level is kept.
        now: the present instant (UTC); a level of N days keeps the present day and the N before it.
    """
    return [_plan(settings, level, now.date()) for level in Level]


def apply_retention(
    settings: Settings,
    plans: Iterable[LevelPlan],
    *,
    most_days: int | None = MOST_DAYS,
    progress: Progress = lambda _level, _day: None,
) -> int:
    """Remove what `plans` say, oldest days first; returns how many days went, over all levels.

    Raises:
        StorageUnavailable: the operating system refused; what is not removed yet stays whole.
    """
    empty_trash(settings.paths)
    removed = 0
    for plan in plans:
        days = plan.days[:most_days]
        if not days:
            continue
        mark_kept_since(settings.paths, plan.level, days[-1] + DAY)
        with contextlib.ExitStack() as stack:
            for lock in _locks(settings.paths, plan.level):
                stack.enter_context(lock)
            for day in days:
                _move_aside(settings.paths, _places(settings.paths, plan.level, day))
                progress(plan.level, day)
        removed += len(days)
        log.info("level_trimmed", level=plan.level, days=len(days), through=day_key(days[-1]))
    empty_trash(settings.paths)
    return removed


def empty_trash(paths: DataPaths) -> None:
    """Delete what was moved aside, also by a process that died."""
    for folder in trash(paths).glob("*"):
        shutil.rmtree(folder, ignore_errors=True)


def trash(paths: DataPaths) -> Path:
    """Where days wait for their deletion: below the data folder, so that a rename takes them there at once."""
    return paths.root / "removing"


def warnings(settings: Settings) -> list[str]:
    """What the settings mean that somebody may not expect."""
    found = []
    landing, readings = settings.retention_landing_days, settings.retention_readings_days
    lateness = timedelta(seconds=settings.max_lateness_seconds)
    if readings is not None and timedelta(days=readings) < lateness:
        found.append(
            f"readings are kept for {readings} days, but may come {lateness.days} days late "
            "(IOT_MAX_LATENESS_SECONDS): those for a removed day go to quarantine as `clock`"
        )
    if landing is not None and (readings is None or readings > landing):
        found.append(
            f"messages are kept for {landing} days, readings longer: what a mapping read wrongly "
            "can be decoded again within these days only"
        )
    return found


def _plan(settings: Settings, level: Level, today: date) -> LevelPlan:
    keep: int | None = getattr(settings, f"retention_{level}_days")
    if keep is None:
        return LevelPlan(level, None, (), 0, 0)
    before = today - keep * DAY
    # Months are made of their days: those of a month go together.
    before = before.replace(day=1) if level is Level.DAY else min(before, settings.first_minute.date())
    old = [day for day in _days(settings.paths, level) if day < before]
    held, why = _held(settings, level, old, before)
    days = tuple(day for day in old if day not in held)
    # What is kept is a stretch without holes: nothing goes that is younger than what stays.
    if held:
        days = tuple(day for day in days if day < min(held))
    files = [path for day in days for place in _places(settings.paths, level, day) for path in _files(place)]
    size = sum(path.stat().st_size for path in files)
    return LevelPlan(level, keep, days, len(files), size, tuple(day for day in old if day not in days), why)


def _held(settings: Settings, level: Level, old: Sequence[date], before: date) -> tuple[set[date], str]:
    """Days that nobody can spare yet, and why."""
    if level is Level.LANDING:
        waiting = {minute.date() for minute in undecoded(settings.paths, before=day_start(before))}
        return waiting & set(old), "not decoded yet" if waiting else ""
    if level is Level.READINGS:
        since = kept_since(settings.paths, level)
        # What is left of a day that is removed already is nobody's to build.
        unbuilt = {day for day in old if (since is None or day >= since) and not _built(settings.paths, day)}
        return unbuilt, "statistics of the day are not built of all of its readings yet" if unbuilt else ""
    return set(), ""


def _built(paths: DataPaths, day: date) -> bool:
    """Whether the statistics of `day` are younger than all of its readings."""
    published = published_day(paths, day)
    version = sealed_readings(paths).current(day)
    changed = [datetime.fromtimestamp(path.stat().st_mtime, UTC) for path in event_day_files(paths, day)]
    changed += [version_time(version)] if version is not None else []
    return published is not None and published >= max(changed, default=published)


def _days(paths: DataPaths, level: Level) -> list[date]:
    """Days that a level has anything of, oldest first."""
    names = {path.name for root in _roots(paths, level) for path in root.glob("dt=*")}
    days = {parse_day(name.removeprefix("dt=")) for name in names}
    return sorted(days - {SEED_DAY})


def _roots(paths: DataPaths, level: Level) -> list[Path]:
    """Folders with a folder a day, in the order in which days leave them.

    Open files before sealed ones: a sealed day hides what is open of it, so nothing of half a day ever shows.
    """
    match level:
        case Level.LANDING:
            trees = [quarantine_tree(paths), device_tree(paths)]
            roots = [paths.landing, paths.readings / "filed"]
        case Level.READINGS:
            return [open_root(paths), sealed_readings(paths).root]
        case Level.MINUTE:
            trees, roots = [*minute_marts(paths).values(), flags_tree(paths)], []
        case Level.DAY:
            return [
                paths.day_flags,
                paths.events,
                *(paths.marts / model.name for model in DAY_MODELS if model.period in ("hour", "day")),
            ]
    return [*roots, *(root for tree in trees for root in (tree.open, tree.sealed.root))]


def _places(paths: DataPaths, level: Level, day: date) -> list[Path]:
    found = [day_folder(root, day) for root in _roots(paths, level)]
    if level is Level.LANDING:
        found += (paths.ledger / "landing").glob(f"*/{day_key(day)}.jsonl")
    return [path for path in found if path.exists()]


def _locks(paths: DataPaths, level: Level) -> Iterator[AbstractContextManager[object]]:
    """What keeps others from writing to days while they go."""
    match level:
        case Level.LANDING:
            yield from (tree.lock() for tree in (quarantine_tree(paths), device_tree(paths)))
        case Level.READINGS:
            paths.readings.mkdir(parents=True, exist_ok=True)
            yield FileLock(paths.readings / "sealing.lock")
        case Level.MINUTE:
            trees = (*minute_marts(paths).values(), flags_tree(paths))
            yield from (tree.lock() for tree in trees)
        case Level.DAY:
            return


def _move_aside(paths: DataPaths, places: Iterable[Path]) -> None:
    folder = trash(paths) / uuid.uuid4().hex[:12]
    try:
        folder.mkdir(parents=True)
        for number, place in enumerate(places):
            place.rename(folder / str(number))
            fsync_folder(place.parent)
    except OSError as error:
        raise StorageUnavailable(
            f"cannot move a day aside to {folder}: {error.strerror or error}; what was not moved stays whole, "
            "and the next housekeeping goes on"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    else:
        yield from (path for path in place.rglob("*") if path.is_file())
