"""How fine a signal is written: the smallest difference that can mean anything.

Deviations below it say something about the converter, not about the machine. What a detector
makes of it is in the detector.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Places = NDArray[np.int8]

FINEST = 7
"""Decimal places from which a signal counts as continuous."""

SINGLE_PRECISION = 2.0**-24
"""Relative rounding error of a 32-bit float: many devices measure in these, and 21.3 arrives as 21.299999."""


def decimal_places(values: Floats) -> Places:
    """Decimal places that each value is written with, 0 to FINEST; NaN and infinities count as 0.

    A value as near to its rounding as a 32-bit float can be is taken for it: 21.299999 has one place.
    """
    # From 2^53 on there are only whole numbers; NaN and infinities end here, too.
    values = np.where(np.abs(values) < 2.0**53, values, 0.0)
    places = np.zeros(values.shape, np.int8)
    tolerance = np.abs(values) * SINGLE_PRECISION
    unsettled = np.ones(values.shape, np.bool_)
    for place in range(FINEST):
        # Rounding by scale and rint: np.round does the same with more passes.
        scale = 10.0**place
        unsettled = unsettled & ~(np.abs(np.rint(values * scale) / scale - values) <= tolerance)
        if not unsettled.any():
            break
        places[unsettled] = place + 1
    return places


def spread_floor(places: Places, level: Floats, relative: float) -> Floats:
    """The smallest standard deviation to believe in, in the unit of the signal.

    Half a step of the finest decimal place in sight (none for a continuous signal), and never less
    than `relative` times the level: a signal that stood still keeps a spread, so that float dust is
    no deviation.
    """
    half_step = np.where(places < FINEST, 0.5 * 10.0 ** -places.astype(np.float64), 0.0)
    return np.maximum(np.maximum(half_step, relative * np.abs(level)), np.finfo(np.float64).tiny)
