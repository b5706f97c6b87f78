"""Fleets, customers, regions and states: what devices tell of themselves decides where their readings count."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.live.pulse import SECONDS, StateSeconds
from tests.live.world import NOW, Told, ago, land, layer_on, settings_in, turn

SINCE = NOW - timedelta(hours=26)


def test_regions_sum_the_newest_values_and_what_the_hour_added(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    told = [
        Told(ago(60), 100.0, device="a", metric="register", unit="kWh", region="north"),
        Told(ago(5), 103.0, device="a", metric="register", unit="kWh", region="north"),
        Told(ago(50), 50.0, device="b", metric="register", unit="kWh", region="north"),
        Told(ago(3), 50.5, device="b", metric="register", unit="kWh", region="north"),
        Told(ago(3), 7.0, device="c", metric="register", unit="kWh", region="south"),
        Told(ago(1000), 9.0, device="silent", metric="register", unit="kWh", region="south"),
    ]
    land(own, told)
    regions = layer_on(own).regions()
    (north,), (south,) = regions["north"], regions["south"]
    assert (north.devices, north.total, north.hour_change) == (2, 153.5, 3.5)
    assert (north.metric, north.unit, north.newest_event_ts) == ("register", "kWh", ago(3))
    assert (south.devices, south.total, south.hour_change) == (1, 7.0, 0.0)


def test_a_device_that_moves_counts_where_it_is_now(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(9), 1.0, customer="c-1", region="north"), Told(ago(9), 1.0, device="b", customer="c-1")])
    layer = layer_on(own)
    assert layer.customer_devices("c-1") == ["b", "pump"]
    land(own, [Told(ago(8), 2.0, customer="c-2", region="south")])
    turn(layer)
    assert layer.customer_devices("c-1") == ["b"]
    assert layer.customer_devices("c-2") == ["pump"]
    assert list(layer.regions()) == ["south"]
    assert layer.customer_devices("nobody") == []


def test_states_are_told_by_window_with_means_descending(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    second = ago(0).replace(second=27)  # a window of three seconds begins
    told = [
        Told(second, 50.0, device="a", state="OH"),
        Told(second + timedelta(seconds=2), 60.0, device="b", state="OH"),
        Told(second + timedelta(seconds=1), 70.0, device="c", state="TX"),
        Told(second - timedelta(seconds=1), 10.0, device="c", state="TX"),
    ]
    land(own, told)
    newest, before = layer_on(own).state_windows(seconds=3)
    assert (newest.start, newest.messages, newest.sensors) == (second, 3, 3)
    assert [(one.state, one.mean, one.messages, one.sensors) for one in newest.states] == [
        ("TX", 70.0, 1, 1),
        ("OH", 55.0, 2, 2),
    ]
    assert [(one.state, one.mean) for one in before.states] == [("TX", 10.0)]


def test_fleets_tell_how_much_they_say(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(4), 1.0), Told(ago(3), 1.0, metric="t"), Told(ago(2), 1.0, device="b")])
    (pulse,) = layer_on(own).fleets()
    assert (pulse.fleet, pulse.devices, pulse.series) == ("bench", 2, 3)
    assert (pulse.newest_event_ts, pulse.lag_seconds) == (ago(2), 2.0)


def test_devices_come_in_pages(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    names = [f"{letter}-{number}" for letter in "ab" for number in range(3)]
    land(own, [Told(ago(1), 1.0, device=name) for name in reversed(names)])
    layer = layer_on(own)
    assert layer.devices(fleet=None, prefix=None, limit=2, after=None) == ["a-0", "a-1"]
    assert layer.devices(fleet="bench", prefix=None, limit=9, after="a-1") == ["a-2", "b-0", "b-1", "b-2"]
    assert layer.devices(fleet=None, prefix="b", limit=9, after=None) == ["b-0", "b-1", "b-2"]
    assert layer.devices(fleet=None, prefix="a", limit=9, after="a-1") == ["a-2"]
    assert layer.devices(fleet="other", prefix=None, limit=9, after=None) == []
    assert [one.device_id for one in layer.latest_of_fleet("bench", limit=2)] == ["a-0", "a-1"]
    assert layer.latest("unknown") == []
    assert layer.hours("unknown", "pressure", "bar", since=SINCE) == []
    assert layer.recent("a-0", "unknown", None, since=SINCE) == []


MARKS = st.tuples(st.integers(0, 400), st.integers(0, 2), st.integers(-50, 50))  # second, state, value


@settings(deadline=None)
@given(st.lists(MARKS, max_size=80), st.integers(1, 9))
def test_state_windows_equal_a_plain_count(marks: list[tuple[int, int, int]], length: int) -> None:
    counted = StateSeconds()
    base = 1_800_000_000
    readings = [(base + second, state, float(value)) for second, state, value in marks]
    newest = 0
    for second, state, value in readings:
        at = np.array([second * 1_000_000])
        counted.add((state, "t", "F"), at, np.array([value]), now_us=(base + 400) * 1_000_000)
        newest = max(newest, second)
    windows = counted.windows(length, ["x", "y", "z"], np.array([1, 2, 3]))
    for window in windows:
        start = window.start.timestamp()
        own = [(state, value) for second, state, value in readings if start <= second < start + length]
        assert window.messages == len(own)
        for one in window.states:
            values = [value for state, value in own if "xyz"[state] == one.state]
            assert one.mean == pytest.approx(sum(values) / len(values))
    starts = {window.start.timestamp() for window in windows}
    assert all(second // length * length in starts for second, _, _ in readings if second - newest > length - SECONDS)


def test_a_clock_that_is_ahead_does_not_push_the_seconds_of_others_out(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(1), 1.0, state="OH"), Told(ago(-250), 2.0, device="ahead", state="TX")])
    (window,) = layer_on(own).state_windows()
    assert [one.state for one in window.states] == ["OH"]


def test_the_listing_knows_a_fleet_that_became_known_after_its_device(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(9), 1.0, device="a")])
    layer = layer_on(own)
    before = layer._listing.version
    number = layer._state.series.devices.find("a")
    assert number is not None
    layer._state.attributes.set_label(number, "fleet", "told later")
    layer._list_devices()
    assert layer._listing.version != before
    assert layer.devices(fleet="told later", prefix=None, limit=9, after=None) == ["a"]
