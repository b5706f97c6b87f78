"""What the pages of these tests look at: recorded live figures around now, and small published files."""

from datetime import datetime, timedelta

import polars as pl

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.live.model import LatestReading, LiveFlag, Window
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import FLAGS_SCHEMA, device_minute_tree, flags_tree, prepare_relations
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import publish_devices, statistics
from tests.stats.world import Row, file_readings

PAYLOAD = b'{"t": 21.5, "by": "<b>nobody</b>"}'
HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "{{7*7}}",
    "'\"><script>alert(1)</script>",
    "a/b?c=d&e#f%00",
    "`${alert(1)}`",
    "日本 é",
)


def reading(device_id: str, value: float = 21.5, *, metric: str = "t", fleet: str = "weather") -> LatestReading:
    at = utc_now() - timedelta(seconds=2)
    return LatestReading(device_id, fleet, metric, "°C", value, None, "good", at, at, "c-1-0")


def flag(device_id: str, ago: timedelta, score: float = 2.5, *, detector: str = "rolling_z") -> LiveFlag:
    return LiveFlag(
        event_ts=utc_now() - ago,
        device_id=device_id,
        metric="t",
        unit="°C",
        value=99.0,
        detector=detector,
        score=score,
        expected_low=10.0,
        expected_high=20.0,
        reason=f"far above what is usual of {device_id}",
    )


def windows(minutes: int = 60) -> list[Window]:
    now = floor_minute(utc_now())
    return [
        Window(now - (minutes - index) * MINUTE, 60, 10, 20.0, 22.0, 21.0 + index % 3 / 10, 21.0, 21.2)
        for index in range(minutes)
    ]


def live_of(*devices: str, flags: tuple[LiveFlag, ...] = ()) -> RecordedLive:
    return RecordedLive([reading(device) for device in devices], list(flags), history=windows())


def publish(settings: Settings, *devices: str) -> datetime:
    """Two decoded minutes with readings whose message has landed; returns the first of them."""
    paths = settings.paths
    prepare_relations(paths)
    publish_devices(paths, devices)
    first = floor_minute(utc_now()) - 3 * MINUTE
    writer = BatchWriter(paths, "c", intake_delay=settings.intake_delay, now=lambda: first)
    landed = writer.write([Message(received_at=first, source="mqtt", topic="w/<i>1</i>", payload=PAYLOAD)])
    seconds = [timedelta(seconds=second) for second in range(0, 120, 10)]
    rows = [
        Row(first + at, 20.0 + at.total_seconds() / 10, device, "t", "°C", message_id=f"c-{landed.number}-0")
        for device in devices
        for at in seconds
    ]
    file_readings(settings, rows)
    minutes, flagged = device_minute_tree(paths), flags_tree(paths)
    for index in range(2):
        minute = first + index * MINUTE
        made = [statistics("minute", minute, device, "°C", 21.0) for device in sorted(devices)]
        minutes.write(minute, pl.DataFrame(made, schema=minutes.schema))
        flagged.write(minute, pl.DataFrame(schema=FLAGS_SCHEMA))
    return first
