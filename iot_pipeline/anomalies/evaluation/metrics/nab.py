"""The score of the Numenta Anomaly Benchmark: early detections inside windows, false ones ever worse.

Formulas of Lavin & Ahmad, "Evaluating Real-time Anomaly Detection Algorithms", ICMLA 2015, in the form in which
the benchmark's sweeper counts them: one threshold over all series, 0 for a detector that says nothing and 100
for one that finds each window in its first row and nothing else.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from iot_pipeline.anomalies.evaluation.metrics.segments import segments_of

PROBATION_SHARE, PROBATION_ROWS = 0.15, 750
"""The first 15 % of a series, at most 750 rows, are for learning and do not count."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a window found, a false row and a window missed weigh."""

    true_positive: float
    false_positive: float
    false_negative: float


STANDARD = Profile(1.0, 0.11, 1.0)
REWARD_LOW_FP = Profile(1.0, 0.22, 1.0)


@dataclass(frozen=True, slots=True)
class NabSeries:
    """One series: rows in order of time, true inside the benchmark's windows, and the scores given to them."""

    label: NDArray[np.bool_]
    score: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NabOutcome:
    """The normalised score and the threshold at which it was reached (rows at or above it are detections)."""

    score: float
    threshold: float


def nab_score(
    series: Sequence[NabSeries], profile: Profile = STANDARD, *, threshold: float | None = None
) -> NabOutcome:
    """Score a detector over many series.

    Args:
        series: all series; those without a window count by their false rows.
        profile: the weights.
        threshold: None takes the best one, as the benchmark does; else rows with a score at or above it count.

    Returns:
        NaN as score when no series has a window after its probation.
    """
    parts = [_Weighed.of(one, profile) for one in series]
    windows = sum(part.windows for part in parts)
    if not windows:
        return NabOutcome(math.nan, math.nan)
    scores = np.concatenate([part.scores for part in parts])
    gains = np.concatenate([part.gains for part in parts])
    if threshold is None:
        # Ties count together: only the last row of each score is a threshold.
        order = np.argsort(-scores, kind="stable")
        ranked, totals = scores[order], np.cumsum(gains[order])
        # A row without a score is never a detection.
        last = (ranked != np.append(ranked[1:], -np.inf)) & (ranked > -np.inf)
        totals, levels = np.append(0.0, totals[last]), np.append(np.inf, ranked[last])
        best = int(np.argmax(totals))
        reached, level = float(totals[best]), float(levels[best])
    else:
        reached, level = float(gains[scores >= threshold].sum()), threshold
    # Gains count from the null detector, which misses every window.
    perfect = windows * (profile.true_positive + profile.false_negative)
    return NabOutcome(100.0 * reached / perfect, level)


def leading(score: ArrayLike, quiet: int) -> NDArray[np.float64]:
    """Scores as single alerts: kept where they exceed all of the `quiet` rows before, else 0.

    The benchmark counts each row above the threshold outside of windows, so that a disturbance which lasts is
    punished once a row; an alert system tells it once.
    """
    scores = np.nan_to_num(np.asarray(score, dtype=np.float64), nan=0.0)
    if quiet < 1 or scores.size == 0:
        return scores
    padded = np.concatenate((np.full(quiet, -np.inf), scores[:-1]))
    before = np.lib.stride_tricks.sliding_window_view(padded, quiet).max(axis=1)
    return np.where(scores > before, scores, 0.0)


@dataclass(frozen=True, slots=True)
class _Weighed:
    """Rows after probation: their scores, and what each adds to the total once all stranger rows are detections."""

    scores: NDArray[np.float64]
    gains: NDArray[np.float64]
    windows: int

    @classmethod
    def of(cls, series: NabSeries, profile: Profile) -> "_Weighed":
        size = series.label.size
        scores = np.nan_to_num(np.asarray(series.score, dtype=np.float64), nan=-np.inf, posinf=np.finfo(float).max)
        start = math.ceil(min(math.floor(PROBATION_SHARE * size), PROBATION_ROWS))
        windows = segments_of(series.label)
        gains = profile.false_positive * _scaled_sigmoid(_distance_past(windows, size))
        counted = 0
        for first, last in windows:
            rows = np.arange(max(first, start), last + 1)
            if rows.size == 0:
                continue
            counted += 1
            position = (rows - last - 1) / (last - first + 1)
            reward = profile.true_positive * _scaled_sigmoid(position) / _scaled_sigmoid(np.array([-1.0]))
            # A window counts by its best detection so far: each row adds what it is better than all stranger ones.
            order = np.argsort(-scores[rows], kind="stable")
            reached = np.maximum.accumulate(reward[order])
            gains[rows[order]] = np.diff(reached, prepend=-profile.false_negative)
        return cls(scores[start:], gains[start:], counted)


def _distance_past(windows: NDArray[np.int64], size: int) -> NDArray[np.float64]:
    """Distance of each row from the end of the window before it, in widths of that window; 3 before the first."""
    rows = np.arange(size)
    before = np.searchsorted(windows[:, 1], rows, side="left") - 1
    far = before < 0
    if far.all():
        return np.full(size, 3.0)
    width = np.maximum(windows[before, 1] - windows[before, 0], 1)
    return np.where(far, 3.0, (rows - windows[before, 1]) / width)


def _scaled_sigmoid(position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Near 1 at -1 (the left edge of a window), 0 at its right edge, -1 far behind it."""
    return np.where(position >= 3.0, -1.0, 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, 3.0))) - 1.0)
