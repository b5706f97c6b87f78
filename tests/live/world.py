"""Landing by the product's own writer, a layer that is turned by hand, and what windows should be by plain Python."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from iot_pipeline.clock import MINUTE, floor_minute
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.live.layer import LiveLayer
from iot_pipeline.live.model import Window
from iot_pipeline.readings.build import intake_tree
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import DEVICE_MINUTE_SCHEMA, device_minute_tree

NOW = datetime(2026, 11, 22, 10, 30, 30, tzinfo=UTC)
MAPPING = """
name: bench
fleet: bench
topic: bench/{device}/{metric}
device_id: "{device}"
metric: "{metric}"
timestamp: {paths: ts, unit: us}
values: [{path: value, text: reading}]
unit: "{unit}"
attributes: {customer: "{customer}", region: "{region}", state: "{state}"}
"""
Key = tuple[str, str, str | None]


@dataclass(frozen=True)
class Told:
    """One message of one reading."""

    event_ts: datetime
    value: float | str = 1.0
    device: str = "pump"
    metric: str = "pressure"
    unit: str | None = "bar"
    customer: str | None = None
    region: str | None = None
    state: str | None = None
    received_at: datetime = NOW

    @property
    def key(self) -> Key:
        return self.device, self.metric, self.unit

    @property
    def message(self) -> Message:
        payload: dict[str, object] = {"ts": round(self.event_ts.timestamp() * 1e6), "value": self.value}
        told = {"unit": self.unit, "customer": self.customer, "region": self.region, "state": self.state}
        payload |= {name: value for name, value in told.items() if value is not None}
        topic = f"bench/{self.device}/{self.metric}"
        return Message(self.received_at, "mqtt", topic, msgspec.json.encode(payload))


def settings_in(folder: Path, *, mapping: str = MAPPING, **overrides: object) -> Settings:
    mappings = folder / "mappings"
    mappings.mkdir(parents=True, exist_ok=True)
    (mappings / "bench.yaml").write_text(mapping)
    return load_settings(data=folder / "data", mappings=mappings, **overrides)


def writer(settings: Settings, collector: str = "c-1") -> BatchWriter:
    return BatchWriter(settings.paths, collector, intake_delay=settings.intake_delay)


def land(settings: Settings, *batches: Sequence[Told], collector: str = "c-1") -> None:
    own = writer(settings, collector)
    for batch in batches:
        if batch:
            own.write([told.message for told in batch])


def layer_on(settings: Settings, now: datetime = NOW) -> LiveLayer:
    """A layer that did everything there was to do, and has no thread."""
    layer = LiveLayer(settings, now=lambda: now)
    turn(layer)
    return layer


def turn(layer: LiveLayer, *, now: datetime | None = None) -> None:
    """Do in this thread what is to do now, chores included; `now` sets the layer's clock first."""
    if now is not None:
        layer._now = layer._following._now = lambda: now
    following = layer._following
    for _ in range(2):
        for chore in following.chores.values():
            chore.hurry()
        while following.turn() or any(chore.overdue >= 0 for chore in following.chores.values()):
            pass


def windows(told: Iterable[Told], seconds: int) -> dict[Key, list[Window]]:
    """Windows of numbers by plain Python: of equal identities the first one told counts."""
    first: dict[tuple[Key, datetime], Told] = {}
    for one in told:
        first.setdefault((one.key, one.event_ts), one)
    groups: dict[tuple[Key, int], list[Told]] = {}
    for one in sorted(first.values(), key=lambda one: one.event_ts):
        if isinstance(one.value, float):
            groups.setdefault((one.key, int(one.event_ts.timestamp()) // seconds), []).append(one)
    found: dict[Key, list[Window]] = {}
    for (key, number), group in sorted(groups.items(), key=lambda item: item[0][1]):
        values = [one.value for one in group if isinstance(one.value, float)]
        start = datetime.fromtimestamp(number * seconds, UTC)
        mean = math.fsum(values) / len(values)
        found.setdefault(key, []).append(
            Window(start, seconds, len(values), min(values), max(values), mean, values[0], values[-1])
        )
    return found


def publish_minutes(settings: Settings, told: Sequence[Told], until: datetime) -> None:
    """Publish `device_minute` of all minutes up to `until` as the batch layer would, and that they were decoded."""
    rows: dict[datetime, list[dict[str, object]]] = {floor_minute(until): []}
    for (device, metric, unit), own in windows(told, 60).items():
        for window in own:
            if window.start <= until:
                row = {name: getattr(window, name) for name in ("count", "min", "max", "mean", "first", "last")}
                row |= {"minute": window.start, "device_id": device, "metric": metric, "unit": unit}
                row["stddev"] = deviation(told, (device, metric, unit), window)
                rows.setdefault(window.start, []).append(row)
    tree = device_minute_tree(settings.paths)
    for minute, found in rows.items():
        tree.write(minute, pl.DataFrame(found, schema=DEVICE_MINUTE_SCHEMA))
    intake = intake_tree(settings.paths)
    intake.write(floor_minute(until), intake.empty())


def deviation(told: Iterable[Told], key: Key, window: Window) -> float | None:
    """Sample standard deviation of a window of different readings; None for a single one."""
    end = window.start + timedelta(seconds=window.seconds)
    values = [one.value for one in told if one.key == key and window.start <= one.event_ts < end]
    numbers = [value for value in values if isinstance(value, float)]
    return statistics.stdev(numbers) if len(numbers) > 1 else None


def near(found: Window, expected: Window, *, rounding: float = 1e-12) -> bool:
    """Whether two windows are equal but for `rounding`, as a share of the largest figure."""
    if (found.start, found.seconds, found.count) != (expected.start, expected.seconds, expected.count):
        return False
    size = max(abs(expected.min), abs(expected.max), 1e-300)
    names = ("min", "max", "mean", "first", "last")
    return all(abs(getattr(found, name) - getattr(expected, name)) <= rounding * size for name in names)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def minute(number: int) -> datetime:
    """The begin of the minute `number` minutes before the present one."""
    return floor_minute(NOW) - number * MINUTE
