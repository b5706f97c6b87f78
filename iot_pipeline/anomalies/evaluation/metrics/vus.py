"""VUS-PR: the volume under the precision-recall surface, over all thresholds and all widths of tolerance.

The measure of the TSB-AD leaderboard (its variant `opt`), after Paparrizos et al., "Volume Under the Surface",
PVLDB 15 (2022); other libraries give the same name to other numbers. It judges the order of scores only: no
threshold, no unit.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from iot_pipeline.anomalies.evaluation.metrics.segments import segments_of

THRESHOLDS = 250
DEFAULT_PERIOD = 125
"""The width for a signal without a period, as TSB-AD has it."""

_PERIOD_ROWS = 20_000
_SHORTEST_LAG, _LONGEST_LAG = 3, 400
_LONGEST_PERIOD = 303


def vus_pr(label: ArrayLike, score: ArrayLike, window: int, thresholds: int = THRESHOLDS) -> float:
    """Mean area under the precision-recall curve over tolerances of 0 to `window` rows.

    A tolerance of w rows lets each event fade out over w // 2 rows to both sides with weight sqrt(1 - distance / w).
    A row without a score (NaN) counts as the least strange one.

    Args:
        label: rows, true inside events.
        score: as many rows; larger is stranger.
        window: the widest tolerance, in rows; by convention `acf_period` of the values.
        thresholds: points of each curve, taken at even ranks of the scores.

    Returns:
        0 to 1, or NaN for a series without an event.

    Raises:
        ValueError: label and score differ in length, or `window` is negative.
    """
    labels = np.asarray(label) > 0
    scores = np.nan_to_num(np.asarray(score, dtype=np.float64), nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    if labels.shape != scores.shape or labels.ndim != 1 or window < 0:
        raise ValueError(f"{labels.shape} labels, {scores.shape} scores, window {window}: no VUS-PR of these")
    events = segments_of(labels)
    if events.size == 0:
        return math.nan
    order = np.sort(scores)[::-1]
    levels = order[np.linspace(0, scores.size - 1, thresholds).astype(np.int64)]
    predicted = np.searchsorted(-order, -levels, side="right")
    # The first of the levels at which a row is predicted: sums over predicted rows are then sums of bins.
    level_of = np.searchsorted(-levels, -scores, side="left")
    inside = np.cumsum(np.bincount(level_of[labels], minlength=thresholds + 1))[:thresholds]
    areas = np.empty(window + 1)
    for width in range(window + 1):
        rows, weights = _faded(events, labels, width)
        faded = np.cumsum(np.bincount(level_of[rows], weights, minlength=thresholds + 1))[:thresholds]
        found = _share_found(events, scores, width, levels)
        # The reference takes the mean of the labels before and after fading as the number of positives.
        recall = np.minimum((inside + faded) / (labels.sum() + faded / 2), 1) * found
        areas[width] = np.dot(np.diff(recall, prepend=0.0), (inside + faded) / predicted)
    return float(areas.mean())


def acf_period(values: ArrayLike) -> int:
    """The period of a signal in rows, 3 to 303: its highest local maximum of autocorrelation, 125 where there is none.

    TSB-AD's rule (`find_length_rank`, rank 1), on the first 20,000 rows; missing values count as the mean.
    """
    signal = np.asarray(values, dtype=np.float64)[:_PERIOD_ROWS]
    known = np.isfinite(signal)
    if not known.any():
        return DEFAULT_PERIOD
    signal = np.where(known, signal - signal[known].mean(), 0.0)
    spectrum = np.fft.rfft(signal, 2 ** math.ceil(math.log2(2 * signal.size)))
    correlation = np.fft.irfft(spectrum * np.conj(spectrum))[: signal.size]
    if not correlation[0] > 0:
        return DEFAULT_PERIOD
    lags = (correlation / correlation[0])[_SHORTEST_LAG : _LONGEST_LAG + 1]
    peaks = 1 + np.flatnonzero((lags[1:-1] > lags[:-2]) & (lags[1:-1] > lags[2:]))
    if peaks.size == 0:
        return DEFAULT_PERIOD
    period = int(peaks[np.argmax(lags[peaks])]) + _SHORTEST_LAG
    return period if 2 * _SHORTEST_LAG <= period <= _LONGEST_PERIOD else DEFAULT_PERIOD


def _faded(
    events: NDArray[np.int64], labels: NDArray[np.bool_], width: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows beside events and their weights; a row beside two events has the sum, at most 1."""
    distance = np.arange(1, width // 2 + 1)
    rows = np.concatenate(((events[:, :1] - distance).ravel(), (events[:, 1:] + distance).ravel()))
    weights = np.tile(np.sqrt(1 - distance / max(width, 1)), 2 * len(events))
    fits = (rows >= 0) & (rows < labels.size)
    rows, weights = rows[fits], weights[fits]
    beside = ~labels[rows]
    unique, place = np.unique(rows[beside], return_inverse=True)
    return unique, np.minimum(np.bincount(place, weights[beside], minlength=unique.size), 1.0)


def _share_found(
    events: NDArray[np.int64], scores: NDArray[np.float64], width: int, levels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """At each level: the share of events, widened and joined where they touch, with a score that reaches it."""
    first = np.maximum(events[:, 0] - width // 2, 0)
    last = np.minimum(events[:, 1] + width // 2, scores.size - 1)
    apart = first[1:] > last[:-1] + 1
    begins = first[np.concatenate(([True], apart))]
    ends = last[np.concatenate((apart, [True]))] + 1
    highest = np.sort([scores[begin:end].max() for begin, end in zip(begins, ends, strict=True)])
    return (highest.size - np.searchsorted(highest, levels, side="left")) / highest.size
