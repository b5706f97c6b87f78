"""Cycles of signals: their period, stretches of them as few means, and the nearest of other stretches.

What is unusual is in `shape.py`.
"""

import numpy as np

from iot_pipeline.anomalies.engine.grid import Floats
from iot_pipeline.anomalies.engine.rolling import Indices

POINTS = 24
"""Means that a stretch is told by: fine enough for a waveform, and a tenth of the work of its readings."""

CHUNK = 128
"""Windows compared at a time: their distances to all of the past then lie in the processor's cache."""

SEGMENT = 8
"""Longest periods in a segment of the autocorrelation: its mean is left out, and with it the day's shape."""

CHUNK_CELLS = 500_000


def period_of(values: Floats, shortest: int, longest: int, cyclic: float) -> Indices:
    """Period of each series in columns, 0 of those without a cycle. `values`: (series, columns), NaN is missing.

    The first peak of the autocorrelation that reaches nine tenths of the largest one after it first fell below zero,
    if that is at least `cyclic`: a slow signal is like itself a little later without being cyclic, and a cycle is like
    itself after two cycles, too. By periodograms of segments, added up (P. D. Welch, 1967), missing values at the mean.
    """
    rows, width = values.shape
    periods = np.zeros(rows, np.int64)
    reach = min(longest + 2, width // 2)
    if longest < shortest or reach <= shortest:
        return periods
    count = max(width // (SEGMENT * reach), 1)
    length = width // count
    size = 1 << (length + reach - 1).bit_length()
    unbiased = length / (length - np.arange(reach))
    some = max(CHUNK_CELLS // width, 1)
    for begin in range(0, rows, some):
        cut = values[begin : begin + some, width - count * length :].reshape(-1, count, length)
        known = np.isfinite(cut)
        away = np.where(known, cut, 0).astype(np.float64)
        away -= away.sum(axis=2, keepdims=True) / np.maximum(known.sum(axis=2, keepdims=True), 1)
        away[~known] = 0.0
        power = (np.abs(np.fft.rfft(away, size)) ** 2).sum(axis=1)
        likeness = np.fft.irfft(power)[:, :reach]
        likeness *= unbiased / np.where(likeness[:, :1] > 0, likeness[:, :1], np.inf)
        fallen = np.logical_or.accumulate(likeness < 0, axis=1)
        inner = likeness[:, shortest:-1]
        peak = (
            fallen[:, shortest:-1] & (inner >= likeness[:, shortest - 1 : -2]) & (inner >= likeness[:, shortest + 1 :])
        )
        best = np.where(peak, inner, 0.0).max(axis=1, keepdims=True)
        first = (peak & (inner >= 0.9 * best)).argmax(axis=1) + shortest
        periods[begin : begin + some] = np.where(best[:, 0] >= cyclic, first, 0)
    return periods


def complete(means: Floats, piece: int, points: int) -> Indices:
    """Columns with which a stretch ends that begins where the values do or later, each of its pieces known."""
    known = np.isfinite(means)
    oldest = (points - 1) * piece
    if known.size <= oldest:
        return np.empty(0, np.int64)
    whole = known[oldest:].copy()
    for lag in range(piece, oldest + 1, piece):
        whole &= known[oldest - lag : known.size - lag]
    whole[: piece - 1] = False
    return np.flatnonzero(whole) + oldest


def stretches(means: Floats, piece: int, points: int, at: Indices, least: float) -> tuple[Floats, Floats, Floats]:
    """The stretches of `points` means of `piece` columns that end with the columns `at`, less their means, by spread.

    Returns:
        (stretches, points); mean of each, and its spread, `least` at least.
    """
    windows = means[at[:, None] - np.arange(points - 1, -1, -1) * piece]
    middle = windows.mean(axis=1)
    size = np.maximum(windows.std(axis=1), max(least, float(np.finfo(np.float64).tiny)))
    return (windows - middle[:, None]) / size[:, None], middle, size


def nearest_of(windows: Floats, at: Indices, past: Floats, seen: Indices, apart: int) -> tuple[Floats, Indices]:
    """Distance of each window to the nearest of `past` that ended at least `apart` columns away, and which that is.

    Args:
        windows: (windows, points).
        at: columns they end with, ascending.
        past: (past, points).
        seen: columns those ended with, ascending.
        apart: what is nearer is a part of the same.

    Returns:
        (windows,) infinite where there is none, and rows of `past`.
    """
    distance, nearest = np.empty(len(windows)), np.zeros(len(windows), np.int64)
    # One product gives |b|^2 - 2 a.b.
    turned = np.vstack([-2.0 * past.T, (past.astype(np.float64) ** 2).sum(axis=1)]).astype(np.float32)
    ready = np.hstack([windows, np.ones((len(windows), 1))]).astype(np.float32)
    for begin in range(0, len(windows), CHUNK):
        part = slice(begin, begin + CHUNK)
        # Single precision finds the winner, or one as near; the distance to it is computed anew.
        likeness = ready[part] @ turned
        near = slice(*np.searchsorted(seen, (at[part][0] - apart, at[part][-1] + apart)))
        likeness[:, near][np.abs(at[part, None] - seen[near]) < apart] = np.inf
        nearest[part] = likeness.argmin(axis=1)
        distance[part] = np.sqrt(((windows[part] - past[nearest[part]]) ** 2).sum(axis=1))
        distance[part][np.isinf(likeness[np.arange(len(likeness)), nearest[part]])] = np.inf
    return distance, nearest


def pieces_of(period: int, share: float) -> tuple[int, int]:
    """Columns of a piece, and pieces of a stretch, which is never longer than its share of the period."""
    length = max(round(period * share), 2)
    piece = -(-length // POINTS)
    return piece, length // piece
