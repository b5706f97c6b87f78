"""Levels by state, on what the simulated line tells."""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.models.state_level import StateLevel
from iot_pipeline.anomalies.signals.states import with_state
from tests.anomalies.channels.plant import share
from tests.anomalies.signals.line_data import BEGIN, frame_of, line_rows, states_of

BY = ["device_id"]
SERIES = ["device_id", "metric", "unit"]


@pytest.fixture(scope="module")
def line() -> pl.DataFrame:
    """Two hours and ten minutes."""
    return frame_of(line_rows(130))


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
