"""Means over the last few columns of arrays along time: what several detectors begin with."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def trailing_mean(values: Array, length: int) -> Array:
    """Mean of the last `length` columns, this one included; NaN where fewer than half of them were read.

    Sums are made anew for each column in the same order, so that a range gives what its parts give.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    total, count = np.zeros_like(filled), np.zeros(filled.shape, np.int16)
    for lag in range(min(length, filled.shape[-1])):
        total[..., lag:] += filled[..., : filled.shape[-1] - lag]
        count[..., lag:] += known[..., : filled.shape[-1] - lag]
    return np.where(2 * count >= length, total / np.maximum(count, 1), np.nan)
