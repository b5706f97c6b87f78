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

CONTINUOUS = np.array(FINEST, np.int8)
"""The places of such a signal."""

AT_ONCE = 16_384

HALF_STEPS = np.append(0.5 * 10.0 ** -np.arange(float(FINEST)), 0.0)
"""Half a step of 0 to FINEST decimal places; none for a continuous signal."""

SINGLE_PRECISION = 2.0**-24
"""Relative rounding error of a 32-bit float: many devices measure in these, and 21.3 arrives as 21.299999."""


def decimal_places(values: Floats) -> Places:
    """Decimal places that each value is written with, 0 to FINEST; NaN and infinities count as 0.

    A value as near to its rounding as a 32-bit float can be is taken for it: 21.299999 has one place.
    """
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    places = np.empty(flat.size, np.int8)
    # Some at a time, so that all passes over them stay in the processor's cache.
    for start in range(0, flat.size, AT_ONCE):
        part = slice(start, start + AT_ONCE)
        places[part] = _decimal_places(flat[part])
    return places.reshape(np.shape(values))


def _decimal_places(values: Floats) -> Places:
    # From 2^53 on there are only whole numbers; NaN and infinities end here, too.
    unsettled = np.flatnonzero(np.abs(values) < 2.0**53)
    places = np.zeros(values.size, np.int8)
    rest = values[unsettled]
    for place in range(FINEST):
        # Rounding by scale and rint: np.round does the same with more passes.
        scale = 10.0**place
        open_still = ~(np.abs(np.rint(rest * scale) / scale - rest) <= np.abs(rest) * SINGLE_PRECISION)
        unsettled, rest = unsettled[open_still], rest[open_still]
        if not unsettled.size:
            break
        places[unsettled] = place + 1
    return places


def spread_floor(places: Places, level: Floats, relative: float) -> Floats:
    """The smallest standard deviation to believe in, in the unit of the signal.

    Half a step of the finest decimal place in sight (none for a continuous signal), and never less
    than `relative` times the level: a signal that stood still keeps a spread, so that float dust is
    no deviation.
    """
    half_step: Floats = HALF_STEPS[places]
    return np.asarray(np.maximum(np.maximum(half_step, relative * np.abs(level)), np.finfo(np.float64).tiny))
