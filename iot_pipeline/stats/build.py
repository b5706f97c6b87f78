"""Building statistics: write into a throw-away database, audit it with dbt's tests, publish what passed.

    <data>/tmp/dbt/<run>/warehouse.duckdb    sources of one window, tables of the models; deleted afterwards

The two entry points are plain functions over files. Nothing is locked: runs of different windows work side by
side, and of the same window the last one to publish wins. Only `dim_device` is one file for all: of two minute
runs at the same instant one can lose a device's newest word until it speaks again, so Dagster runs one at a time.
A failed test publishes nothing.
"""

import contextlib
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import structlog

from iot_pipeline.clock import DAY, MINUTE, day_key, day_start, floor_minute, minute_key, utc_now
from iot_pipeline.errors import DataError
from iot_pipeline.paths import DataPaths
from iot_pipeline.retained import Level, refuse_removed
from iot_pipeline.settings import Settings
from iot_pipeline.stats.dbt_build import DbtOutcome, OnEvent, run_dbt
from iot_pipeline.stats.followers import announce_followers
from iot_pipeline.stats.inputs import DayInput, day_input_files, minute_input_files
from iot_pipeline.stats.publish import PartitionRows, publish_days, publish_dim_device, publish_minutes
from iot_pipeline.stats.published import front
from iot_pipeline.stats.run_sources import Corrected, make_day_sources, make_minute_sources, reading_rows
from iot_pipeline.stats.sealing import days_between
from iot_pipeline.stats.session import engine

log = structlog.get_logger(__name__)

MOST_MINUTES = 1440
MOST_DAYS = 366
# Readings that one dbt run of days takes: exact quantiles keep all values in memory.
ROWS_AT_ONCE = 20_000_000
FAILED_RUNS_KEPT = 10


class StatisticsError(DataError):
    """A model or a test failed. Nothing of its run was published: the marts are as they were before."""


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build came to.

    Attributes:
        partitions: rows by published model and partition key (minute or first day of the period).
        readings: readings in the files of the window (those later found to be duplicates included).
        runs: dbt invocations.
        seconds: wall time.
        corrected: what corrections did to the readings.
    """

    partitions: Mapping[str, PartitionRows]
    readings: int
    runs: int
    seconds: float
    corrected: Corrected

    @property
    def rows(self) -> Mapping[str, int]:
        """Published rows by model."""
        return {model: sum(parts.values()) for model, parts in self.partitions.items()}


def build_minutes_stats(
    settings: Settings, first: datetime, last: datetime, run_id: str, on_event: OnEvent | None = None
) -> BuildReport:
    """Build the minute models of the event minutes `first` to `last`, both included, and merge `dim_device`.

    Args:
        settings: where the data is.
        first: first minute (UTC).
        last: last minute (UTC), at most `MOST_MINUTES` in all.
        run_id: names the run folder, e.g. Dagster's run id.
        on_event: receives dbt's events while it runs.

    Raises:
        StatisticsError: a model or test failed; nothing was published.
        RemovedError: retention removed readings of the window; nothing was built.
        StorageUnavailable: a partition could not be written; those before it were, and building again is safe.
        ValueError: the window is empty or too long.
    """
    first, last = floor_minute(first), floor_minute(last)
    if not first <= last < first + MOST_MINUTES * MINUTE:
        raise ValueError(f"a window has 1 to {MOST_MINUTES} minutes, not {minute_key(first)} to {minute_key(last)}")
    refuse_removed(settings.paths, Level.READINGS, first.date())
    started = time.perf_counter()
    inputs = minute_input_files(settings.paths, first, last)
    name = f"minutes {minute_key(first)} to {minute_key(last)}"
    with _run_folder(settings.paths, run_id) as folder:
        database = folder / "warehouse.duckdb"
        with engine(settings.paths, database) as connection:
            corrected = make_minute_sources(connection, settings, inputs, first, last)
        outcome = run_dbt(
            settings.paths, database=database, select="+tag:minute", first=first, end=last + MINUTE, on_event=on_event
        )
        _refuse_failures(outcome, name, folder)
        with engine(settings.paths, database, read_only=True) as connection:
            partitions = {
                **publish_minutes(connection, settings.paths, first, last),
                "dim_device": {"": publish_dim_device(connection, settings.paths)},
            }
    report = BuildReport(partitions, reading_rows(inputs), 1, time.perf_counter() - started, corrected)
    log.info("minutes_built", first=minute_key(first), last=minute_key(last), rows=report.rows["device_minute"])
    return report


def build_days(
    settings: Settings, first: date, last: date, run_id: str, on_event: OnEvent | None = None
) -> BuildReport:
    """Build the hours and days `first` to `last`, both included, and the months and years that hold them.

    Small days share a dbt run, so that a year of a small site is one; a run takes days of at most
    `ROWS_AT_ONCE` readings, because exact quantiles are held in memory. Days that are not sealed are
    built from what is there, so the present day is one "so far".

    Raises:
        StatisticsError: a model or test failed; nothing of its days was published. The message names them.
        RemovedError: retention removed readings of the window; nothing was built.
        StorageUnavailable: a partition could not be written; building again is safe.
        ValueError: the window is empty or longer than `MOST_DAYS`.
    """
    if not first <= last < first + MOST_DAYS * DAY:
        raise ValueError(f"a window has 1 to {MOST_DAYS} days, not {first} to {last}")
    refuse_removed(settings.paths, Level.READINGS, first)
    started, as_of = time.perf_counter(), utc_now()
    decoded = front(settings.paths)
    seen_until = as_of if decoded is None else decoded + MINUTE
    partitions: dict[str, dict[str, int]] = {}
    readings = runs = 0
    changed: list[Corrected] = []
    inputs = {day: day_input_files(settings.paths, day) for day in days_between(first, last)}
    for days in _chunks(inputs):
        taken = [inputs[day] for day in days]
        chunk = _Chunk(days, taken, as_of, seen_until, f"{run_id}-{runs}", last)
        published, corrected = _build_chunk(settings, chunk, on_event)
        for model, rows in published.items():
            partitions.setdefault(model, {}).update(rows)
        changed.append(corrected)
        readings += reading_rows(taken)
        runs += 1
    corrections = Corrected(sum(one.readings for one in changed), max(one.corrections for one in changed))
    report = BuildReport(partitions, readings, runs, time.perf_counter() - started, corrections)
    log.info("days_built", first=day_key(first), last=day_key(last), rows=report.rows["device_day"], runs=runs)
    return report


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Days of one dbt run.

    Attributes:
        days: in order.
        inputs: of each day.
        as_of: when the inputs were listed.
        seen_until: until when what happened had been decoded then.
        run_id: the name of the run.
        last: the last day of all runs.
    """

    days: Sequence[date]
    inputs: Sequence[DayInput]
    as_of: datetime
    seen_until: datetime
    run_id: str
    last: date


def _build_chunk(
    settings: Settings, chunk: _Chunk, on_event: OnEvent | None
) -> tuple[Mapping[str, PartitionRows], Corrected]:
    days = chunk.days
    with _run_folder(settings.paths, chunk.run_id) as folder:
        database = folder / "warehouse.duckdb"
        with engine(settings.paths, database) as connection:
            corrected = make_day_sources(connection, settings, chunk.inputs, days)
        outcome = run_dbt(
            settings.paths,
            database=database,
            select="+tag:day",
            first=day_start(days[0]),
            end=day_start(days[-1]) + DAY,
            seen_until=chunk.seen_until,
            on_event=on_event,
        )
        _refuse_failures(outcome, f"days {day_key(days[0])} to {day_key(days[-1])}", folder)
        with engine(settings.paths, database, read_only=True) as connection:
            announce_followers(connection, settings.paths, days, last=chunk.last)
            return publish_days(connection, settings.paths, days, as_of=chunk.as_of), corrected


def _chunks(inputs: Mapping[date, DayInput]) -> Iterator[list[date]]:
    days: list[date] = []
    rows = 0
    for day, found in inputs.items():
        found_rows = reading_rows([found])
        if days and rows + found_rows > ROWS_AT_ONCE:
            yield days
            days, rows = [], 0
        days.append(day)
        rows += found_rows
    if days:
        yield days


def _refuse_failures(outcome: DbtOutcome, window: str, folder: Path) -> None:
    """Raise unless every model was built and every test passed."""
    if outcome.error is None and not outcome.failures and outcome.nodes:
        return
    failed = [f"  {node.name}: {node.message}" for node in outcome.failures]
    reasons = "\n".join([*failed, *([f"  {outcome.error}"] if outcome.error else []), *outcome.messages])
    raise StatisticsError(
        f"statistics of {window} were not published, what was published before is as it was:\n"
        f"{reasons or '  dbt selected nothing'}\n"
        f"The database of the run is kept: duckdb {_failed(folder) / 'warehouse.duckdb'}"
    )


@contextlib.contextmanager
def _run_folder(paths: DataPaths, run_id: str) -> Iterator[Path]:
    """A folder for one run, deleted on success; of failed runs the last few are kept to be looked at."""
    runs = paths.tmp / "dbt" / "runs"
    folder = runs / f"{run_id}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        kept = _failed(folder)
        kept.parent.mkdir(exist_ok=True)
        folder.rename(kept)
        _keep_newest(kept.parent, FAILED_RUNS_KEPT)
        raise
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _failed(folder: Path) -> Path:
    """Where the folder of a run goes when the run fails."""
    return folder.parent.parent / "failed" / folder.name


def _keep_newest(folder: Path, count: int) -> None:
    by_age = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in by_age[count:]:
        shutil.rmtree(old, ignore_errors=True)
