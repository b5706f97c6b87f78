"""Travel times of valves as flags of the product."""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.detectors.window import Asked
from iot_pipeline.anomalies.flags import score_window
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.anomalies.models.machines import STROKES_LEARNED_SCHEMA, nothing_learned
from iot_pipeline.anomalies.models.scoring.findings import LEAST_STROKES, MachineFindings
from iot_pipeline.clock import MINUTE
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import FLAGS_SCHEMA
from tests.anomalies.frames import readings
from tests.anomalies.machines.press import BEGIN, window

VALVE = "line/valve"
LEARNED = [[VALVE, "travel_time_open", "ms", 8640, 420.0, 5.0], [VALVE, "travel_time_close", "ms", 8640, 380.0, 5.0]]
STROKES = pl.DataFrame(LEARNED, schema=STROKES_LEARNED_SCHEMA, orient="row")
USUAL = [420.0, 421.5, 418.0, 430.0, 409.0, 420.0]


@pytest.fixture(name="findings")
def learned(tmp_path: Path) -> MachineFindings:
    return scorer(tmp_path)


def scorer(folder: Path, strokes: pl.DataFrame = STROKES) -> MachineFindings:
    return MachineFindings(replace(nothing_learned(), strokes=strokes), "3-abc", load_settings(data=folder).paths)


def strokes(
    values: list[float], *, device: str = VALVE, direction: str = "open", unit: str | None = "ms"
) -> pl.DataFrame:
    """One every twenty seconds."""
    return readings(values, start=BEGIN, step=20, device=device, metric=f"travel_time_{direction}", unit=unit)


def minute(number: int) -> datetime:
    return BEGIN + number * MINUTE


def test_usual_strokes_are_not_flagged(findings: MachineFindings) -> None:
    frame = pl.concat([strokes(USUAL * 3), strokes([380.0, 375.0, 391.0] * 6, direction="close")])
    assert findings.score(window(frame, minute(0), minute(5))).is_empty()


def test_a_slow_stroke_is_flagged_where_it_was_told(findings: MachineFindings) -> None:
    found = findings.score(window(strokes([*USUAL, 420.0, 546.2, 420.0]), minute(0), minute(2)))
    assert found.schema == pl.Schema(FLAGS_SCHEMA)
    assert found.select("device_id", "metric", "unit", "detector", "detector_version", "minute", "value").rows() == [
        (VALVE, "travel_time_open", "ms", "stroke", "3-abc", minute(2), 546.2)
    ]
    assert (found["event_ts"][0] - minute(2)).total_seconds() == 20
    assert found["reason"].to_list() == ["the valve took 546.2 ms to open, usual are 390 to 450 ms of 8640 strokes"]
    assert (round(found["expected_low"][0], 1), round(found["expected_high"][0], 1)) == (390.0, 450.0)
    assert found["score"][0] == pytest.approx(126.2 / 30.1, rel=1e-2)
    assert with_type(found)["type"].to_list() == ["shape"]


def test_a_fast_stroke_is_flagged_by_its_own_direction(findings: MachineFindings) -> None:
    frame = pl.concat([strokes([420.0, 420.0, 380.0]), strokes([380.0, 380.0, 380.0], direction="close")])
    found = findings.score(window(frame, minute(0)))
    assert found.select("metric", "value").rows() == [("travel_time_open", 380.0)]


def test_a_valve_that_never_varied_keeps_a_band_of_some_per_cent(tmp_path: Path) -> None:
    stiff = scorer(tmp_path, STROKES.with_columns(spread=pl.lit(0.0)))
    found = stiff.score(window(strokes([430.0, 440.0, 410.0, 455.0]), minute(0), minute(1)))
    assert found["value"].to_list() == [455.0]


def test_valves_that_are_not_known_are_not_flagged(findings: MachineFindings, tmp_path: Path) -> None:
    slow = window(pl.concat([strokes([900.0], device="line/other"), strokes([0.9], unit="s")]), minute(0))
    assert findings.score(slow).is_empty()
    known_slow = window(strokes([900.0]), minute(0))
    few = STROKES.with_columns(support=pl.lit(LEAST_STROKES - 1, pl.Int64))
    assert scorer(tmp_path, few).score(known_slow).is_empty()
    assert scorer(tmp_path, STROKES.clear()).score(known_slow).is_empty()
    assert findings.score(known_slow).height == 1


def test_a_valve_without_a_unit_is_judged(tmp_path: Path) -> None:
    bare = scorer(tmp_path, STROKES.with_columns(unit=pl.lit(None, pl.String)))
    found = bare.score(window(strokes([900.0], unit=None), minute(0)))
    assert found["reason"][0].startswith("the valve took 900 to open, usual are 390 to 450 of")


def test_a_minute_alone_finds_the_strokes_of_a_range(findings: MachineFindings) -> None:
    frame = strokes([420.0, 500.0, 420.0, 420.0, 1e150, 1e150, 300.0, 420.0, 420.0, 1e150, 1e150, 1e150])
    whole = score_window(window(frame, minute(0), minute(3)), [findings])
    alone = [score_window(window(frame, minute(n)), [findings]) for n in range(4)]
    assert whole.height == 7
    assert_frame_equal(pl.concat(alone), whole, check_exact=True)


def test_of_a_large_fleet_only_valves_that_left_their_band_are_read(tmp_path: Path) -> None:
    asked: list[str] = []

    def read(devices: pl.Series | None) -> pl.DataFrame:
        assert devices is not None
        asked.extend(devices)
        return frame.filter(pl.col("device_id").is_in(devices.implode()))

    others = [STROKES.with_columns(device_id=pl.lit(name)) for name in ("line/calm", "line/of another window")]
    frame = pl.concat([strokes([500.0]), strokes(USUAL, device="line/calm"), strokes([500.0], device="line/unknown")])
    whole = window(frame, minute(0), minute(1))
    part = replace(whole, readings=frame.clear(), asked=Asked(read, pl.Series("device_id", [], pl.String)))
    fleet = scorer(tmp_path, pl.concat([STROKES, *others]))
    assert_frame_equal(fleet.score(part), fleet.score(whole))
    assert fleet.score(part)["device_id"].to_list() == [VALVE]
    assert set(asked) == {VALVE}


@given(st.lists(st.floats(0.1, 1e3), min_size=1, max_size=6), st.floats(0.0, 50.0), st.integers(0, 5))
def test_what_is_asked_for_is_all_that_can_be_flagged(values: list[float], spread: float, places: int) -> None:
    """Of a large fleet the same is found as where all readings are at hand."""
    frame = strokes([round(value, places) for value in values])
    whole = window(frame, minute(0), minute(1))
    nobody = pl.Series("device_id", [], pl.String)
    asked = Asked(lambda devices: frame if devices is None or devices.len() else frame.clear(), nobody)
    fleet = scorer(Path("unused"), STROKES.with_columns(spread=pl.lit(spread)))
    assert_frame_equal(
        fleet.score(replace(whole, readings=frame.clear(), asked=asked)), fleet.score(whole), check_exact=True
    )
