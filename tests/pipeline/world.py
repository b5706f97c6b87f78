"""A data folder with Dagster around it, driven as the daemon drives it, but in this process.

Time is that of two days ago, so that nothing depends on when the tests run: what is closed is said
by the heartbeat, which the world writes itself.
"""

import random
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from dagster._core.definitions.sensor_definition import SensorExecutionData
from msgspec import structs

from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.anomalies.events.store import read_events
from iot_pipeline.clock import DAY, MINUTE, day_start, utc_now
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, write_heartbeat
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.partitions import RANGE_END_TAG, RANGE_START_TAG
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.lateness import journal_path
from iot_pipeline.stats.relations import DAY_MODELS, device_minute_tree, flags_tree, published_file
from sensors_sim.registry import FLEETS, build_fleet
from sensors_sim.weather import STATIONS

COLLECTOR = "collector-1"
# The day before yesterday: closed whatever the time is, within the minute window, and sealed with its day.
TEN = day_start((utc_now() - 2 * DAY).date()) + timedelta(hours=10)
THE_DAY = TEN.date()
STATION = STATIONS[0].device_id
Span = tuple[str | None, str, str]


@dataclass
class World:
    """One data folder, its definitions and a Dagster instance of its own."""

    settings: Settings
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    cursors: dict[str, str | None] = field(default_factory=dict)
    closed: datetime | None = None

    def with_settings(self, **overrides: object) -> "World":
        """The same folder, history and cursors under other settings."""
        kept = {"data": self.settings.data, "minute_start": self.settings.minute_start}
        settings = load_settings(**{**kept, **overrides})
        return World(settings, define(settings), self.instance, self.cursors)

    def land(self, messages: Iterable[Message], *, batch: int = 5000) -> None:
        """Write batches as the collector does."""
        writer = BatchWriter(self.settings.paths, COLLECTOR, intake_delay=self.settings.intake_delay)
        waiting = list(messages)
        for start in range(0, len(waiting), batch):
            writer.write(waiting[start : start + batch])

    def close_through(self, minute: datetime) -> None:
        """Let the collector say that everything of landing minute `minute` and before has landed, again and again."""
        self.closed = minute
        now = utc_now()
        beat = CollectorHeartbeat(
            collector=COLLECTOR,
            pid=1,
            started_at=now,
            written_at=now,
            connected=True,
            messages=0,
            payload_bytes=0,
            batches=0,
            duplicates_flagged=0,
            unacked=0,
            pending_rows=0,
            last_received_at=None,
            landed_through=minute + MINUTE + self.settings.intake_delay,
            reconnects=0,
            last_error=None,
            broker="127.0.0.1:1883",
            cpu_seconds=0.0,
            rss_bytes=0,
        )
        write_heartbeat(self.settings.paths, beat)

    def tick(self, sensor: str) -> list[dg.RunRequest]:
        """Evaluate a sensor as the daemon does: with its cursor, which is kept."""
        found = self.evaluate(sensor)
        if found.cursor is not None:
            self.cursors[sensor] = found.cursor
        return list(found.run_requests or [])

    def evaluate(self, sensor: str) -> SensorExecutionData:
        """Evaluate a sensor and keep nothing."""
        if self.closed is not None:
            # A collector that was silent for long counts as dead, and runs take as long as they take.
            self.close_through(self.closed)
        context = dg.build_sensor_context(
            instance=self.instance, cursor=self.cursors.get(sensor), definitions=self.definitions
        )
        return self.definitions.get_repository_def().get_sensor_def(sensor).evaluate_tick(context)

    def scheduled(self, schedule: str) -> list[dg.RunRequest]:
        """What a schedule asks for now."""
        repository = self.definitions.get_repository_def()
        context = dg.build_schedule_context(
            instance=self.instance, scheduled_execution_time=utc_now(), repository_def=repository
        )
        return list(repository.get_schedule_def(schedule).evaluate_tick(context).run_requests or [])

    def run(self, request: dg.RunRequest, job: str, *, fails: bool = False) -> dg.ExecuteInProcessResult:
        """Execute what was asked for; `job` for requests of a sensor with one job only."""
        result = self.definitions.resolve_job_def(request.job_name or job).execute_in_process(
            instance=self.instance, tags=dict(request.tags), raise_on_error=not fails
        )
        assert result.success is not fails
        return result

    def run_range(self, job: str, first: str, last: str, *, fails: bool = False) -> dg.ExecuteInProcessResult:
        """Execute `job` over partitions that nobody asked for."""
        tags = {RANGE_START_TAG: first, RANGE_END_TAG: last}
        return self.run(dg.RunRequest(tags=tags), job, fails=fails)

    def settle(self, *sensors: str) -> None:
        """Tick these sensors and run what they ask for until none has anything to ask for."""
        jobs = {"landed_minutes": "minute_chain", "late_minutes": "late_minutes", "late_days": "day_chain"}
        asked = True
        while asked:
            asked = False
            for sensor in sensors:
                job = jobs[sensor]
                for request in self.tick(sensor):
                    self.run(request, job)
                    asked = True

    def device_minute(self) -> pl.DataFrame:
        """Statistics of the day, as they are published."""
        return device_minute_tree(self.settings.paths).read(day_start(TEN.date()), TEN + timedelta(hours=1))

    def day_mart(self, model: str, day: date = THE_DAY) -> pl.DataFrame:
        """The partition of a day model that holds the day."""
        wanted = next(known for known in DAY_MODELS if known.name == model).partition(day)
        return pl.read_parquet(published_file(self.settings.paths, model, wanted), hive_partitioning=False)

    def flags(self) -> pl.DataFrame:
        """Flags of the day."""
        return flags_tree(self.settings.paths).read(day_start(TEN.date()), TEN + timedelta(hours=1))

    def events(self, *, withdrawn: bool = False) -> pl.DataFrame:
        """Anomaly events of the day without the names and revisions that tell of earlier looks."""
        events = read_events(self.settings.paths, TEN.date(), TEN.date())
        gone = pl.col("status") == EventStatus.WITHDRAWN.value
        return events.filter(gone if withdrawn else ~gone).drop("event_id", "revision")

    def journal_size(self) -> int:
        """Bytes of the journal of changed readings."""
        return journal_path(self.settings.paths).stat().st_size


def define(settings: Settings) -> dg.Definitions:
    """The definitions for one data folder, whatever folder the environment names."""
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        # As the module itself does; and dbt's parser of SQL warns that its own companion is old.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        warnings.simplefilter("ignore", category=DeprecationWarning)
        # Loading the module makes definitions too, for the folder that the environment names.
        patch.setenv("IOT_DATA", str(settings.data))
        from iot_pipeline.definitions import build_definitions  # noqa: PLC0415

        return build_definitions(settings)


def spans(requests: Iterable[dg.RunRequest]) -> set[Span]:
    """(job, first, last partition) of requests."""
    return {(request.job_name, request.tags[RANGE_START_TAG], request.tags[RANGE_END_TAG]) for request in requests}


def made(result: dg.ExecuteInProcessResult) -> Mapping[tuple[str, str], dg.AssetMaterialization]:
    """Materialisations of a run by asset and partition."""
    return {
        (event.materialization.asset_key.to_user_string(), event.materialization.partition or ""): event.materialization
        for event in (event.step_materialization_data for event in result.get_asset_materialization_events())
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Outcome of each asset check of a run, by name."""
    return {found.check_name: found.passed for found in result.get_asset_check_evaluations()}


def fleet_messages(first: datetime, end: datetime) -> list[Message]:
    """What the five fleets send from `first` until just before `end`, received at once, in order."""
    fleets = [build_fleet(name, seed=1, start=first, rate_factor=0.2 if name == "utility" else 1.0) for name in FLEETS]
    messages = [
        Message(sent.due, "mqtt", sent.topic, sent.payload, sent.qos, sent.retain)
        for step in range(int((end - first) / timedelta(seconds=0.5)))
        for fleet in fleets
        for sent in fleet.messages(first + step * timedelta(seconds=0.5))
        if sent.due < end
    ]
    return sorted(messages, key=lambda message: message.received_at)


def weather(event: datetime, received_at: datetime, value: float = 9.5, station: str = STATION) -> Message:
    """One observation of a weather station."""
    payload = f'{{"deviceid": "{station}", "temperature": {value}, "time": "{event:%Y-%m-%dT%H:%M:%S.%fZ}"}}'
    return Message(received_at, "mqtt", f"weather/{station}/observation", payload.encode(), 1, False)


def delayed(messages: Sequence[Message], longest: timedelta, *, seed: int = 5) -> list[Message]:
    """The same messages on other ways: each as late as chance says, so that they overtake each other.

    Sparkplug is a session whose messages build on each other, so all of it takes the same way.
    """
    chance = random.Random(seed)
    late = [
        structs.replace(
            message,
            received_at=message.received_at
            + longest * (0.5 if message.topic.startswith("spBv1.0/") else chance.random()),
        )
        for message in messages
    ]
    return sorted(late, key=lambda message: message.received_at)
