"""The NAB score: the detectors everybody can work out, and a slow count by the benchmark's own rules beside ours."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from iot_pipeline.anomalies.evaluation.metrics import REWARD_LOW_FP, STANDARD, NabSeries, leading, nab_score
from iot_pipeline.anomalies.evaluation.metrics.nab import Profile
from iot_pipeline.anomalies.evaluation.metrics.segments import segments_of


def windows(size: int, *spans: tuple[int, int]) -> NDArray[np.bool_]:
    label = np.zeros(size, dtype=bool)
    for first, last in spans:
        label[first : last + 1] = True
    return label


LABEL = windows(1_000, (300, 399), (700, 799))


def ones_at(*rows: int) -> NDArray[np.float64]:
    score = np.zeros(1_000)
    score[list(rows)] = 1.0
    return score


def test_a_detector_that_says_nothing_scores_zero() -> None:
    assert nab_score([NabSeries(LABEL, np.full(1_000, np.nan))]).score == 0.0
    assert nab_score([NabSeries(LABEL, np.zeros(1_000))], threshold=0.5).score == 0.0


def test_the_first_row_of_each_window_and_nothing_else_is_a_hundred() -> None:
    outcome = nab_score([NabSeries(LABEL, ones_at(300, 700))])
    assert outcome.score == pytest.approx(100.0)
    assert outcome.threshold == 1.0


def test_half_of_the_windows_is_fifty() -> None:
    assert nab_score([NabSeries(LABEL, ones_at(300))]).score == pytest.approx(50.0)


def test_a_late_detection_is_worth_less() -> None:
    # In the last row the relative position is -1 / 100.
    gain = (2 / (1 + math.exp(-0.05)) - 1) / (2 / (1 + math.exp(-5)) - 1)
    assert nab_score([NabSeries(LABEL, ones_at(399))]).score == pytest.approx(100 * (1 + gain) / 4)


def test_a_false_row_costs_by_its_distance_from_the_window_before_it() -> None:
    def cost(row: int, profile: Profile = STANDARD) -> float:
        return 100 - nab_score([NabSeries(LABEL, ones_at(300, 700, row))], profile, threshold=1.0).score

    far = 100 * 0.11 / 4
    assert cost(200) == pytest.approx(far)
    assert cost(698) == pytest.approx(far)  # more than three widths behind
    assert cost(498) == pytest.approx(far * (1 - 2 / (1 + math.exp(5))))
    assert cost(200, REWARD_LOW_FP) == pytest.approx(2 * far)
    assert cost(100) == 0  # probation


def test_without_a_window_there_is_no_score() -> None:
    assert math.isnan(nab_score([NabSeries(windows(100), np.zeros(100))]).score)
    assert math.isnan(nab_score([]).score)


def test_a_window_within_probation_does_not_count() -> None:
    label = windows(1_000, (50, 100), (700, 799))
    assert nab_score([NabSeries(label, ones_at(700))]).score == pytest.approx(100.0)


def test_one_threshold_serves_all_series() -> None:
    low = NabSeries(LABEL, 0.1 * ones_at(300, 700))
    noisy = NabSeries(LABEL, ones_at(300, 700) + 0.5 * np.ones(1_000))
    # Together the quiet detector's own threshold would let in all rows of the noisy one.
    assert nab_score([low]).score == pytest.approx(100.0)
    assert nab_score([low, noisy]).score == pytest.approx(50.0)


def test_alerts_lead_when_they_exceed_the_rows_before() -> None:
    assert leading([0, 2, 1, 3, 0, 2, 0, 0, 1], 2).tolist() == [0, 2, 0, 3, 0, 0, 0, 0, 1]
    assert leading([1, math.nan, 1], 0).tolist() == [1, 0, 1]
    assert leading([], 3).tolist() == []


@settings(deadline=None)
@given(
    seed=st.integers(0, 1_000_000),
    size=st.integers(20, 400),
    spans=st.lists(st.tuples(st.integers(0, 390), st.integers(2, 40)), min_size=1, max_size=4),
    profile=st.sampled_from([STANDARD, REWARD_LOW_FP, Profile(1.0, 0.11, 2.0)]),
)
def test_the_score_is_that_of_a_count_by_the_rules(
    seed: int, size: int, spans: list[tuple[int, int]], profile: Profile
) -> None:
    label = windows(size, *((first, first + width - 1) for first, width in spans if first + width < size))
    score = np.round(np.random.default_rng(seed).random(size), 1)
    best = max([_counted(label, score, profile, level) for level in np.unique(score)] + [0.0])
    outcome = nab_score([NabSeries(label, score)], profile)
    if math.isnan(outcome.score):
        probation = min(math.floor(0.15 * size), 750)
        assert not label[probation:].any()
    else:
        assert outcome.score == pytest.approx(best)


def _counted(label: NDArray[np.bool_], score: NDArray[np.float64], profile: Profile, level: float) -> float:
    """The benchmark's rules, one row after the other, at one threshold."""
    probation = min(math.floor(0.15 * label.size), 750)
    spans = [(int(first), int(last)) for first, last in segments_of(label) if last >= probation]
    best = {first: -profile.false_negative for first, _ in spans}
    false = 0.0
    for row in range(probation, label.size):
        if score[row] < level:
            continue
        inside = [(first, last) for first, last in spans if first <= row <= last]
        if inside:
            first, last = inside[0]
            gain = _sigmoid(-(last - row + 1) / (last - first + 1)) / _sigmoid(-1.0) * profile.true_positive
            best[first] = max(best[first], gain)
        else:
            before = [(int(a), int(b)) for a, b in segments_of(label) if b < row]
            position = (row - before[-1][1]) / max(before[-1][1] - before[-1][0], 1) if before else 3.0
            false += profile.false_positive * (-1.0 if position >= 3 else _sigmoid(position))
    raw = sum(best.values()) + false
    null, perfect = -len(spans) * profile.false_negative, len(spans) * profile.true_positive
    return 100 * (raw - null) / (perfect - null) if spans else math.nan


def _sigmoid(position: float) -> float:
    return 2 / (1 + math.exp(5 * position)) - 1
