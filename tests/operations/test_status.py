"""`iot status`: the same keys whether everything runs or nothing does, and lags that are right."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, write_heartbeat
from iot_pipeline.operations.status import COUNTS, Freshness, gather
from iot_pipeline.operations.status_text import print_status
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import INTAKE_SCHEMA
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.published import newest_in
from iot_pipeline.trees import MinuteTree

KEYS = {
    "at", "data", "running", "up_pid", "up_since", "dagster_url", "web_url", "broker", "processes", "collectors",
    "today", "landing", "readings", "device_minute", "disk_free_bytes",
}  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path, broker_url="mqtt://127.0.0.1:1")


def beat(now: datetime, **changes: object) -> CollectorHeartbeat:
    plain = CollectorHeartbeat(
        collector="collector-1", pid=1, started_at=now, written_at=now, connected=True, messages=7, payload_bytes=70,
        batches=1, duplicates_flagged=0, unacked=0, pending_rows=0, last_received_at=now, landed_through=now,
        reconnects=0, last_error=None, broker="127.0.0.1:1883", cpu_seconds=0.1, rss_bytes=1,
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]  # each test names fields that exist


def intake(paths: DataPaths, minute: datetime, **counts: int) -> None:
    tree = MinuteTree(paths.intake, INTAKE_SCHEMA)
    columns = {name: [counts.get(name, 0) if name in COUNTS else None] for name in INTAKE_SCHEMA}
    tree.write(minute, pl.DataFrame({**columns, "minute": [minute]}, schema=INTAKE_SCHEMA))


def test_when_nothing_ever_ran(settings: Settings) -> None:
    found = gather(settings)
    assert set(json.loads(found.model_dump_json())) == KEYS
    assert not found.running
    assert not found.broker.answers
    assert found.landing.freshness is Freshness.unknown
    console = Console(record=True, width=200)
    print_status(found, console)
    assert "nothing runs on this data folder" in console.export_text()


def test_counts_and_lags(settings: Settings) -> None:
    now = utc_now()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    last = floor_minute(now)
    write_heartbeat(settings.paths, beat(now))
    intake(settings.paths, midnight - MINUTE, messages=1000)
    intake(settings.paths, last, messages=5, decoded=4, quarantined=1, readings=40)
    found = gather(settings)
    assert (found.today.messages, found.today.readings, found.today.quarantined) == (5, 40, 1)
    assert found.readings.last == last
    assert found.readings.freshness is Freshness.ok
    assert found.landing.freshness is Freshness.ok
    assert found.device_minute.freshness is Freshness.unknown
    assert [collector.alive for collector in found.collectors] == [True]


def test_each_collector_has_a_line_with_its_kind(settings: Settings) -> None:
    now = utc_now()
    write_heartbeat(settings.paths, beat(now, counts={"left_to_sparkplug": 12}))
    write_heartbeat(settings.paths, beat(now, collector="collector-1-sparkplug", source=SourceKind.sparkplug))
    old = now - timedelta(minutes=10)
    write_heartbeat(
        settings.paths,
        beat(now, collector="x-opcua", source=SourceKind.opcua, stopped=True, written_at=old, landed_through=old),
    )
    found = gather(settings)
    assert [(each.source, each.alive) for each in found.collectors] == [
        ("mqtt", True),
        ("sparkplug", True),
        ("opcua", False),
    ]
    assert found.landing.freshness is Freshness.ok  # The stopped one holds nothing up.
    console = Console(record=True, width=80)
    print_status(found, console)
    [mqtt, sparkplug, opcua] = [line for line in console.export_text().splitlines() if "messages since" in line]
    assert mqtt.startswith("collector-1 (mqtt)  connected to 127.0.0.1:1883: 7 messages")
    assert "12 left to sparkplug" in mqtt
    assert sparkplug.startswith("collector-1-sparkplug (sparkplug)  connected")
    assert opcua.startswith("x-opcua (opcua)  stopped; was at")


def test_late_is_told(settings: Settings) -> None:
    now = utc_now()
    write_heartbeat(settings.paths, beat(now, written_at=now, landed_through=now - timedelta(minutes=2)))
    intake(settings.paths, floor_minute(now - timedelta(minutes=20)))
    found = gather(settings)
    assert found.landing.freshness is Freshness.late
    assert found.readings.freshness is Freshness.late
    assert found.readings.lag_seconds == pytest.approx(19 * 60, abs=62)


def test_the_newest_minute_is_found_by_name(tmp_path: Path) -> None:
    tree = MinuteTree(tmp_path, {"x": pl.Int64()})
    assert newest_in(MinuteTree(tmp_path, {})) is None
    tree.prepare()
    first = floor_minute(utc_now()) - timedelta(days=40)
    for minute in (first, first + timedelta(days=2, hours=3), first + timedelta(days=1)):
        tree.write(minute, tree.empty())
    assert newest_in(MinuteTree(tmp_path, {})) == first + timedelta(days=2, hours=3)
