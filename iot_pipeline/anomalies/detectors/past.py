"""Events of a device (starts, strokes, minutes in a state) against what earlier ones let expect.

Which earlier ones count is decided by who asks; series that come by the clock are the engine's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.resolution import decimal_places, spread_floor
from iot_pipeline.anomalies.detectors.rolling_z import band_factor

Array = NDArray[np.float64]

GAUSSIAN = 1.4826
"""Standard deviation of Gaussian noise over its median absolute deviation."""

LEAST = 10
"""Earlier events below which nothing is called unusual."""

THRESHOLD = 6.0
"""Robust standard deviations for a long past; a short one gets a wider band (`rolling_z.band_factor`)."""

RELATIVE_FLOOR = 1e-3
"""Least believable spread as a share of the level: mechanics do not repeat to a thousandth."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Values against what was usual. Arrays of one number a value; all but the score are NaN where nothing is known.

    Attributes:
        score: 1.0 is the threshold; 0.0 where nothing is known.
        spread: the one believed, in the unit of the values.
        low: lower end of the expected band, in the unit of the values.
        high: upper end.
    """

    score: Array
    spread: Array
    low: Array
    high: Array


def compared(
    values: Array,
    support: Array,
    usual: Array,
    spread: Array,
    *,
    least: int = LEAST,
    threshold: float = THRESHOLD,
    relative_floor: float = RELATIVE_FLOOR,
) -> Compared:
    """Distance of each value from what was usual, over the half band of `rolling_z.band_factor`.

    Args:
        values: to compare; NaN gets no score.
        support: how many earlier values `usual` and `spread` are made of.
        usual: their median.
        spread: around it; never believed to be less than `resolution.spread_floor`.
        least: support below which nothing is known.
        threshold: robust standard deviations for a long past.
        relative_floor: least believable spread as a share of the level.
    """
    known = (support >= least) & np.isfinite(values) & np.isfinite(usual) & np.isfinite(spread)
    value, level, width = (np.where(known, array, 0.0) for array in (values, usual, spread))
    width = np.maximum(width, spread_floor(decimal_places(value), level, relative_floor))
    half = width * band_factor(threshold, np.maximum(support, least))
    score = np.where(known, np.abs(value - level) / half, 0.0)
    width, low, high = (np.where(known, array, np.nan) for array in (width, level - half, level + half))
    return Compared(score, width, low, high)


def usual_of(earlier: Array) -> tuple[Array, Array, Array]:
    """Of each row of (events, earlier values): how many there are, their median, and the spread around it."""
    usual = middle(earlier)
    spread = GAUSSIAN * middle(np.abs(earlier - usual[:, None]))
    return np.isfinite(earlier).sum(axis=1).astype(np.float64), usual, spread


def middle(values: Array) -> Array:
    """Median of each row without its NaNs; NaN for a row of nothing else, and no warning."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    ordered = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[1] - 1)
    return np.where(count > 0, (ordered[rows, low] + ordered[rows, high]) / 2, np.nan)
