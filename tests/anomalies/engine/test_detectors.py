"""Each detector alone: strange where the fault is, calm elsewhere, the same however a range was cut."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.anomalies.engine import Grid, GridDetector
from iot_pipeline.anomalies.engine.creep import Creep
from iot_pipeline.anomalies.engine.drift import Drift
from iot_pipeline.anomalies.engine.gap import Gap
from iot_pipeline.anomalies.engine.noise import Noise
from iot_pipeline.anomalies.engine.rate import RateOfChange
from iot_pipeline.anomalies.engine.ridge_lags import RidgeLags
from iot_pipeline.anomalies.engine.rolling_z import RollingZ
from iot_pipeline.anomalies.engine.rules import RangeRule
from iot_pipeline.anomalies.engine.step import Step
from iot_pipeline.anomalies.engine.stuck import Stuck
from iot_pipeline.anomalies.engine.usual_range import UsualRange
from iot_pipeline.anomalies.engine.weekly_band import WeeklyBand
from iot_pipeline.anomalies.engine.window_features import WindowFeatures
from iot_pipeline.anomalies.engine.window_forest import WindowForest
from iot_pipeline.anomalies.engine.window_kmeans import WindowKMeans
from tests.anomalies.engine.series import DAY, START, STEP, Values, daily, grid

FROM = 20 * DAY
AT = FROM + 150
DETECTORS = (
    Creep(),
    Drift(),
    Gap(),
    Noise(),
    RidgeLags(),
    RidgeLags(horizon=16),
    RidgeLags(short=True),
    RollingZ(),
    RangeRule(),
    RateOfChange(),
    Step(),
    Stuck(),
    UsualRange(),
    WeeklyBand(),
    WindowFeatures(),
    WindowForest(trees=20),
    WindowKMeans(),
)


def standard(values: Values) -> Grid:
    return grid((values - 20) / 3)


def higher(values: Values) -> None:
    values[AT] += 15


def shifted(values: Values) -> None:
    values[AT : AT + 60] += 4


def rough(values: Values) -> None:
    values[AT : AT + 60] += np.random.default_rng(0).normal(0, 3, 60)


def crept(values: Values) -> None:
    values[AT : AT + 96] += np.linspace(0, 6, 96)


def flat(values: Values) -> None:
    values[AT : AT + 60] = values[AT]


def lost(values: Values) -> None:
    values[AT : AT + 60] = np.nan


@pytest.mark.parametrize(
    ("detector", "fault"),
    [
        (RidgeLags(), higher),
        (RidgeLags(short=True), higher),
        (RidgeLags(horizon=16), shifted),
        (RateOfChange(), higher),
        (RollingZ(), higher),
        (UsualRange(), higher),
        (WeeklyBand(), higher),
        (Step(), shifted),
        (Noise(), rough),
        (Stuck(), flat),
        (Gap(), lost),
        (Drift(), shifted),
        (WindowKMeans(), rough),
        (WindowFeatures(), rough),
        (Creep(), crept),
        (WindowForest(trees=20), rough),
    ],
    ids=lambda part: getattr(part, "name", getattr(part, "__name__", "")),
)
def test_a_fault_scores_above_all_that_was_usual(detector: GridDetector, fault: object) -> None:
    assert callable(fault)
    values = daily(25, seed=2)
    fault(values)
    everything = standard(values)
    model = detector.fit(everything.head(FROM), ["a"])
    score = detector.score(everything, model, slice(DAY * 5, None)).score[0]
    assert score[AT - 5 * DAY : AT - 5 * DAY + 100].max() > score[: FROM - 5 * DAY].max()


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_scores_depend_on_the_look_back_only(detector: GridDetector) -> None:
    values = daily(25, seed=3)
    values[AT : AT + 3] = np.nan
    whole = standard(values)
    model = detector.fit(whole.head(FROM), ["a"])
    expected = detector.score(whole, model, slice(AT, AT + 50))
    begin = AT - detector.lookback_of(whole)
    short = Grid(whole.series, whole.start + begin * STEP, STEP, whole.values[:, begin : AT + 50])
    alone = detector.score(short, model, slice(AT - begin, None))
    np.testing.assert_allclose(alone.score, expected.score, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(alone.expected_low, expected.expected_low, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_series_of_a_class_share_and_others_do_not_matter(detector: GridDetector) -> None:
    both = grid(daily(25, seed=4, level=0.0), daily(25, seed=5, level=0.0))
    model = detector.fit(both.head(FROM), ["a", "a"])
    whole = detector.score(both, model, slice(FROM, None))
    one = Grid(both.series[1:2], both.start, both.step, both.values[1:2])
    alone = detector.score(one, model.rows(slice(1, 2)), slice(FROM, None))
    np.testing.assert_allclose(alone.score, whole.score[1:2], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
@pytest.mark.parametrize("values", [np.full(3 * DAY, np.nan), np.full(3 * DAY, 4.0), np.zeros(0), np.zeros(1)])
def test_series_that_tell_nothing_score_nothing(detector: GridDetector, values: Values) -> None:
    everything = grid(values)
    model = detector.fit(everything, ["a"])
    score = detector.score(everything, model, slice(None)).score
    assert score.shape == everything.values.shape
    if detector.name != "stuck":
        assert np.nanmax(score, initial=0.0) <= 3 * DAY


def resting_at_night(days: int) -> Values:
    """Moves in the second half of the day; in the first one reading in six does."""
    random = np.random.default_rng(9)
    night = np.arange(days * DAY) % DAY < DAY // 2
    return np.cumsum(np.where(night & (random.random(days * DAY) > 1 / 6), 0.0, random.normal(0, 1, days * DAY)))


def test_rest_counts_where_the_signal_usually_moves() -> None:
    values = resting_at_night(25)
    noon, midnight = FROM + DAY * 3 // 4, FROM + DAY
    values[noon : noon + 12] = values[noon]
    values[midnight : midnight + 24] = values[midnight - 1] + 1
    everything = grid(values)
    detector = Stuck()
    found = detector.score(everything, detector.fit(everything.head(FROM), ["a"]), slice(None))
    assert found.score[0, noon + 11] > 2 * found.score[0, midnight + 23]
    assert found.lasting is not None
    assert found.lasting[0, [noon + 11, midnight + 23]].tolist() == [11, 23]
    assert (found.score <= found.lasting).all()


@given(st.integers(0, 3 * DAY), st.integers(1, DAY))
def test_rest_has_the_same_score_to_the_last_bit_wherever_the_range_is_cut(cut: int, width: int) -> None:
    everything = grid(resting_at_night(8))
    detector = Stuck()
    model = detector.fit(everything, ["a"])
    at = 4 * DAY + cut
    whole = detector.score(everything, model, slice(at, at + width))
    begin = at - detector.lookback_of(everything)
    short = Grid(everything.series, START + begin * STEP, STEP, everything.values[:, begin : at + width])
    alone = detector.score(short, model, slice(at - begin, None))
    np.testing.assert_array_equal(alone.score, whole.score)


def test_sentinels_are_impossible_and_a_record_is_not() -> None:
    values = daily(25)
    values[AT], values[AT + 1] = -9999.0, 30.0
    everything = grid(values)
    rule = RangeRule()
    model = rule.fit(everything.head(FROM), ["a"])
    assert np.flatnonzero(rule.impossible(everything, model)[0]).tolist() == [AT]
    sentinel, record = rule.score(everything, model, slice(AT, AT + 2)).score[0]
    assert sentinel >= 1
    assert record < 1


def test_limits_of_a_class_are_kept() -> None:
    rule = RangeRule(limits={"valve": (0.0, 21.0)})
    everything = grid(daily(25))
    model = rule.fit(everything.head(FROM), ["valve"])
    broken = rule.score(everything, model, slice(FROM, None)).score[0] >= 1
    np.testing.assert_array_equal(broken, everything.values[0, FROM:] > 21.0)


def test_the_weekly_band_knows_the_weekday_after_three_weeks() -> None:
    values = daily(28)
    monday = np.tile(np.repeat([True, False], [DAY, 6 * DAY]), 4)
    values[monday] += 10
    everything = grid(values)
    band = WeeklyBand()
    known = band.band(everything, band.fit(everything, ["a"]))[0]
    first_monday, first_tuesday = known[0, :DAY].mean(), known[0, DAY : 2 * DAY].mean()
    assert first_monday - first_tuesday == pytest.approx(10, abs=1)


def test_nothing_that_was_not_read_is_a_step_of_one_reading() -> None:
    values = daily(22)
    values[AT] = np.nan
    everything = standard(values)
    step = Step(window=1)
    found = step.score(everything, step.fit(everything.head(FROM), ["a"]), slice(AT - 1, AT + 3)).score[0]
    assert (found < 4).all()
    assert found[1] == found[2] == 0


@pytest.mark.parametrize("rows", [2, 4, 12, 40])
def test_few_readings_do_not_tell_what_cannot_be(rows: int) -> None:
    random, count = np.random.default_rng(0), 500
    everything = grid(*random.normal(0, 1, (count, rows + 100)))
    rule = RangeRule()
    model = rule.fit(everything.head(rows), ["a"] * count)
    assert (rule.score(everything, model, slice(rows, None)).score >= 1).any(axis=1).mean() < 0.1


def test_an_hour_does_not_tell_what_cannot_be_for_the_day() -> None:
    values = np.sin(2 * np.pi * np.arange(24 * 60) / (24 * 60))
    everything = grid(values, step=timedelta(minutes=1))
    rule = RangeRule()
    model = rule.fit(everything.head(60), ["a"])
    assert not (rule.score(everything, model, slice(60, None)).score >= 1).any()
