"""Ice plant, weather stations and US states as their pages see them: recorded live answers and published minutes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import polars as pl

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.files import write_parquet
from iot_pipeline.live.model import LatestReading, LiveFlag, StateMean, StateWindow, Window
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.serving.pages.ice_plant.places import PLACES
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    device_minute_tree,
    dim_device_file,
    minute_marts,
    prepare_relations,
    published_file,
)
from tests.pages.conftest import OpenViewer, Viewer
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import serving

NODE = "ice_plant/sensors"
STATIONS = {
    "569972c2-034a-5ce1-be4d-0a72831f6436": (64.1466, -21.9426, 4.5),
    "89eeb189-da19-5c83-b6d2-ca51e79de62b": (40.4168, -3.7038, 17.25),
    "6bb62dba-0e54-5061-a55b-f052142cdfbd": (1.3521, 103.8198, 28.0),
}
REYKJAVIK, MADRID, SINGAPORE = STATIONS
Row = dict[str, object]


@dataclass
class PlantsLive(RecordedLive):
    """Recorded answers, with windows of the states."""

    states: list[StateWindow] = field(default_factory=list)

    def state_windows(self, *, seconds: int = 3) -> list[StateWindow]:
        return [one for one in self.states if one.seconds == seconds]


@contextmanager
def looking(
    viewer: OpenViewer, settings: Settings, live: LiveView, **options: Any
) -> Iterator[tuple[Viewer, httpx.Client]]:
    """A tab on a server of its own."""
    with serving(settings, live) as server:
        yield viewer(server, **options), server


def measures(at: datetime, **values: float) -> list[LatestReading]:
    """A measure in the middle of its range from each device of the plant, but for those given by key of its place."""
    return [
        told(
            f"{NODE}/{place.name}",
            values.get(place.key, (place.low + place.high) / 2),
            at,
            metric="measure",
            unit=place.unit,
            fleet="ice_plant",
        )
        for place in PLACES
    ]


def temperatures(at: datetime) -> list[LatestReading]:
    """The newest temperature of each station."""
    return [told(device_id, value, at) for device_id, (_, _, value) in STATIONS.items()]


def told(
    device_id: str,
    value: float | None,
    at: datetime,
    *,
    metric: str = "temperature",
    unit: str | None = "°C",
    fleet: str = "weather",
    quality: str = "good",
) -> LatestReading:
    return LatestReading(device_id, fleet, metric, unit, value, None, quality, at, at, "c-1-0")


def flag(device_id: str, at: datetime, *, detector: str = "rolling_z", metric: str = "temperature") -> LiveFlag:
    return LiveFlag(at, device_id, metric, "°C", 99.0, detector, 3.0, 1.0, 2.0, f"<b>{detector}</b> says so")


def minutes(now: datetime, value: float = 10.0) -> list[Window]:
    first = floor_minute(now) - 9 * MINUTE
    return [Window(first + i * MINUTE, 60, 60, value - 1, value + i, value, value, value) for i in range(10)]


def window(start: datetime, means: Mapping[str, float], *, seconds: int = 3, unit: str = "°F") -> StateWindow:
    states = [StateMean(state, "temperature", unit, mean, 2, 40) for state, mean in means.items()]
    states.sort(key=lambda one: (-one.mean, one.state))
    return StateWindow(start, seconds, tuple(states), 2 * len(states), 40 * len(states))


def publish_plant(paths: DataPaths, *, state: str | None = "online") -> datetime:
    """The devices of the plant, and a minute and a day of measures; returns the minute."""
    prepare_relations(paths)
    minute = floor_minute(utc_now()) - 2 * MINUTE
    rows: list[dict[str, object]] = [
        {
            "device_id": f"{NODE}/{place.name}",
            "fleet": "ice_plant",
            "type": place.kind,
            "description": place.description,
            "state": state,
            "state_since": minute,
        }
        for place in PLACES
    ]
    publish_devices(paths, rows)
    tree = device_minute_tree(paths)
    figures: list[Row] = [
        _statistics("minute", minute, (f"{NODE}/{place.name}", "measure", place.unit), place.low) for place in PLACES
    ]
    tree.write(minute, pl.DataFrame(figures, schema=tree.schema))
    return minute


def publish_stations(paths: DataPaths, *, days: bool = True) -> None:
    """The stations, and the maximum of the present day of each."""
    prepare_relations(paths)
    rows = [
        {"device_id": device_id, "fleet": "weather", "latitude": latitude, "longitude": longitude}
        for device_id, (latitude, longitude, _) in sorted(STATIONS.items())
    ]
    publish_devices(paths, rows)
    if days:
        today = utc_now().date()
        models = {model.name: model for model in DAY_MODELS}
        figures = [
            _statistics("day", today, (device_id, "temperature", "°C"), value)
            for device_id, (_, _, value) in sorted(STATIONS.items())
        ]
        frame = pl.DataFrame(figures, schema=models["device_day"].schema)
        write_parquet(frame, published_file(paths, "device_day", today))


def publish_states(paths: DataPaths, means: Mapping[str, float]) -> datetime:
    """A minute of the mart `state_minute`; returns it."""
    prepare_relations(paths)
    minute = floor_minute(utc_now()) - 2 * MINUTE
    tree = minute_marts(paths)["state_minute"]
    rows = [
        {"minute": minute, "state": state, "unit": "°F", "sensors": 7, "messages": 11, "mean": mean}
        for state, mean in means.items()
    ]
    tree.write(minute, pl.DataFrame(rows, schema=tree.schema))
    return minute


def publish_devices(paths: DataPaths, rows: Sequence[Row]) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    whole = [
        {"attributes": json.dumps({}), "first_seen": start, "last_seen": start + timedelta(days=1), **row}
        for row in rows
    ]
    write_parquet(pl.DataFrame(whole, schema=DIM_DEVICE_SCHEMA), dim_device_file(paths))


def _statistics(period: str, start: object, series: tuple[str, str, str], value: float) -> Row:
    device, metric, unit = series
    figures = {"count": 60, "min": value, "max": value, "mean": value, "stddev": 0.0, "first": value, "last": value}
    return {period: start, "device_id": device, "metric": metric, "unit": unit, **figures, "p50": value, "p95": value}
