"""A layer that starts now knows what one knows that ran all along, and corrects it by what the batch layer says."""

import os
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.clock import DAY
from iot_pipeline.files import write_parquet
from iot_pipeline.live.layer import LiveLayer
from iot_pipeline.live.model import LatestReading
from iot_pipeline.paths import minute_folder
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import DEVICE_HOUR_SCHEMA, DIM_DEVICE_SCHEMA, dim_device_file, published_file
from tests.live.world import (
    NOW,
    Key,
    Told,
    ago,
    land,
    layer_on,
    minute,
    near,
    publish_minutes,
    settings_in,
    turn,
    windows,
)

SINCE = NOW - timedelta(hours=26)
KEY: Key = ("pump", "pressure", "bar")


def known(layer: LiveLayer) -> list[LatestReading]:
    devices = layer.devices(fleet=None, prefix=None, limit=100, after=None)
    return [reading for device in devices for reading in layer.latest(device)]


def assert_same_windows(layer: LiveLayer, other: LiveLayer, reading: LatestReading) -> None:
    """Equal but for the rounding of means, which are added up in other portions."""
    series = reading.device_id, reading.metric, reading.unit
    for question in (LiveLayer.minutes, LiveLayer.hours):
        found, expected = question(layer, *series, since=SINCE), question(other, *series, since=SINCE)
        assert len(found) == len(expected)
        assert all(map(near, found, expected))


def story() -> list[Told]:
    """Forty minutes of three series, each reading received a second after it happened."""
    told = []
    for second in range(0, 2400, 7):
        at = ago(2400 - second)
        received = at + timedelta(seconds=1)
        told += [
            Told(at, 20.0 + second % 13, customer="c-1", region="north", received_at=received),
            Told(at, float(second), metric="register", unit="kWh", received_at=received),
            Told(at, "running" if second % 2 else "idle", metric="state", unit=None, received_at=received),
        ]
    return told


def test_from_landing_alone_the_same_is_known(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    along = layer_on(own)
    told = story()
    for begin in range(0, len(told), 100):
        land(own, told[begin : begin + 100])
        turn(along)
    again = layer_on(own)
    assert known(again) == known(along)
    assert len(known(again)) == 3
    for reading in known(again):
        assert_same_windows(again, along, reading)
        series = reading.device_id, reading.metric, reading.unit
        assert again.recent(*series, since=SINCE) == along.recent(*series, since=SINCE)
    assert again.regions() == along.regions()
    assert [pulse.devices for pulse in again.fleets()] == [1]
    assert along.customer_devices("c-1") == ["pump"]


def test_with_published_minutes_the_same_windows_are_known(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    along = layer_on(own)
    told = story()
    land(own, told)
    turn(along)
    publish_minutes(own, told, minute(2))
    again = layer_on(own)
    assert again.status().readings < along.status().readings
    assert known(again) == known(along)
    for reading in known(again):
        assert_same_windows(again, along, reading)
    assert len(again.minutes(*KEY, since=SINCE)) == 41


def test_a_published_minute_replaces_what_was_seen_live(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(100), 1.0), Told(ago(99), 2.0), Told(ago(99), 2.0, device="other"), Told(ago(5), 3.0)])
    layer = layer_on(own)
    assert [one.count for one in layer.minutes(*KEY, since=SINCE)] == [2, 1]
    publish_minutes(own, [Told(ago(100), 10.0)], minute(2))
    turn(layer)
    assert [(one.count, one.last) for one in layer.minutes(*KEY, since=SINCE)] == [(1, 10.0), (1, 3.0)]
    assert layer.minutes("other", "pressure", "bar", since=SINCE) == []
    (hour,) = layer.hours(*KEY, since=SINCE)
    assert (hour.count, hour.min, hour.max, hour.first, hour.last) == (2, 3.0, 10.0, 10.0, 3.0)


def publish_hours(settings: Settings, told: list[Told]) -> None:
    names = ("count", "min", "max", "mean", "first", "last")
    rows = [
        {"hour": window.start, "device_id": key[0], "metric": key[1], "unit": key[2]}
        | {name: getattr(window, name) for name in names}
        for key, own in windows(told, 3600).items()
        for window in own
    ]
    hours = pl.DataFrame(rows, schema=DEVICE_HOUR_SCHEMA)
    for day in (NOW.date(), NOW.date() - DAY):
        path = published_file(settings.paths, "device_hour", day)
        write_parquet(hours.filter(pl.col("hour").dt.date() == day), path)
        os.utime(path, (NOW.timestamp(), NOW.timestamp()))


def test_published_hours_are_the_past_and_correct_it(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    past = [Told(NOW - timedelta(hours=hour, minutes=20), float(hour)) for hour in range(30)]
    publish_hours(own, past)
    publish_minutes(own, past, minute(1))
    layer = layer_on(own)
    expected = [one for one in windows(past, 3600)[KEY] if one.start > NOW - timedelta(hours=25)]
    assert layer.hours(*KEY, since=SINCE) == expected
    publish_hours(own, [Told(one.event_ts, 100.0) for one in past if one.value != 7.0])
    path = published_file(own.paths, "device_hour", NOW.date())
    os.utime(path, (NOW.timestamp() + 1, NOW.timestamp() + 1))
    turn(layer)
    found = {one.start.hour: one.last for one in layer.hours(*KEY, since=NOW - timedelta(hours=8))}
    assert found == {2: 100.0, 4: 100.0, 5: 100.0, 6: 100.0, 7: 100.0, 8: 100.0, 9: 1.0, 10: 0.0}


def test_texts_of_hours_ago_and_what_devices_are_come_from_what_is_stored(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    at = NOW - timedelta(hours=5)
    row = {"event_ts": at, "received_at": at, "source": "mqtt", "device_id": "press", "metric": "state"}
    frame = pl.DataFrame([row | {"text": "running", "quality": "good"}], schema=READING_SCHEMA)
    write_parquet(frame, minute_folder(open_root(own.paths), at) / landed_name(at))
    device = {"device_id": "press", "fleet": "line", "customer": "c-9", "attributes": '{"state":"OH"}'}
    write_parquet(pl.DataFrame([device], schema=DIM_DEVICE_SCHEMA), dim_device_file(own.paths))
    layer = layer_on(own)
    (reading,) = layer.latest("press")
    assert (reading.text, reading.value, reading.event_ts, reading.fleet) == ("running", None, at, "line")
    assert (reading.received_at, reading.message_id) == (None, None)
    assert layer.customer_devices("c-9") == ["press"]
    assert layer.devices(fleet="line", prefix=None, limit=9, after=None) == ["press"]


def publish_devices(settings: Settings, **devices: dict[str, str]) -> None:
    """A new table of devices, younger than the one before."""
    path = dim_device_file(settings.paths)
    before = path.stat().st_mtime_ns if path.exists() else 0
    rows = [{"device_id": name, "attributes": "{}", **told} for name, told in devices.items()]
    write_parquet(pl.DataFrame(rows, schema=DIM_DEVICE_SCHEMA), path)
    os.utime(path, ns=(before + 1_000_000_000, before + 1_000_000_000))


def test_what_is_published_of_devices_later_is_known_without_a_restart(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(9)), Told(ago(8), device="valve", customer="c-own")])
    publish_devices(own, pump={"customer": "c-1"})
    layer = layer_on(own)
    assert layer.customer_devices("c-1") == ["pump"]
    publish_devices(own, pump={"customer": "c-2"}, valve={"customer": "c-2"}, later={"customer": "c-2"})
    turn(layer)
    # What the valve told itself counts more, and nobody has heard of the third.
    assert (layer.customer_devices("c-1"), layer.customer_devices("c-own")) == ([], ["valve"])
    land(own, [Told(ago(2), device="later")])
    turn(layer)
    publish_devices(own, pump={"customer": "c-2"}, valve={"customer": "c-2"}, later={"customer": "c-2"})
    turn(layer)
    assert "later" in layer.customer_devices("c-2")


def test_a_device_that_tells_something_gets_the_rest_from_what_is_published(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(9), region="north")])
    publish_devices(own, pump={"region": "south", "customer": "c-1"})
    layer = layer_on(own)
    assert layer.customer_devices("c-1") == ["pump"]
    assert list(layer.regions()) == ["north"]


@pytest.mark.parametrize("hours", [1, 30])
def test_what_landed_before_the_day_that_is_kept_is_not_decoded(tmp_path: Path, hours: int) -> None:
    own = settings_in(tmp_path)
    at = NOW - timedelta(hours=hours)
    land(own, [Told(at, 1.0, received_at=at)])
    assert layer_on(own).status().readings == (1 if hours < 25 else 0)
