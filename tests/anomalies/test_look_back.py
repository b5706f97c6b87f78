"""The combined statistics are those of the readings themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.detectors.look_back import LookBack
from iot_pipeline.anomalies.detectors.minute_grids import MinuteGrids
from iot_pipeline.clock import MINUTE
from tests.anomalies.frames import NOW, device_minutes, minute_by_minute

LENGTH = 5

numbers = st.floats(-1e6, 1e6, allow_subnormal=False)
histories = st.lists(st.lists(numbers, max_size=6), min_size=LENGTH, max_size=LENGTH)


def before(minutes: list[list[float]]) -> LookBack:
    frame = minute_by_minute(minutes, start=NOW - len(minutes) * MINUTE)
    return LookBack(grids=MinuteGrids.of(device_minutes(frame)), first=NOW, minutes=1, length=LENGTH)


def one_series(minutes: list[list[float]]) -> tuple[float, float, float]:
    """Count, mean and variance."""
    usual = before(minutes).moments()
    if not any(minutes):
        assert usual.count.size == 0
        return 0.0, 0.0, 0.0
    return usual.count[0, 0], usual.mean[0, 0], usual.variance[0, 0]


@given(histories)
@settings(max_examples=60, deadline=None)
def test_mean_and_variance_are_those_of_the_readings(minutes: list[list[float]]) -> None:
    values = np.array([value for minute in minutes for value in minute])
    count, mean, variance = one_series(minutes)

    assert count == len(values)
    if len(values) > 1:
        scale = np.abs(values).max()
        assert mean == pytest.approx(values.mean(), abs=1e-12 * scale)
        assert variance == pytest.approx(values.var(ddof=1), rel=1e-9, abs=1e-12 * scale**2)


def test_a_large_level_does_not_drown_a_small_spread() -> None:
    noise = [[1e9 + offset for offset in (-0.5, 0.0, 0.5)]] * LENGTH
    assert one_series(noise)[2] == pytest.approx(np.var([-0.5, 0.0, 0.5] * LENGTH, ddof=1))


def test_minutes_outside_the_look_back_do_not_count() -> None:
    assert one_series([[1e6] * 5, *([[1.0, 2.0]] * LENGTH)])[0] == 2 * LENGTH


@pytest.mark.parametrize(
    ("minutes", "rising"),
    [
        ([[1.0, 2.0], [2.0, 3.5], [], [4.0], [4.0, 4.0]], True),
        ([[1.0, 2.0], [1.9, 3.5]], False),  # began below the end of the minute before
        ([[1.0, 2.0], [2.0, 3.5, 3.0]], False),  # fell within a minute
        ([[4.0, 4.0], [4.0]], False),  # constant
        ([[], []], False),
    ],
)
def test_rising_is_what_never_fell_and_did_rise(minutes: list[list[float]], rising: bool) -> None:
    past = before(minutes)
    usual = past.moments()
    habits = past.habits(usual, excursion=3.5, relative_floor=1e-6)
    assert habits.rising.any() == rising
