"""Decimal places as people would count them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.anomalies.detectors.resolution import FINEST, decimal_places, spread_floor


@pytest.mark.parametrize(
    ("value", "places"),
    [
        (0.0, 0),
        (-7.0, 0),
        (21.3, 1),
        (21.299999237060547, 1),  # 21.3 as a 32-bit float
        (230.05, 2),
        (0.001, 3),
        (1 / 3, FINEST),
        (float("nan"), 0),
        (float("inf"), 0),
    ],
)
def test_places(value: float, places: int) -> None:
    assert decimal_places(np.array([value]))[0] == places


@given(st.integers(-(10**6), 10**6), st.integers(0, FINEST - 1))
def test_a_value_of_n_places_has_at_most_n(whole: int, places: int) -> None:
    assert decimal_places(np.array([whole / 10**places]))[0] <= places


def test_the_floor_is_half_a_step_or_a_share_of_the_level() -> None:
    places = np.array([0, 1, FINEST, 1], np.int8)
    level = np.array([0.0, 20.0, 20.0, 1e9])
    assert spread_floor(places, level, 1e-6) == pytest.approx([0.5, 0.05, 2e-5, 1e3])
