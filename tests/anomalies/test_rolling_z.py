"""What rolling_z leaves alone, how wide its band is, and that it knows one series from another."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.detectors import RollingZ
from iot_pipeline.anomalies.detectors.rolling_z import band_factor
from iot_pipeline.clock import MINUTE
from iot_pipeline.stats.relations import FLAGS_SCHEMA
from tests.anomalies.frames import NOW, minute_by_minute, readings, window

START = NOW - 30 * MINUTE


def noise(minutes: int, per_minute: int = 30, seed: int = 1) -> list[list[float]]:
    values = 20.0 + np.random.default_rng(seed).normal(size=(minutes, per_minute))
    return [[float(value) for value in row] for row in values]


def test_eight_sigma_is_caught_and_noise_is_not() -> None:
    history = noise(31)
    history[-1][10] = 28.0 + 0.5
    assert RollingZ().score(window(minute_by_minute(history, start=START)))["value"].to_list() == [28.5]


@given(st.integers(0, 1_000))
@settings(max_examples=20, deadline=None)
def test_clean_noise_is_never_flagged_also_soon_after_the_start(seed: int) -> None:
    frame = minute_by_minute(noise(8, seed=seed), start=NOW)
    assert RollingZ().score(window(frame, NOW, NOW + 7 * MINUTE)).is_empty()


def test_flags_come_after_one_minute_of_history() -> None:
    history = [*noise(1), [20.0, 60.0]]
    assert RollingZ().score(window(minute_by_minute(history, start=NOW - MINUTE)))["value"].to_list() == [60.0]


def test_a_gap_in_the_look_back_does_not_matter() -> None:
    history = [*noise(3), *([[]] * 26), *noise(1), [20.0, 60.0]]
    assert RollingZ().score(window(minute_by_minute(history, start=START)))["value"].to_list() == [60.0]


def test_peaks_that_come_again_are_a_habit_and_a_fault_that_lasts_is_not() -> None:
    """A motor that starts every ten minutes, and a signal that shook for three minutes in a row."""
    motor, shaken = noise(31, seed=2), noise(31, seed=3)
    for minute in (5, 15, 25):
        motor[minute][7] = 120.0
    for minute in (15, 16, 17):
        shaken[minute][7] = 120.0
    motor[30][7] = shaken[30][7] = 125.0
    motor[30][9] = -85.0
    frame = pl.concat(
        [minute_by_minute(motor, start=START, device="motor"), minute_by_minute(shaken, start=START, device="shaken")]
    )
    flags = RollingZ().score(window(frame)).sort("event_ts", "device_id")
    assert flags.select("device_id", "value").rows() == [("shaken", 125.0), ("motor", -85.0)]


def test_a_one_reading_series_is_not_flagged() -> None:
    assert RollingZ().score(window(readings([1e9], start=NOW))).is_empty()


def test_no_readings_give_no_flags_in_the_schema() -> None:
    flags = RollingZ().score(window(readings([], start=NOW)))
    assert flags.schema == pl.Schema(FLAGS_SCHEMA)
    assert flags.is_empty()


def test_irregular_readings_count_by_their_number_not_their_time() -> None:
    history = [[20.0, 20.1], *([[]] * 9), *noise(2, per_minute=25), *([[]] * 17), [19.9], [20.0, 60.0]]
    assert RollingZ().score(window(minute_by_minute(history, start=START)))["value"].to_list() == [60.0]


@pytest.mark.parametrize("metric", ["register", "energy_total"])
def test_a_cumulative_register_is_not_scored(metric: str) -> None:
    """Consumption that wakes up after a quiet night, as a running total."""
    steps = np.r_[np.full(30 * 12, 0.001), np.full(12, 0.5)]
    frame = readings(np.cumsum(steps).round(3).tolist(), start=START, step=5.0, metric=metric, unit="kWh")
    assert RollingZ().score(window(frame)).is_empty()


def test_a_known_register_is_not_scored_when_it_stood_still() -> None:
    """Standing still for the whole look-back looks like a constant; its name says what it is."""
    values = [812.5] * (30 * 12) + [812.5, 813.0, 814.0]
    frame = readings(values, start=START, step=5.0, metric="register", unit="m3")
    assert RollingZ().score(window(frame)).is_empty()
    assert RollingZ(cumulative=()).score(window(frame)).height == 2


def test_units_and_missing_units_are_series_of_their_own() -> None:
    celsius = minute_by_minute([*noise(30), [20.0]], start=START)
    fahrenheit = celsius.with_columns(value=pl.col("value") * 1.8 + 32, unit=pl.lit("°F"))
    unknown = celsius.with_columns(value=pl.col("value") + 1000, unit=pl.lit(None, pl.String))
    assert RollingZ().score(window(pl.concat([celsius, fahrenheit, unknown]))).is_empty()

    moved = unknown.with_columns(
        value=pl.when(pl.col("event_ts") >= NOW).then(pl.col("value") - 1000).otherwise("value")
    )
    flags = RollingZ().score(window(pl.concat([celsius, fahrenheit, moved])))
    assert flags["unit"].to_list() == [None]
    assert flags["reason"][0].startswith("20 is below the usual 1014")


def test_text_bad_and_non_finite_readings_are_not_scored() -> None:
    good = minute_by_minute(noise(30), start=START)
    odd = readings([500.0, float("inf"), float("nan")], start=NOW)
    odd = odd.with_columns(quality=pl.Series(["bad", "good", "good"]))
    text = readings([1.0], start=NOW).with_columns(value=pl.lit(None, pl.Float64), text=pl.lit("running"))
    score = RollingZ().score(window(good))
    assert score.is_empty()
    frame = window(good)
    with_odd = type(frame)(
        readings=pl.concat([good, odd, text]), minutes=frame.minutes, first=frame.first, last=frame.last
    )
    assert RollingZ().score(with_odd).is_empty()


def test_the_band_is_students_t() -> None:
    stats = pytest.importorskip("scipy.stats")
    for threshold in (3.0, 6.0):
        for count in (30.0, 180.0, 1800.0):
            exact = stats.t.isf(stats.norm.sf(threshold), count - 1) * np.sqrt(1 + 1 / count)
            assert band_factor(threshold, np.array([count]))[0] == pytest.approx(exact, rel=0.01)


def test_the_version_tells_parameters_apart() -> None:
    assert RollingZ().version == RollingZ().version
    assert RollingZ().version != RollingZ(threshold=5.0).version


@pytest.mark.parametrize(
    "wrong", [{"minutes": 0}, {"threshold": 0.0}, {"threshold": 80.0}, {"min_support": 2}, {"habit": 0}]
)
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RollingZ(**wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_readings_of_several_batches_are_flagged_as_those_of_one() -> None:
    """Polars panicked on texts made of columns that are cut into chunks at different rows."""
    history = noise(31)
    for place in (3, 10, 17, 24):
        history[-1][place] = 28.5 + place
    whole = window(minute_by_minute(history, start=START))
    for size in range(1, 9):
        cut = [whole.readings.slice(begin, size) for begin in range(0, whole.readings.height, size)]
        pieces = replace(whole, readings=pl.concat(cut, rechunk=False))
        assert RollingZ().score(pieces).equals(RollingZ().score(whole))
