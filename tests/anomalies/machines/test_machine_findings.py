"""Starts, changes of state, unbalanced phases and vibration zones as flags of the product."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.detectors.vibration_zone import VibrationZone
from iot_pipeline.anomalies.flags import score_window
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.anomalies.models.machines import (
    CHANGES_LEARNED_SCHEMA,
    STARTS_LEARNED_SCHEMA,
    nothing_learned,
)
from iot_pipeline.anomalies.models.scoring.findings import MachineFindings
from iot_pipeline.anomalies.signals.states import LEAST_EXITS
from iot_pipeline.anomalies.signals.vibration import STRICTEST, read_zones
from iot_pipeline.clock import MINUTE
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import DIM_DEVICE_SCHEMA, FLAGS_SCHEMA, dim_device_file
from tests.anomalies.machines.press import BEGIN, INRUSH, PHASES, PRESS, changed, machine, states, velocities, window

LOAD = 30.0
STARTS = pl.DataFrame([[PRESS, LOAD, 300, 1 + INRUSH, 0.2, 300, 2.0, 0.0]], schema=STARTS_LEARNED_SCHEMA, orient="row")
CHANGES = pl.DataFrame(
    [
        ["/ state ", before, after, 3 * LEAST_EXITS]
        for before, after in (("idle", "setup"), ("setup", "running"), ("running", "idle"))
    ],
    schema=CHANGES_LEARNED_SCHEMA,
    orient="row",
)
# The start is 95 s after the begin of the data, five seconds before the end of its minute.
STARTED = BEGIN + timedelta(seconds=115)
LATE_START = machine(states(("idle", 95), ("setup", 20), ("running", 305)))


@pytest.fixture(name="paths")
def data_folder(tmp_path: Path) -> DataPaths:
    return load_settings(data=tmp_path).paths


@pytest.fixture(name="findings")
def learned(paths: DataPaths) -> MachineFindings:
    return MachineFindings(replace(nothing_learned(), starts=STARTS, changes=CHANGES), "2-abc", paths)


def minute(number: int) -> datetime:
    return BEGIN + number * MINUTE


def hard(factor: float) -> pl.DataFrame:
    return changed(LATE_START, STARTED, STARTED + timedelta(seconds=1), pl.col("value") * factor)


def test_a_usual_start_is_not_flagged(findings: MachineFindings) -> None:
    assert findings.score(window(LATE_START, minute(1), minute(6))).is_empty()


def test_a_hard_start_is_flagged_once_in_the_minute_that_its_inrush_ends_in(findings: MachineFindings) -> None:
    frame = hard(1.5)
    assert findings.score(window(frame, minute(1))).is_empty()
    found = findings.score(window(frame, minute(2)))
    assert found.select("device_id", "detector", "detector_version", "minute").rows() == [
        (PRESS, "start", "2-abc", minute(2))
    ]
    assert found["reason"][0].startswith("the start at 06:01:55 drew 8.")
    assert found["value"][0] > found["expected_high"][0] > found["expected_low"][0] > LOAD
    assert with_type(found)["type"].to_list() == ["shape"]
    assert found.schema == pl.Schema(FLAGS_SCHEMA)


def test_a_start_that_does_not_settle_in_time_is_flagged(findings: MachineFindings) -> None:
    slow = changed(LATE_START, STARTED + timedelta(seconds=1), STARTED + timedelta(seconds=8), pl.lit(60.0))
    found = findings.score(window(slow, minute(2)))
    assert found["detector"].to_list() == ["start"]
    assert "took 8 s until the current had settled" in found["reason"][0]
    assert found["expected_low"].null_count() == 1


def test_a_minute_alone_finds_the_starts_of_a_range(findings: MachineFindings) -> None:
    frame = hard(1.5)
    whole = score_window(window(frame, minute(0), minute(6)), [findings])
    alone = [score_window(window(frame, minute(n)), [findings]) for n in range(7)]
    assert whole.height == 1
    assert_frame_equal(pl.concat(alone), whole, check_exact=True)


def test_a_machine_without_a_past_has_no_findings(paths: DataPaths) -> None:
    fresh = MachineFindings(nothing_learned(), "2-abc", paths)
    assert fresh.score(window(hard(3.0), minute(1), minute(6))).is_empty()


def test_a_change_that_never_came_is_flagged(findings: MachineFindings) -> None:
    frame = machine(states(("running", 130), ("setup", 20), ("running", 90)))
    found = findings.score(window(frame, minute(1), minute(3)))
    changes = found.filter(pl.col("detector") == "transition")
    assert changes.select("metric", "unit", "event_ts").rows() == [("state", None, BEGIN + timedelta(seconds=130))]
    assert changes["reason"][0].startswith("went from running to setup, which machines of its class did not in 300")
    assert with_type(changes)["type"].to_list() == ["shape"]


def test_a_state_that_nobody_knows_is_news_and_no_fault(findings: MachineFindings) -> None:
    frame = machine(states(("running", 130), ("idle", 110)))
    news = frame.with_columns(pl.col("text").replace("idle", "cleaning"))
    assert findings.score(window(news, minute(1), minute(3))).is_empty()


def test_few_changes_say_nothing_about_what_is_strange(paths: DataPaths) -> None:
    few = CHANGES.with_columns(pl.lit(LEAST_EXITS - 1).cast(pl.Int64).alias("seen"))
    young = MachineFindings(replace(nothing_learned(), starts=STARTS, changes=few), "2-abc", paths)
    frame = machine(states(("running", 130), ("setup", 20), ("running", 90)))
    assert young.score(window(frame, minute(1), minute(3))).is_empty()


def test_the_guilty_phase_of_an_unbalanced_machine_is_named(findings: MachineFindings) -> None:
    even = machine(states(("running", 240)))
    weak = changed(even, minute(2), minute(3), pl.col("value") * 0.7, PHASES[1:2])
    found = findings.score(window(weak, minute(1), minute(3)))
    assert found.select("metric", "detector", "minute").rows() == [("current_l2", "unbalance", minute(2))]
    assert found["event_ts"][0] == minute(3) - timedelta(seconds=1)
    assert found["value"][0] < found["expected_low"][0]
    assert "more than 10 %" in found["reason"][0]
    assert with_type(found)["type"].to_list() == ["multichannel"]


def test_phases_at_rest_or_of_different_instants_are_not_compared(findings: MachineFindings) -> None:
    idle = changed(machine(states(("idle", 240))), minute(1), minute(3), pl.col("value") * 0.5, PHASES[1:2])
    assert findings.score(window(idle, minute(1), minute(3))).is_empty()
    weak = changed(machine(states(("running", 240))), minute(2), minute(3), pl.col("value") * 0.7, PHASES[1:2])
    holes = weak.filter((pl.col("metric") != PHASES[0]) | (pl.col("event_ts") >= minute(2) + timedelta(seconds=30)))
    assert findings.score(window(holes, minute(2))).is_empty()


def test_velocities_in_zone_c_and_d_are_flagged(paths: DataPaths) -> None:
    zones = read_zones().filter(pl.col("machine_group") == STRICTEST[0], pl.col("support") == STRICTEST[1])
    c, d = zones["zone_c_from"][0], zones["zone_d_from"][0]
    frame = velocities([c * 0.99] * 6 + [c * 1.001] * 6 + [(c + d) / 2] * 6 + [d * 1.001] * 6)
    found = VibrationZone(paths).score(window(frame, minute(0), minute(3)))
    assert found["minute"].to_list() == [minute(1), minute(2), minute(3)]
    assert found["score"].to_list() == pytest.approx([1.0, 2.5, 4.0], abs=0.01)
    assert ["zone C" in reason for reason in found["reason"]] == [True, True, False]
    assert set(with_type(found)["type"]) == {"range"}
    assert found["event_ts"][0] == minute(1) + timedelta(seconds=50)


def test_the_zone_is_that_of_the_class_that_the_machine_tells(paths: DataPaths) -> None:
    zones = read_zones().sort("zone_c_from").row(-1, named=True)
    limit = zones["zone_c_from"]
    frame = velocities([limit * 0.99] * 6)
    told = f'{{"machine_group":"{zones["machine_group"]}","support":"{zones["support"]}"}}'
    device = pl.DataFrame([{"device_id": PRESS, "attributes": told}], schema=DIM_DEVICE_SCHEMA)
    assert VibrationZone(paths).score(window(frame, minute(0))).height == 1
    write_parquet(device, dim_device_file(paths))
    assert VibrationZone(paths).score(window(frame, minute(0))).is_empty()
