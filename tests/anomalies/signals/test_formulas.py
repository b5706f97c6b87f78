"""Formulas of electrical and mechanical signals against cases that can be computed by hand."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.signals.inrush import starts, working_load
from iot_pipeline.anomalies.signals.integral import integrals
from iot_pipeline.anomalies.signals.unbalance import unbalance_percent
from iot_pipeline.anomalies.signals.vibration import read_zones, severity, waveform
from iot_pipeline.errors import ConfigurationError

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


def series(points: list[tuple[float, float | None]], name: str = "value") -> pl.DataFrame:
    """Readings of device p at seconds after START."""
    return pl.DataFrame(
        [("p", START + at * SECOND, value) for at, value in points],
        schema={"device_id": pl.String, "ts": pl.Datetime("us", "UTC"), name: pl.Float64},
        orient="row",
    )


def integrated(points: list[tuple[float, float | None]], window: timedelta = MINUTE) -> pl.DataFrame:
    return integrals(series(points), by=["device_id"], window=window)


def test_a_constant_current_has_the_charge_of_its_time() -> None:
    [first, second] = integrated([(at, 10.0) for at in range(0, 70, 5)]).to_dicts()
    assert (first["amount"], first["squared"], first["covered_seconds"], first["coverage"]) == (
        600.0,
        6000.0,
        60.0,
        1.0,
    )
    assert second["amount"] == 50.0


def test_a_stretch_across_the_border_is_divided_there() -> None:
    [before, after] = integrated([(55.0, 0.0), (65.0, 10.0)]).to_dicts()
    assert (before["amount"], after["amount"]) == (12.5, 37.5)
    assert before["squared"] == pytest.approx(125 / 3)
    assert after["squared"] == pytest.approx((25 + 50 + 100) / 3 * 5)


def test_a_gap_is_not_bridged() -> None:
    [row] = integrated([(0, 10.0), (5, 10.0), (16, 10.0), (20, 10.0)]).to_dicts()
    assert row["covered_seconds"] == 9.0
    assert row["amount"] == 90.0
    assert row["coverage"] == pytest.approx(0.15)


def test_order_repetition_and_what_is_no_number_do_not_matter() -> None:
    points: list[tuple[float, float | None]] = [(0, 1.0), (2, 3.0), (4, 2.0)]
    noise: list[tuple[float, float | None]] = [(2, 99.0), (1, None), (3, math.nan), (3, math.inf)]
    assert integrated([*reversed(points), *noise]).equals(integrated(points))


def test_one_reading_or_none_has_no_integral() -> None:
    assert integrated([(0, 1.0)]).is_empty()
    assert integrated([]).is_empty()
    with pytest.raises(ValueError, match="at most the window"):
        integrated([], window=SECOND)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 600_000), st.floats(-1e6, 1e6)), max_size=40, unique_by=lambda point: point[0])
)
def test_windows_add_up(points: list[tuple[int, float]]) -> None:
    readings: list[tuple[float, float | None]] = [(at / 1000, value) for at, value in points]
    whole, parts = integrated(readings, 10 * MINUTE), integrated(readings)
    for name in ("amount", "squared", "covered_seconds"):
        assert math.isclose(whole[name].sum(), parts[name].sum(), rel_tol=1e-9, abs_tol=1e-3)
    assert (parts["coverage"] <= 1 + 1e-9).all()


@pytest.mark.parametrize(
    ("phases", "least", "expected"),
    [
        ((10.0, 10.0, 10.0), 0.0, 0.0),
        ((460.0, 467.0, 450.0), 0.0, 100 * (459 - 450) / 459),
        ((0.0, 0.0, 3.0), 0.0, 200.0),
        ((0.0, 0.0, 0.0), 0.0, math.nan),
        ((0.1, 0.2, 0.1), 1.0, math.nan),
        ((10.0, math.nan, 10.0), 0.0, math.nan),
    ],
)
def test_unbalance(phases: tuple[float, ...], least: float, expected: float) -> None:
    found = unbalance_percent(np.array([phases]), least_mean=least)
    np.testing.assert_allclose(found, [expected], rtol=1e-12)


def test_unbalance_needs_three_phases() -> None:
    with pytest.raises(ValueError, match="three phases"):
        unbalance_percent(np.zeros((4, 2)))


def test_a_start_has_its_peak_duration_and_heat() -> None:
    currents = series([(0, 1.0), (1, 1.0), (2, 60.0), (3, 30.0), (4, 11.0), (5, 10.0), (6, 10.0)], "current")
    rated = pl.DataFrame({"device_id": ["p"], "load": [10.0]})
    [start] = starts(currents, rated, by=["device_id"], on_share=0.5).to_dicts()
    assert start["started_at"] == START + 2 * SECOND
    assert (start["peak"], start["peak_ratio"], start["inrush_seconds"]) == (60.0, 6.0, 2.0)
    assert start["i2t"] == pytest.approx((3600 + 1800 + 900) / 3 + (900 + 330 + 121) / 3)


def test_a_start_behind_a_gap_is_not_seen_and_one_that_does_not_settle_has_no_duration() -> None:
    rated = pl.DataFrame({"device_id": ["p"], "load": [10.0]})
    behind = series([(0, 1.0), (11, 60.0), (12, 10.0)], "current")
    assert starts(behind, rated, by=["device_id"]).is_empty()
    stalled = series([(0, 1.0), *((at, 60.0) for at in range(1, 20))], "current")
    [start] = starts(stalled, rated, by=["device_id"]).to_dicts()
    assert start["inrush_seconds"] is None
    assert start["i2t"] == pytest.approx(36_000)


def test_the_working_load_is_told_by_the_machine() -> None:
    currents = series([(at, 0.5 if at < 80 else 20.0) for at in range(100)], "current")
    assert working_load(currents, by=["device_id"])["load"].to_list() == [20.0]
    assert working_load(series([(0, 0.0)], "current"), by=["device_id"]).is_empty()


def test_a_sine_and_gaussian_noise_have_their_crest_and_kurtosis() -> None:
    sine = np.sin(np.linspace(0, 20 * np.pi, 10_000, endpoint=False))
    noise = np.random.default_rng(1).standard_normal(200_000)
    assert waveform(3 * sine).rms == pytest.approx(3 / math.sqrt(2))
    assert waveform(sine).crest == pytest.approx(math.sqrt(2), rel=1e-3)
    assert waveform(sine).kurtosis == pytest.approx(1.5)
    assert waveform(noise).kurtosis == pytest.approx(3, abs=0.1)
    assert waveform(noise * 1e-90).kurtosis == pytest.approx(3, abs=0.1)


def test_a_knock_raises_crest_and_kurtosis() -> None:
    quiet = np.random.default_rng(2).standard_normal((2, 4096))
    quiet[1, ::512] += 12
    found = waveform(quiet)
    assert found.crest[1] > 2 * found.crest[0]
    assert found.kurtosis[1] > 5


def test_bursts_without_movement_or_samples() -> None:
    still = waveform(np.full((1, 8), 2.0))
    assert (still.rms[0], still.peak[0], still.crest[0]) == (2.0, 2.0, 1.0)
    assert np.isnan(still.kurtosis[0])
    assert np.isnan(waveform(np.zeros((1, 4))).crest[0])
    assert np.isnan(waveform(np.zeros((3, 0))).rms).all()
    assert np.isnan(waveform(np.array([[1.0, np.nan]])).rms[0])


def test_zones_are_those_of_the_seed() -> None:
    zones = read_zones()
    velocities = pl.DataFrame({"device_id": ["mill"] * 4 + ["fan"], "value": [3.4, 3.5, 7.1, 11.0, 1.4]})
    classes = pl.DataFrame({"device_id": ["mill"], "machine_group": ["group_1"], "support": ["flexible"]})
    assert severity(velocities, classes, zones)["zone"].to_list() == ["A", "B", "C", "D", "B"]
    missing = pl.DataFrame({"device_id": ["fan", "fan"], "value": [None, math.nan]})
    assert severity(missing, classes, zones)["zone"].to_list() == [None, None]


@pytest.mark.parametrize(
    "text", ["a,b\n1,2\n", "machine_group,support,zone_b_from,zone_c_from,zone_d_from\ng,r,3,2,4\n"]
)
def test_a_table_of_zones_that_cannot_be_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "zones.csv"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=str(path)):
        read_zones(path)
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_zones(tmp_path / "nowhere.csv")
