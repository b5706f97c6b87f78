"""`iot status`: what runs, what came in, how far the statistics are. Looks only, changes nothing.

Whether the installation is sound is `doctor/`'s question. Everything here is read from files
that are replaced whole, so it works at any moment, also when nothing runs.

The JSON keys are an interface: they are added to, not renamed. Instants are ISO 8601 in UTC.
"""

import shutil
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, BaseModel

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, read_heartbeats
from iot_pipeline.operations.ports import answers
from iot_pipeline.operations.runstate import ProcessReport, attached, read_report
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import INTAKE_SCHEMA
from iot_pipeline.settings import Settings
from iot_pipeline.stats.published import newest_in
from iot_pipeline.trees import MinuteTree

# A heartbeat comes every second; a batch waits `batch_seconds` at most and then has to be written.
LANDING_LATE = timedelta(seconds=30)
# In the normal course a minute is built within a minute or two of its close.
BUILD_LATE = timedelta(minutes=5)

COUNTS = ("messages", "decoded", "duplicates", "no_reading", "quarantined", "readings")


class Freshness(StrEnum):
    """Whether a stage keeps up."""

    ok = "ok"
    late = "late"
    unknown = "unknown"
    """Nothing to judge by: it has not run on this data folder, or not today."""


class Collector(BaseModel):
    """One collector, by its last heartbeat. Counters are since it was started."""

    collector: str
    source: SourceKind
    """Kind of connection."""
    alive: bool
    """A heartbeat came within the last seconds, and it did not say that the collector stops."""
    stopped: bool
    """It was stopped in good order."""
    connected: bool
    broker: str
    messages: int
    payload_bytes: int
    pending_rows: int
    unacked: int
    duplicates_flagged: int
    counts: dict[str, int]
    """What only this kind of source counts."""
    reconnects: int
    last_received_at: AwareDatetime | None
    landed_through: AwareDatetime
    last_error: str | None


class Today(BaseModel):
    """Sum of the intake account over the landing minutes built since midnight UTC.

    messages = decoded + duplicates + no_reading + quarantined.
    """

    messages: int
    decoded: int
    duplicates: int
    no_reading: int
    quarantined: int
    readings: int
    minutes: int
    """How many landing minutes these are."""


class Stage(BaseModel):
    """How far a stage is."""

    last: AwareDatetime | None
    """Landing: everything received before this is on disk. Otherwise: the newest minute built."""
    lag_seconds: float | None
    """Now minus `last`, for minutes counted from their end."""
    freshness: Freshness


class Broker(BaseModel):
    """The broker that this data folder is fed from."""

    url: str
    answers: bool


class Status(BaseModel):
    """Everything that `iot status --json` prints."""

    at: AwareDatetime
    data: Path
    running: bool
    """Whether an `iot up` runs on this data folder."""
    up_pid: int | None
    up_since: AwareDatetime | None
    dagster_url: str | None
    web_url: str | None
    broker: Broker
    processes: list[ProcessReport]
    collectors: list[Collector]
    today: Today
    landing: Stage
    readings: Stage
    device_minute: Stage
    disk_free_bytes: int


def gather(settings: Settings) -> Status:
    """Look at everything once; takes well under a second on a day of minutes."""
    now = utc_now()
    settings = attached(settings)
    paths = settings.paths
    report = read_report(paths)
    running = report is not None and report.alive
    beats = read_heartbeats(paths)
    return Status(
        at=now,
        data=paths.root,
        running=running,
        up_pid=report.pid if report and running else None,
        up_since=report.started_at if report and running else None,
        dagster_url=report.dagster_url if report and running else None,
        web_url=report.web_url if report and running else None,
        broker=Broker(url=settings.broker_url, answers=answers(settings.broker_host, settings.broker_port)),
        processes=report.processes if report and running else [],
        collectors=[_collector(beat, now) for beat in beats],
        today=_today(paths, now),
        landing=_landing(beats, now),
        readings=_built(paths.intake, now),
        device_minute=_built(paths.marts / "device_minute", now),
        disk_free_bytes=shutil.disk_usage(_existing(paths.root)).free,
    )


def _collector(beat: CollectorHeartbeat, now: datetime) -> Collector:
    shared = {name: getattr(beat, name) for name in Collector.model_fields if name != "alive"}
    return Collector(alive=beat.alive(now), **shared)


def _today(paths: DataPaths, now: datetime) -> Today:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    account = MinuteTree(paths.intake, INTAKE_SCHEMA).read(midnight, now)
    return Today(minutes=account.height, **{name: int(account[name].sum()) for name in COUNTS})


def _landing(beats: list[CollectorHeartbeat], now: datetime) -> Stage:
    if not beats:
        return Stage(last=None, lag_seconds=None, freshness=Freshness.unknown)
    # The slowest collector that is alive counts; when none is, the one that was last.
    alive = [beat for beat in beats if beat.alive(now)]
    last = min(beat.landed_through for beat in alive) if alive else max(beat.landed_through for beat in beats)
    return _stage(last, now - last, LANDING_LATE)


def _built(root: Path, now: datetime) -> Stage:
    last = newest_in(MinuteTree(root, {}))
    if last is None:
        return Stage(last=None, lag_seconds=None, freshness=Freshness.unknown)
    return _stage(last, now - (floor_minute(last) + MINUTE), BUILD_LATE)


def _stage(last: datetime, lag: timedelta, late: timedelta) -> Stage:
    verdict = Freshness.late if lag > late else Freshness.ok
    return Stage(last=last, lag_seconds=round(lag.total_seconds(), 1), freshness=verdict)


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())
