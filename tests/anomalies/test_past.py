"""Values against what earlier ones let expect."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.anomalies.detectors.past import LEAST, compared, usual_of

PAST = np.array([[10.0, 10.2, 9.9, 10.1] * 5])


def score(value: float, earlier: np.ndarray) -> float:
    support, usual, spread = usual_of(earlier)
    return float(compared(np.array([value]), support, usual, spread).score[0])


def test_what_is_usual_is_the_median_and_one_odd_event_does_not_hide_the_next() -> None:
    odd = PAST.copy()
    odd[0, 7] = 500.0
    support, usual, spread = usual_of(odd)
    assert (support[0], usual[0]) == (20, pytest.approx(10.05))
    assert spread[0] == pytest.approx(1.4826 * 0.15)
    assert score(10.1, odd) < 1.0 < score(40.0, odd)


def test_the_band_ends_where_the_score_is_one() -> None:
    support, usual, spread = usual_of(PAST)
    found = compared(np.array([10.5]), support, usual, spread)
    for end in (found.low[0], found.high[0]):
        assert score(end, PAST) == pytest.approx(1.0, rel=0.05)
    assert found.low[0] < PAST.min()
    assert found.high[0] > PAST.max()


def test_few_events_and_missing_ones_have_no_score_and_no_band() -> None:
    few = np.full((1, 20), np.nan)
    few[0, : LEAST - 1] = 1.0
    assert score(9.0, few) == 0.0
    assert score(np.nan, PAST) == 0.0
    support, usual, spread = usual_of(np.full((1, 20), np.nan))
    nothing = compared(np.array([9.0]), support, usual, spread)
    assert np.isnan([nothing.low[0], nothing.high[0], nothing.spread[0]]).all()


def test_a_past_that_stood_still_keeps_a_spread() -> None:
    still = np.full((1, 30), 5.0)
    assert score(5.001, still) < 1.0 < score(6.5, still)


@given(st.lists(st.floats(-1e6, 1e6), min_size=LEAST, max_size=40), st.floats(0.5, 100.0))
def test_a_longer_past_of_the_same_spread_never_widens_the_band(values: list[float], factor: float) -> None:
    _, usual, spread = usual_of(np.array([values]))
    away = usual + factor
    short, long = (compared(away, np.array([n]), usual, spread).score[0] for n in (float(LEAST), 500.0))
    assert short <= long
