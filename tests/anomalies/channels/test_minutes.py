"""Channels by minute against plain formulas, and what is not judged."""

import numpy as np
import polars as pl
import pytest

from iot_pipeline.anomalies.channels.minutes import WINDOW, deviate, learn, smoothed
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.clock import MINUTE
from tests.anomalies.channels.plant import START, Values, plant


def grid_of(values: Values) -> Grid:
    return Grid(pl.DataFrame({"series": range(len(values))}), START, MINUTE, values)


def test_expected_is_the_regression_on_the_others() -> None:
    values = plant(20_000, seed=1)
    expectation, _ = learn(values[None])
    found = deviate(values[None], expectation).expected[0]
    for channel in range(len(values)):
        others = np.column_stack([np.delete(values, channel, axis=0).T, np.ones(values.shape[1])])
        predicted = others @ np.linalg.lstsq(others, values[channel], rcond=None)[0]
        assert np.abs(found[channel] - predicted).max() < 0.1 * values[channel].std()


def test_deviations_are_in_what_one_minute_of_a_hundred_exceeds() -> None:
    values = plant(20_000, seed=2)
    expectation, worst = learn(values[None])
    beyond = np.abs(deviate(values[None], expectation).size[0]) > 1
    assert np.nanmean(beyond, axis=1) == pytest.approx(0.01, abs=0.003)
    assert worst.shape == (1, 20_000)
    assert 0.01 <= (worst > 1).mean() <= 0.05


def test_machines_together_are_learned_as_each_alone() -> None:
    values = np.stack([plant(2000, seed=seed) for seed in range(3)])
    together, worst = learn(values)
    for number in range(3):
        alone, own = learn(values[number : number + 1])
        np.testing.assert_array_equal(together.weights[number], alone.weights[0])
        np.testing.assert_array_equal(worst[number], own[0])


def test_minutes_with_a_missing_channel_are_neither_learned_nor_judged() -> None:
    values = plant(3000, seed=4)
    holed = values.copy()
    holed[2, 1000:1200] = np.nan
    expectation, worst = learn(holed[None])
    other = holed.copy()
    other[0, 1000:1200] = 1e9
    np.testing.assert_array_equal(learn(other[None])[0].weights, expectation.weights)
    assert np.isnan(worst[0, 1000:1200]).all()
    assert np.isnan(deviate(holed[None], expectation).size[0, :, 1000:1200]).all()


def test_what_the_others_never_let_expect_before_is_not_judged() -> None:
    values = plant(3000, seed=5)
    expectation, _ = learn(values[None])
    off = values.copy()
    off[0] *= 1.2
    alone = np.abs(deviate(off[None], expectation).size[0])
    assert np.nanmean(alone[0] > 3) > 0.9
    resting = deviate(values[None] * 0.1, expectation)
    assert np.isnan(resting.size).all()
    assert np.isfinite(resting.expected).all()


def test_means_add_the_same_minutes_wherever_a_range_begins() -> None:
    values = plant(200, seed=6)
    values[1, 50:90] = np.nan
    whole = smoothed(grid_of(values))
    assert whole.shape == (len(values), 200 - WINDOW + 1)
    np.testing.assert_allclose(whole[0, 0], values[0, :WINDOW].mean())
    assert np.isnan(whole[1]).sum() == 40 - WINDOW + 1
    for begin in (0, 3, 57):
        np.testing.assert_array_equal(smoothed(grid_of(values[:, begin:])), whole[:, begin:])


@pytest.mark.parametrize("columns", [0, 1, WINDOW - 1])
def test_less_than_a_window_has_no_mean(columns: int) -> None:
    assert smoothed(grid_of(plant(40)[:, :columns])).shape == (5, 0)
