"""The line's figures by the rules of the marts: unbalance, charge, starts, states, zones, travel times."""

import math
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE
from iot_pipeline.live.model import Point
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.pages.line.past import (
    Span,
    spans,
    starts,
    starts_of,
    time_in_state,
    told_states,
    with_live,
)
from iot_pipeline.serving.pages.line.vibration_zones import zones_of
from iot_pipeline.serving.pages.line.view import (
    charge,
    line_of,
    lines_of,
    machines,
    name_of,
    step_seconds,
    travels,
    unbalance,
)
from sensors_sim.fleet import to_us
from sensors_sim.industrial_line import state_of
from tests.pages.grid_world import GridLive, devices_of_line, file_line_readings

# A Tuesday: nobody rests.
NOW = datetime(2026, 11, 24, 10, 40, tzinfo=UTC)
PRESS = "line_1/press_1"


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_machines_and_valves_are_told_apart() -> None:
    live = GridLive(now=NOW)
    devices = devices_of_line("line_1")
    assert [one.name for one in machines(live, devices, NOW)] == ["conveyor_1", "mixer_1", "press_1"]
    assert [(one.name, one.direction) for one in travels(live, devices, NOW)] == [
        ("valve_1", "open"),
        ("valve_1", "close"),
        ("valve_2", "open"),
        ("valve_2", "close"),
    ]


def test_a_machine_that_went_silent_is_in_no_state() -> None:
    [silent] = machines(GridLive(now=NOW), [PRESS], NOW + timedelta(minutes=2))
    assert silent.is_quiet
    assert silent.state is None


def test_unbalance_is_the_largest_deviation_from_the_mean() -> None:
    assert unbalance(10.0, 10.0, 10.0) == 0.0
    assert unbalance(12.0, 10.0, 8.0) == pytest.approx(20.0)
    assert unbalance(0.0, 0.0, 0.0) is None


@given(st.tuples(*[st.floats(0.001, 1e4)] * 3))
def test_unbalance_knows_no_order_of_phases(phases: tuple[float, float, float]) -> None:
    assert unbalance(*phases) == pytest.approx(unbalance(*reversed(phases)))


def test_the_running_hour_is_integrated() -> None:
    live = GridLive(now=NOW)
    found = charge(live, PRESS, NOW)
    assert found.since == NOW.replace(minute=0)
    assert found.coverage == pytest.approx(1.0, abs=0.02)
    means = [window.mean for window in live.minutes(PRESS, "current_l1", "A", since=found.since)]
    assert found.ampere_hours[0] == pytest.approx(math.fsum(means[:40]) / 60, rel=0.02)


def test_the_step_between_readings_is_the_usual_one() -> None:
    points = [Point(at(second), 1.0) for second in (0, 1, 2, 3, 60)]
    assert step_seconds(points) == 1.0
    assert step_seconds(points[:1]) == 1.0


def test_a_state_holds_a_minute_at_most() -> None:
    told = [(at(-300), "running"), (at(-290), "running"), (at(-100), "idle"), (at(-95), "idle")]
    assert spans(told, at(-310), NOW) == [
        Span(None, at(-310), at(-300)),
        Span("running", at(-300), at(-230)),
        Span(None, at(-230), at(-100)),
        Span("idle", at(-100), at(-35)),
        Span(None, at(-35), NOW),
    ]


def test_spans_leave_no_gap_and_add_up() -> None:
    told = [(at(-seconds), "running" if seconds % 70 else "idle") for seconds in range(600, 0, -10)]
    found = spans(told, at(-700), NOW)
    assert found[0].begin == at(-700)
    assert found[-1].end == NOW
    assert all(before.end == after.begin for before, after in pairwise(found))
    assert sum(seconds for _, seconds, _ in time_in_state(found)) == pytest.approx(700)


def test_without_anything_told_nobody_knows() -> None:
    assert spans([], at(-60), NOW) == [Span(None, at(-60), NOW)]


def test_what_was_heard_since_follows_what_is_filed() -> None:
    filed = [(at(-120), "idle")]
    assert with_live(filed, [(at(-130), "fault"), (at(-5), "running")]) == [(at(-120), "idle"), (at(-5), "running")]


def test_minutes_that_are_not_filed_yet_are_bridged_in_the_same_state_only() -> None:
    filed = [(at(-150), "running")]
    assert spans(with_live(filed, [(at(-5), "running")]), at(-150), NOW) == [Span("running", at(-150), NOW)]
    assert spans(with_live(filed, [(at(-5), "idle")]), at(-150), NOW)[1] == Span(None, at(-90), at(-5))
    long_ago = [(at(-600), "running")]
    assert with_live(long_ago, [(at(-5), "running")]) == [*long_ago, (at(-5), "running")]


def test_starts_are_found_in_filed_readings(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    begin = NOW - 25 * MINUTE
    file_line_readings(paths, 1, begin, 25)
    found = starts(paths, PRESS, begin, NOW)
    assert found
    for start in found:
        assert state_of(PRESS, to_us(start.at)) == "running"
        assert state_of(PRESS, to_us(start.at - timedelta(seconds=1.5))) != "running"
        assert start.ratio > 1.2
        assert start.settled is not None
    states = told_states(paths, PRESS, begin, NOW)
    assert {state for _, state in states} == {state_of(PRESS, to_us(ts)) for ts, _ in states}


def test_one_phase_alone_has_no_starts() -> None:
    frame = pl.DataFrame({"event_ts": [NOW], "metric": ["current_l1"], "value": [1.0]})
    assert starts_of(frame) == []
    assert starts_of(frame.clear()) == []


def test_zones_begin_at_their_borders() -> None:
    zones = zones_of(None, None)
    assert (zones.machine_group, zones.support) == ("group_2", "rigid")
    assert [zones.zone(velocity) for velocity in (0.0, zones.b, zones.c, zones.d)] == ["A", "B", "C", "D"]
    assert zones_of("group_1", "flexible").d == 11.0


def test_devices_know_their_line() -> None:
    assert (line_of("line_1/press_1"), name_of("line_1/press_1")) == ("line_1", "press_1")
    assert (line_of("alone"), name_of("alone")) == ("", "alone")
    assert lines_of(["b/2", "a/1", "b/1"]) == {"a": ["a/1"], "b": ["b/1", "b/2"]}


def test_a_valve_that_gets_slower_is_seen() -> None:
    live = GridLive(now=NOW)
    for travel in travels(live, ["line_1/valve_1"], NOW):
        assert travel.unit == "ms"
        assert len(travel.hours) in (24, 25)
        assert travel.drift is not None
        assert abs(travel.drift) < 3
