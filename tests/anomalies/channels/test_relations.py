"""The statistics of channels against plain formulas."""

import numpy as np

from iot_pipeline.anomalies.channels.relations import deviations, relate
from iot_pipeline.anomalies.channels.tail import counted, threshold
from iot_pipeline.clock import DAY
from tests.anomalies.channels.plant import SECOND, plant

FLOOR = np.full((1, 5), 1e-9)
MANY = np.array([1e9])


def test_conditional_deviation_is_the_residual_of_a_regression_on_the_others() -> None:
    values = plant()
    usual = relate(values[None], floor=FLOOR, independent=MANY)
    found = deviations(values[None], usual).conditional[0]
    z = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    for channel in range(5):
        others = np.delete(z, channel, axis=0)
        weights = np.linalg.lstsq(others.T, z[channel], rcond=None)[0]
        residual = z[channel] - weights @ others
        assert np.abs(found[channel] - residual).max() < 0.05
        assert np.corrcoef(found[channel], residual)[0, 1] > 0.999


def test_joint_is_the_mahalanobis_distance() -> None:
    values = plant()
    found = deviations(values[None], relate(values[None], floor=FLOOR, independent=MANY)).joint[0]
    away = values - values.mean(axis=1, keepdims=True)
    expected = np.sqrt(np.einsum("it,ij,jt->t", away, np.linalg.inv(np.cov(values, bias=True)), away))
    np.testing.assert_allclose(found, expected, rtol=0.02)


def test_a_missing_channel_leaves_the_others_as_without_it() -> None:
    values = plant()
    usual = relate(values[None], floor=FLOOR, independent=MANY)
    gone = values.copy()
    gone[1] = np.nan
    found = deviations(gone[None], usual)
    without = relate(np.delete(values, 1, axis=0)[None], floor=FLOOR[:, :4], independent=MANY)
    expected = deviations(np.delete(values, 1, axis=0)[None], without)
    np.testing.assert_allclose(found.joint, expected.joint, rtol=0.01)
    assert (found.conditional[0, 1] == 0).all()
    correlation = np.corrcoef(found.conditional[0, 0], expected.conditional[0, 0])[0, 1]
    assert correlation > 0.999


def test_the_tail_tells_a_level_that_is_met() -> None:
    """Of exponential scores, the level for one alert a day is passed about once a day."""
    rng = np.random.default_rng(3)
    level = threshold(rng.exponential(size=(200, 400)), budget=1.0, step=SECOND, independent=1)
    expected = np.log(DAY / SECOND)
    assert np.median(level) == np.float64(np.median(level))
    assert abs(np.median(level) - expected) < 1.0


def test_a_long_history_is_counted() -> None:
    score = np.zeros(10 * 86_400)
    score[5::86_400] = np.arange(1, 11)
    assert threshold(score[None], budget=0.5, step=SECOND, independent=10) == 5.0
    assert counted(score, 3, 10) == 7.0


def test_no_scores_no_threshold() -> None:
    level = threshold(np.full((2, 5), np.nan), budget=0.1, step=SECOND, independent=1)
    assert np.isinf(level).all()
    assert threshold(np.zeros((1, 0)), budget=0.1, step=SECOND, independent=1)[0] == np.inf
    assert 0 < threshold(np.zeros((1, 50)), budget=0.1, step=SECOND, independent=1)[0] < 1e-300
