"""Machines that tell their state: changes of state are no anomalies, and what hides between them is found."""

import itertools
from datetime import datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.detectors import RollingZ, default_detectors
from iot_pipeline.anomalies.detectors.by_state import RollingZByState
from iot_pipeline.anomalies.detectors.state_minute import StateMinute
from iot_pipeline.anomalies.detectors.told_states import (
    no_states,
    steady_minutes,
    told_states,
    without_changes_of_state,
)
from iot_pipeline.anomalies.flags import score_window
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.clock import MINUTE
from iot_pipeline.stats.relations import FLAGS_SCHEMA
from tests.anomalies.frames import device_minutes, readings
from tests.anomalies.machines.press import BEGIN, PHASES, PRESS, changed, cycles, machine, states, window

DETECTORS = [detector for detector in default_detectors() if detector.name != "kmeans_minute"]
FIRST_START = machine(states(("idle", 1800), ("setup", 20), ("running", 580)))
"""Half an hour of rest, then a state that nobody has seen."""


def at(minute: float) -> datetime:
    return BEGIN + minute * MINUTE


def test_the_first_start_after_a_long_rest_is_no_anomaly() -> None:
    seen = window(FIRST_START, at(30), at(38))
    assert RollingZ().score(seen).height > 100
    assert score_window(seen, DETECTORS).is_empty()


def test_regular_cycles_raise_nothing() -> None:
    assert score_window(window(machine(cycles(7)), at(20), at(69)), DETECTORS).is_empty()


def test_a_spike_that_is_smaller_than_a_change_of_state_is_found() -> None:
    spike = at(57.5)
    frame = changed(machine(cycles(6)), spike, spike + timedelta(seconds=1), pl.lit(36.0), ("current_l1",))
    seen = window(frame, at(57))
    assert RollingZ().score(seen).is_empty()
    found = RollingZByState().score(seen)
    assert found.select("event_ts", "metric", "value", "detector").rows() == [(spike, "current_l1", 36.0, "rolling_z")]
    assert found["reason"][0].endswith("in the 30 minutes before in which its state was running too")
    assert with_type(found)["type"].to_list() == ["spike"]
    assert found.schema == pl.Schema(FLAGS_SCHEMA)


def test_what_shifts_all_of_a_minute_a_little_is_found_by_its_level() -> None:
    heavy = changed(machine(cycles(6)), at(57), at(58), pl.col("value") * 1.05, ("current_l2",))
    found = StateMinute().score(window(heavy, at(57)))
    assert found.select("device_id", "metric", "detector").rows() == [(PRESS, "current_l2", "state_minute")]
    assert found["expected_low"][0] < 30.0 < found["expected_high"][0] < found["value"][0]
    assert " A for a minute is above the " in found["reason"][0]
    assert found["reason"][0].endswith("in which its state was running too")
    assert with_type(found)["type"].to_list() == ["step"]


def test_minutes_with_a_change_of_state_have_no_level() -> None:
    told = told_states(machine(states(("idle", 300), ("running", 90), ("idle", 210))))
    held = steady_minutes(told)
    minutes = [(round((minute - BEGIN) / MINUTE), state) for _, minute, state in held.rows()]
    # Minute 0 and the one after a change begin before their state has settled.
    assert minutes == [(1, "idle"), (2, "idle"), (3, "idle"), (4, "idle"), (7, "idle"), (8, "idle"), (9, "idle")]


def test_a_machine_that_does_not_tell_its_state_is_scored_as_ever() -> None:
    silent = FIRST_START.filter(pl.col("metric") != "state")
    seen = window(silent, at(30), at(38))
    found = RollingZByState().score(seen).drop("detector_version")
    assert found.height > 100
    order = ["event_ts", "metric"]
    assert_frame_equal(found.sort(order), RollingZ().score(seen).drop("detector_version").sort(order))


def test_other_devices_beside_a_machine_are_scored_as_ever() -> None:
    values = [20.0 + 0.1 * (n % 7) for n in range(33 * 30)]
    values[-5] = 60.0
    both = pl.concat([FIRST_START, readings(values, start=BEGIN)])
    found = RollingZByState().score(window(both, at(32)))
    assert found.select("device_id", "value").rows() == [("hall/m1", 60.0)]


def test_a_text_of_another_metric_is_no_state() -> None:
    other = FIRST_START.with_columns(
        pl.when(pl.col("metric") == "state").then(pl.lit("mode")).otherwise("metric").alias("metric")
    )
    assert told_states(other).is_empty()
    bad = FIRST_START.with_columns(pl.lit("bad").alias("quality"))
    assert told_states(bad).is_empty()


@pytest.mark.parametrize("detector", ["spike", "step", "drift", "noise"])
def test_differences_of_minutes_that_follow_a_change_are_not_raised(detector: str) -> None:
    minutes = [at(20), at(35), at(100)]
    told = told_states(machine(states(("idle", 1800), ("running", 4800))))
    told_of = {"device_id": PRESS, "metric": "current_l1", "detector": detector}
    flags = pl.DataFrame([{"minute": minute, "event_ts": minute, **told_of} for minute in minutes], schema=FLAGS_SCHEMA)
    assert without_changes_of_state(flags, told)["minute"].to_list() == [at(20), at(100)]
    assert without_changes_of_state(flags, no_states()).height == 3
    others = flags.with_columns(pl.lit("range").alias("detector"))
    assert without_changes_of_state(others, told).height == 3


def faulty(seed: int) -> pl.DataFrame:
    frame = machine(cycles(6), seed=seed)
    rest = machine(states(("idle", 2400), ("running", 1200)), device="line/mixer", seed=seed + 1)
    frame = changed(frame, at(52), at(54), pl.col("value") * 1.05, PHASES[:1])
    frame = changed(frame, at(56.5), at(56.6), pl.lit(90.0), PHASES[2:])
    # States get lost now and then, and messages of a minute.
    kept = pl.col("event_ts").dt.epoch("s").hash(seed) % 9 > 0
    return pl.concat([frame, rest]).filter((pl.col("metric") != "state") | kept)


@given(seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 14), min_size=1, max_size=3))
@settings(max_examples=3, deadline=None)
def test_a_range_gives_the_flags_of_its_parts(seed: int, cuts: set[int]) -> None:
    frame = faulty(seed)
    statistics = device_minutes(frame)
    whole = score_window(window(frame, at(45), at(59), statistics=statistics), DETECTORS)
    bounds = [45, *(45 + cut for cut in sorted(cuts)), 60]
    parts = [
        score_window(window(frame, at(begin), at(end - 1), statistics=statistics), DETECTORS)
        for begin, end in itertools.pairwise(bounds)
    ]
    assert whole.height > 0
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)


def test_order_of_readings_does_not_matter() -> None:
    frame = faulty(3)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=7)
    whole = score_window(window(frame, at(45), at(59)), DETECTORS)
    assert_frame_equal(score_window(window(shuffled, at(45), at(59)), DETECTORS), whole, check_exact=True)
