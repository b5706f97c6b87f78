"""Thresholds from a budget of false alerts, and what alerts begin where.

What is unusual is in the detectors; how detectors are combined is in `union.py`.
"""

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import Scores
from iot_pipeline.anomalies.engine.grid import Floats
from iot_pipeline.anomalies.engine.rolling import quantile

MIDDLE, UPPER = 0.5, 0.8
"""Quantiles of the highest scores of each block that the tail is drawn through. Up to a fifth of all blocks may hold
a fault without raising the threshold."""

LEAST_BLOCKS = 24
LEAST_BLOCK = 8
RECENT_BLOCKS = 40
SLACK = 1.1
"""The threshold of the last blocks counts while it is at most so many times that of all of them (both as logarithms):
a noisy season raises it, weeks of repeated faults do not."""

LEAST_SLOPE = 0.03
LEAST_ABOVE = 4.0
"""Peaks above their median that a tail is told by; of fewer it would lie anywhere."""


def block_columns(width: int, day: int) -> int:
    """Columns of a block: a day, or less where fewer than 24 days were seen."""
    return int(min(day, max(width // LEAST_BLOCKS, LEAST_BLOCK)))


def block_peaks(levels: Scores, known: NDArray[np.bool_], block: int) -> Scores:
    """Highest score of each whole block, the last one ending with the last column: (series, blocks).

    NaN for blocks in which nothing was read: no alert could have begun there.
    """
    rows, columns = levels.shape
    count = columns // block
    if count == 0:
        block, count = columns, 1 if columns else 0
    shape = (rows, count, max(block, 1))
    spoke = known[:, columns - count * block :].reshape(shape).any(axis=2)
    return np.where(
        spoke, levels[:, columns - count * block :].reshape(shape).max(axis=2, initial=0), np.float32(np.nan)
    )


def threshold(peaks: Scores, per_block: float, codes: NDArray[np.int64], *, predictive: bool = True) -> Floats:
    """The score (as a logarithm) that a block exceeds with probability `per_block`, for each series.

    Scores above their median fall off exponentially in their logarithm, which is a power law: the tail through two
    quantiles is prolonged to the budget, peaks over threshold with a shape of zero (Coles, "An Introduction to
    Statistical Modeling of Extreme Values", 2001). The slope is the mean of the series' own and its class's. As it is
    estimated from n peaks only, what is to come is spread wider than the tail itself: its predictive distribution is
    Pareto's, n (r^(1/n) - 1) in the place of log r (Geisser, "Predictive Inference", 1993).

    Args:
        peaks: logarithms, (series, blocks), oldest first, NaN where there is none.
        per_block: false alerts allowed a block.
        codes: number of the class of each series.
        predictive: False leaves the tail as it was estimated: for a measure by which series are compared, not a
            promise.

    Returns:
        (series,). Zero for a series without any peak.
    """
    every = _tail(peaks, per_block, codes, predictive=predictive)
    recent = peaks[:, -RECENT_BLOCKS:]
    enough = np.isfinite(recent).sum(axis=1) >= LEAST_BLOCKS
    return np.where(enough, np.minimum(_tail(recent, per_block, codes, predictive=predictive), SLACK * every), every)


def _tail(peaks: Scores, per_block: float, codes: NDArray[np.int64], *, predictive: bool) -> Floats:
    middle, upper = (np.nan_to_num(quantile(peaks, share)[:, 0]) for share in (MIDDLE, UPPER))
    slope = (upper - middle) / np.log((1 - MIDDLE) / (1 - UPPER))
    shared = np.array([np.median(slope[codes == code]) for code in range(int(codes.max(initial=-1)) + 1)])
    slope = np.maximum((slope + shared[codes]) / 2, LEAST_SLOPE)
    rarer = (1 - MIDDLE) / min(per_block, 1 - MIDDLE)
    above = np.maximum(np.isfinite(peaks).sum(axis=1) * (1 - MIDDLE), LEAST_ABOVE)
    return np.asarray(middle + slope * (above * (rarer ** (1 / above) - 1) if predictive else np.log(rarer)))
