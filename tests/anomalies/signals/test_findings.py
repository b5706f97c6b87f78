"""What is unusual on the line compared with the device's own past, on what the simulated line tells."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.signals.findings import (
    FINDING_COLUMNS,
    charge_findings,
    start_findings,
    stroke_findings,
    transition_findings,
)
from iot_pipeline.anomalies.signals.past import against_past, slope_per_hundred
from iot_pipeline.anomalies.signals.state_level import StateLevel
from iot_pipeline.anomalies.signals.states import allowed_transitions, with_state
from tests.anomalies.channels.plant import share
from tests.anomalies.signals.line_data import BEGIN, currents_of, frame_of, line_rows, states_of

BY = ["device_id"]
SERIES = ["device_id", "metric", "unit"]
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def line() -> pl.DataFrame:
    """Two hours and ten minutes."""
    return frame_of(line_rows(130))


def events(values: Sequence[float | None], device: str = "v") -> pl.DataFrame:
    return pl.DataFrame(
        {"device_id": device, "ts": [BEGIN + n * MINUTE for n in range(len(values))], "value": values},
        schema_overrides={"value": pl.Float64},
    )


def test_an_event_is_compared_with_those_before_it_only() -> None:
    values: list[float | None] = [10.0, 10.2, 9.9, 10.1] * 10
    found = against_past(events([*values, 40.0, 10.0]), by=BY, value="value", last=20)
    assert max(found["score"][:-2]) < 1.0
    assert found["score"][-2] > 5.0
    assert found["score"][-1] < 1.0
    assert found["expected_low"][-2] < 9.9
    assert found["expected_high"][-2] > 10.2
    changed_later = against_past(events([*values, 40.0, 500.0]), by=BY, value="value", last=20)
    assert_frame_equal(found[:-1], changed_later[:-1])


def test_few_events_and_missing_ones_have_no_score() -> None:
    found = against_past(events([1.0] * 5 + [None] * 20 + [9.0]), by=BY, value="value", last=20)
    assert found["score"].max() == 0.0
    assert found["expected_low"].is_null().all()
    assert against_past(events([]), by=BY, value="value", last=20).is_empty()


def test_a_past_that_stood_still_keeps_a_spread() -> None:
    found = against_past(events([5.0] * 30 + [5.001, 6.5]), by=BY, value="value", last=20)
    assert found["score"][30] < 1.0 < found["score"][31]


def test_devices_do_not_mix() -> None:
    both = pl.concat([events([1.0] * 30, "a"), events([100.0] * 30, "b")])
    found = against_past(both.sample(fraction=1.0, shuffle=True, seed=1), by=BY, value="value", last=20)
    assert found["score"].max() == 0.0
    assert found.filter(pl.col("device_id") == "b")["support"][0] == 0


def test_the_slope_is_per_hundred_strokes() -> None:
    found = slope_per_hundred(events([400 + 0.5 * n for n in range(60)]), by=BY, value="value", last=50)
    assert found["slope_per_hundred"][-1] == pytest.approx(50.0)
    assert found["slope_per_hundred"][5] is None
    holes = slope_per_hundred(events([None if n % 3 else 400 + 0.5 * n for n in range(60)]), by=BY, value="value")
    assert holes["slope_per_hundred"][57] == pytest.approx(50.0)


def test_a_slow_stroke_and_a_missing_end_are_found(line: pl.DataFrame) -> None:
    strokes = line.filter(pl.col("metric") == "travel_time_open").select("device_id", "metric", "ts", "value")
    slow = strokes.with_columns(
        pl.when(pl.int_range(pl.len()).over("device_id") == 200)
        .then(pl.col("value") * 1.3)
        .otherwise("value")
        .alias("value")
    ).with_columns(pl.when(pl.int_range(pl.len()).over("device_id") != 220).then("value").alias("value"))
    found = stroke_findings(slow, by=["device_id", "metric"])
    assert found.columns == ["device_id", "metric", *FINDING_COLUMNS]
    flagged = found.filter(pl.col("score") >= 1.0, pl.col("signal") != "travel_slope")
    assert flagged["signal"].value_counts().sort("signal").rows() == [("missing_end", 2), ("travel_time", 2)]
    assert flagged.filter(pl.col("signal") == "travel_time")["reason"].str.contains("above the").all()
    quiet = stroke_findings(strokes, by=["device_id", "metric"]).filter(pl.col("signal") == "travel_time")
    assert (quiet["score"] >= 1.0).sum() == 0


def test_starts_as_usual_are_not_flagged_and_a_hard_one_is(line: pl.DataFrame) -> None:
    currents = currents_of(line)
    usual = start_findings(currents, by=BY)
    assert usual.filter(pl.col("score") > 0).height > 0
    assert usual.filter(pl.col("signal") == "peak_ratio", pl.col("score") >= 1.0).is_empty()
    last = usual.filter(pl.col("signal") == "peak_ratio").sort("ts").group_by("device_id", maintain_order=True).last()
    hard = currents.join(last.select("device_id", pl.col("ts").alias("started")), on="device_id").with_columns(
        pl.when(pl.col("ts").is_between("started", pl.col("started") + timedelta(seconds=4)))
        .then(pl.col("current") * 6)
        .otherwise("current")
        .alias("current")
    )
    found = start_findings(hard.drop("started"), by=BY).filter(
        pl.col("score") >= 1.0, pl.col("ts").is_in(last["ts"].implode())
    )
    assert set(found["signal"]) >= {"i2t"}


def test_charge_of_a_minute_is_compared_in_the_same_state(line: pl.DataFrame) -> None:
    currents = line.filter(pl.col("metric") == "current_l1").select(*SERIES, "ts", "value")
    usual = charge_findings(currents, states_of(line), by=SERIES, window=MINUTE)
    assert set(usual["state"]) >= {"running", "idle"}
    assert share(usual.filter(pl.col("score") > 0)["score"] >= 1.0) < 0.02
    at = usual.filter(pl.col("state") == "running", pl.col("score") > 0).sort("ts")["ts"][-1]
    heavy = currents.with_columns(
        pl.when(pl.col("ts").is_between(at, at + MINUTE)).then(pl.col("value") * 1.5).otherwise("value").alias("value")
    )
    found = charge_findings(heavy, states_of(line), by=SERIES, window=MINUTE)
    hit = found.filter(pl.col("ts") == at, pl.col("state") == "running")
    assert (hit["score"] >= 1.0).any()


def test_an_illegal_change_is_a_finding(line: pl.DataFrame) -> None:
    usual = allowed_transitions(
        {"idle": ["setup"], "fault": ["setup"], "setup": ["running"], "running": ["idle", "fault"]}
    )
    assert transition_findings(states_of(line), usual, by=BY).is_empty()
    strict = usual.filter(pl.col("from_state") != "setup")
    found = transition_findings(states_of(line), strict, by=BY)
    assert found["reason"].unique().to_list() == ["went from setup to running, which is not allowed"]
    assert found.columns == ["device_id", *FINDING_COLUMNS]


def stateful(line: pl.DataFrame) -> pl.DataFrame:
    readings = line.filter(pl.col("metric").is_in(["current_l1", "v_rms"])).select(*SERIES, "ts", "value")
    return with_state(readings, states_of(line), by=BY)


def test_changes_of_state_are_not_flagged_and_faults_in_a_state_are(line: pl.DataFrame) -> None:
    readings = stateful(line)
    past, today = (
        readings.filter(pl.col("ts") < BEGIN + timedelta(minutes=90)),
        readings.filter(pl.col("ts") >= BEGIN + timedelta(minutes=90)),
    )
    level = StateLevel()
    table = level.fit(past)
    scored = level.score(today, table)
    assert share(scored["score"].drop_nulls() >= 1.0) < 0.001
    idle = today.filter(pl.col("state") == "idle", pl.col("metric") == "v_rms").with_columns(value=pl.lit(1.0))
    found = level.score(idle, table)
    assert (found["score"].drop_nulls() >= 1.0).all()
    assert found["reason"].drop_nulls().str.contains("times in state idle").any()


def test_a_state_never_seen_is_being_learned(line: pl.DataFrame) -> None:
    readings = stateful(line)
    level = StateLevel()
    table = level.fit(readings.filter(pl.col("state") != "running"))
    found = level.score(readings.filter(pl.col("state") == "running"), table)
    assert found["score"].is_null().all()
    assert found["reason"].is_null().all()
    nobody = readings.clear()
    assert level.score(nobody, level.fit(nobody)).is_empty()


def test_a_reading_is_scored_the_same_whatever_is_scored_with_it(line: pl.DataFrame) -> None:
    readings = stateful(line)
    level = StateLevel()
    table = level.fit(readings)
    assert_frame_equal(level.score(readings, table)[100:200], level.score(readings[100:200], table))
    assert np.isfinite(table["spread"].to_numpy()).all()
