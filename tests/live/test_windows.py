"""Windows are what plain Python makes of the same readings, in whatever order, copies and files they came."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.live.layer import LiveLayer
from iot_pipeline.live.periods import LEAST_MINUTES
from tests.live.world import NOW, Told, ago, land, layer_on, minute, near, settings_in, turn, windows, writer

SINCE = NOW - timedelta(hours=26)
VALUES = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))


@st.composite
def batches(draw: st.DrawFn, *, oldest_seconds: int) -> list[list[Told]]:
    """Readings of few series at few instants, so that there are many copies, cut into batches anywhere."""
    told = draw(
        st.lists(
            st.builds(
                Told,
                event_ts=st.integers(-30, oldest_seconds).map(ago),
                value=st.one_of(VALUES, st.just("running")),
                device=st.sampled_from(["a", "b"]),
                unit=st.sampled_from(["bar", None]),
            ),
            max_size=60,
        )
    )
    copies = draw(st.lists(st.sampled_from(told), max_size=20)) if told else []
    everything = draw(st.permutations(told + copies))
    cuts = sorted(draw(st.lists(st.integers(0, len(everything)), max_size=4)))
    return [everything[a:b] for a, b in zip([0, *cuts], [*cuts, len(everything)], strict=True)]


def minutes_of(layer: LiveLayer, told: Told) -> Sequence[object]:
    return layer.minutes(*told.key, since=SINCE)


@settings(max_examples=30, deadline=None)
@given(batches(oldest_seconds=3000))
def test_windows_of_the_last_hour_do_not_depend_on_order_copies_or_files(told: list[list[Told]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        own = settings_in(Path(name))
        layer = layer_on(own)
        files = writer(own)
        for batch in told:
            if batch:
                files.write([one.message for one in batch])
            turn(layer)
        everything = [one for batch in told for one in batch]
        minutes, hours = windows(everything, 60), windows(everything, 3600)
        for key in {one.key for one in everything}:
            found = layer.minutes(*key, since=SINCE)
            assert len(found) == len(minutes.get(key, []))
            assert all(map(near, found, minutes.get(key, [])))
            found = layer.hours(*key, since=SINCE)
            assert len(found) == len(hours.get(key, []))
            assert all(map(near, found, hours.get(key, [])))


@settings(max_examples=20, deadline=None)
@given(batches(oldest_seconds=20 * 3600))
def test_hours_hold_what_came_too_late_for_the_minutes(told: list[list[Told]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        own = settings_in(Path(name))
        land(own, *told)
        layer = layer_on(own)
        everything = [one for batch in told for one in batch]
        for key, expected in windows(everything, 3600).items():
            found = layer.hours(*key, since=SINCE)
            assert [(one.start, one.count, one.min, one.max) for one in found] == [
                (one.start, one.count, one.min, one.max) for one in expected
            ]
            assert all(
                one.mean == pytest.approx(other.mean, rel=1e-9, abs=1e-6)
                for one, other in zip(found, expected, strict=True)
            )


def test_a_minute_that_leaves_the_ring_is_in_its_hour(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    early = [Told(ago(60 - second), float(second)) for second in range(10)]
    land(own, early)
    layer = layer_on(own)
    before = layer.hours("pump", "pressure", "bar", since=SINCE)
    turn(layer, now=NOW + timedelta(hours=3))
    assert layer.minutes("pump", "pressure", "bar", since=SINCE) == []
    assert layer.hours("pump", "pressure", "bar", since=SINCE) == before
    turn(layer, now=NOW + timedelta(hours=26))
    assert layer.hours("pump", "pressure", "bar", since=SINCE) == []


def test_bad_and_infinite_readings_are_shown_but_not_counted(tmp_path: Path) -> None:
    own = settings_in(
        tmp_path,
        mapping="""
name: bench
fleet: bench
topic: bench/{device}/{metric}
device_id: "{device}"
metric: "{metric}"
timestamp: {paths: ts, unit: us}
values: [{path: value}]
unit: bar
quality: {path: unit, good: [bar]}
""",
    )
    land(own, [Told(ago(3), 1.0), Told(ago(2), 99.0, unit="broken")])
    layer = layer_on(own)
    (shown,) = layer.latest("pump")
    assert shown.value == 99.0
    assert shown.quality == "bad"
    assert [one.count for one in layer.minutes("pump", "pressure", "bar", since=SINCE)] == [1]
    assert [one.value for one in layer.recent("pump", "pressure", "bar", since=SINCE)] == [1.0]


@settings(max_examples=8, deadline=None)
@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=50), st.floats(-1e6, 1e6))
def test_with_little_memory_figures_are_exact_to_seven_digits_of_their_range(values: list[float], level: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        own = settings_in(Path(name), live_memory_mb=64)
        told = [Told(ago(60 + 5 * number), level + value) for number, value in enumerate(values)]
        crowd = [Told(ago(200), 1.0, device=f"d-{number}") for number in range(15_000)]
        land(own, crowd, told)
        layer = layer_on(own)
        assert layer.status().minutes_kept < 65
        width = max(values) - min(values)
        (expected,) = (window for window in windows(told, 3600)[told[0].key])
        (found,) = layer.hours(*told[0].key, since=SINCE)
        assert found.count == expected.count
        assert found.first == expected.first
        for figure in ("min", "max", "mean", "last"):
            assert getattr(found, figure) == pytest.approx(getattr(expected, figure), abs=width * 1e-6 + 1e-9)


def test_the_memory_that_is_allowed_decides_how_many_minutes_are_kept(tmp_path: Path) -> None:
    own = settings_in(tmp_path, live_memory_mb=64)
    land(own, [Told(ago(10), 1.0)])
    layer = layer_on(own)
    assert layer.status().minutes_kept == 65
    land(own, [Told(ago(5), 2.0, device=f"d-{number}") for number in range(layer.status().series_limit - 1)])
    turn(layer)
    status = layer.status()
    assert LEAST_MINUTES <= status.minutes_kept < 65
    assert status.memory_bytes <= 64_000_000
    assert status.evicted_series == 0
    assert [one.last for one in layer.hours("pump", "pressure", "bar", since=SINCE)] == [1.0]


def test_readings_from_clocks_that_are_ahead_are_in_the_minute_they_tell(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(NOW + timedelta(seconds=200), 5.0), Told(ago(1), 1.0)])
    layer = layer_on(own)
    assert [one.start for one in layer.minutes("pump", "pressure", "bar", since=SINCE)] == [minute(0), minute(-3)]


def test_of_two_readings_with_one_identity_the_first_counts(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    land(own, [Told(ago(1), 1.0)], [Told(ago(1), 2.0)], [replace(Told(ago(1), 3.0))])
    layer = layer_on(own)
    assert [one.value for one in layer.latest("pump")] == [1.0]
    assert layer.status().duplicates == 2
    assert [one.value for one in layer.recent("pump", "pressure", "bar", since=SINCE)] == [1.0]
