"""Statistics over a fixed number of columns, for all series at once, that do not depend on where a range was cut.

Nothing about what is unusual is here. Missing cells are NaN and do not count.

Running totals over a whole range would be as fast, and would leave other rounding errors in a range than in a minute
scored alone. Here time is cut into blocks of one window at fixed columns, and a window is the end of one block and the
begin of the next: van Herk, "A fast algorithm for local minimum and maximum filters on rectangular and octagonal
kernels", Pattern Recognition Letters 13 (1992). Each cell then adds the same numbers in the same order in any range.
"""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.grid import Floats, Grid

MAD_TO_SIGMA = 1.4826
"""Median absolute deviation to standard deviation of what is normally distributed."""

MEAN_TO_SIGMA = 1.2533
"""Mean absolute deviation to standard deviation: sqrt(pi / 2)."""

NORMAL_90 = 1.645
"""Distance from the mean that holds 90 % of what is normally distributed."""

FEW_PASSES = 16
"""Passes over all columns that cost as much as running totals of all."""

Indices = NDArray[np.int64]


def origin_of(grid: Grid) -> int:
    """Number of a grid's first column, counted from 1970: the same instant has the same number in every grid."""
    return (grid.start - datetime.fromtimestamp(0, UTC)) // grid.step


def rolling_sum(values: Floats, window: int, origin: int) -> Floats:
    """Sum of the last `window` columns up to each one; of fewer at the begin. `values` without NaN."""
    columns = values.shape[1]
    if window <= 1 or columns == 0:
        return values.copy()
    prefix, suffix = _halves(values, window, origin, np.add, 0.0)
    # The last column of a block is a whole block by itself, all of it in `prefix`.
    suffix[:, ::window] = 0.0
    prefix[:, window:] += suffix[:, 1 : prefix.shape[1] - window + 1]
    start = origin % window
    return prefix[:, start : start + columns]


def rolling_max(values: Floats, window: int, origin: int) -> Floats:
    """Greatest of the last `window` columns up to each one; of fewer at the begin. `values` without NaN."""
    columns = values.shape[1]
    if window <= 1 or columns == 0:
        return values.copy()
    prefix, suffix = _halves(values, window, origin, np.maximum, -np.inf)
    np.maximum(prefix[:, window:], suffix[:, 1 : prefix.shape[1] - window + 1], out=prefix[:, window:])
    start = origin % window
    return prefix[:, start : start + columns]


def _halves(values: Floats, window: int, origin: int, operator: np.ufunc, neutral: float) -> tuple[Floats, Floats]:
    """From the begin of each block up to each column, and from each column to the end of its block."""
    rows, columns = values.shape
    start = origin % window
    blocks = -(-(start + columns) // window)
    padded = np.full((rows, blocks * window), neutral, dtype=values.dtype)
    padded[:, start : start + columns] = values
    cut = padded.reshape(rows, blocks, window)
    prefix = operator.accumulate(cut, axis=2).reshape(rows, blocks * window)
    suffix = operator.accumulate(cut[:, :, ::-1], axis=2)[:, :, ::-1].reshape(rows, blocks * window)
    return prefix, suffix


def rolling_mean(values: Floats, window: int, origin: int, *, least: int = 1, begin: int = 0) -> Floats:
    """Mean of what was read in the last `window` columns; NaN where these are fewer than `least` numbers.

    From column `begin` on: the last few columns of many cost a small part of all.
    """
    known = np.isfinite(values)
    total = _sum_from(np.where(known, values, values.dtype.type(0)), window, origin, begin)
    count = _sum_from(known.astype(values.dtype), window, origin, begin)
    return np.where(count >= least, total / np.maximum(count, 1), values.dtype.type(np.nan))


def _sum_from(values: Floats, window: int, origin: int, begin: int) -> Floats:
    """Columns from `begin` on of `rolling_sum`, to the last bit."""
    columns = values.shape[1]
    if window <= 1 or begin == 0 or (columns - begin) * window > FEW_PASSES * columns:
        return rolling_sum(values, window, origin)[:, begin:]
    start = origin % window
    found = np.empty((len(values), columns - begin), dtype=values.dtype, order="F")
    for column in range(begin, columns):
        place = start + column
        block = place - place % window
        found[:, column - begin] = _in_order(values, range(max(block - start, 0), column + 1))
        if place >= window and block != place - window + 1:
            found[:, column - begin] += _in_order(values, range(block - start - 1, max(column - window, -1), -1))
    return found


def _in_order(values: Floats, columns: range) -> Floats:
    total = values[:, columns[0]].copy()
    for column in columns[1:]:
        total += values[:, column]
    return total


def lagged(values: Floats, columns: int) -> Floats:
    """What was `columns` columns before; NaN where that is before the begin."""
    if columns == 0:
        return values
    moved = np.full_like(values, np.nan)
    moved[:, columns:] = values[:, :-columns]
    return moved


def forward_filled(values: Floats, limit: int) -> Floats:
    """Holes filled with the last number read, if that is at most `limit` columns back."""
    filled = values.copy()
    for _ in range(limit):
        hole = np.isnan(filled[:, 1:])
        if not hole.any():
            break
        # From a copy, so that each pass reaches one column further.
        filled[:, 1:] = np.where(hole, filled[:, :-1].copy(), filled[:, 1:])
    return filled


def run_length(true: NDArray[np.bool_], *, begin: int = 0) -> Indices:
    """For each cell from column `begin` on: how many cells up to it are true without a break."""
    if 0 < true.shape[1] - begin < true.shape[1] // FEW_PASSES:
        return np.stack([_run_until(true, column) for column in range(begin, true.shape[1])], axis=1)
    columns = np.arange(true.shape[1], dtype=np.int64)
    last_false = np.maximum.accumulate(np.where(true, -1, columns), axis=1)
    return np.where(true, columns - last_false, 0)[:, begin:]


def _run_until(true: NDArray[np.bool_], column: int) -> Indices:
    lasts = true[:, column].copy()
    run = lasts.astype(np.int64)
    for before in range(column - 1, -1, -1):
        lasts &= true[:, before]
        if not lasts.any():
            break
        run += lasts
    return run


def median(values: Floats) -> Floats:
    """Median of each row, NaN for a row without numbers: (rows, 1)."""
    return quantile(values, 0.5)


def quantile(values: Floats, share: float) -> Floats:
    """Quantile (the nearest below) of the numbers of each row, NaN for a row without any: (rows, 1)."""
    rows, columns = values.shape
    if columns == 0:
        return np.full((rows, 1), np.nan, dtype=values.dtype)
    ordered = np.sort(values, axis=1)  # NaN last
    known = np.isfinite(values).sum(axis=1)
    place = np.floor(share * np.maximum(known - 1, 0)).astype(np.int64)
    picked = np.take_along_axis(ordered, place[:, None], axis=1)
    return np.where(known[:, None] > 0, picked, np.nan).astype(values.dtype)


def thinned(values: Floats, most: int = 4096) -> Floats:
    """At most about `most` columns, evenly spaced: enough for a quantile."""
    return values[:, :: max(1, values.shape[1] // most)]


def usual_size(away: Floats) -> Floats:
    """Standard deviation of what scatters about zero, by absolute values: (series, 1), 0 where nothing is known.

    The larger one of the median absolute deviation and half of what the 90 % quantile says: where most are equal, the
    median alone would be 0.
    """
    return np.asarray(
        np.maximum(np.nan_to_num(MAD_TO_SIGMA * median(away)), np.nan_to_num(quantile(away, 0.9)) / NORMAL_90 / 2)
    )
