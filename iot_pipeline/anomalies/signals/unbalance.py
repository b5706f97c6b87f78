"""Unbalance of three phases from magnitudes. What is done about an unbalanced machine is elsewhere."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_LOAD = 0.1
"""Share of the rated value below which a ratio to the mean says nothing: at rest it is a ratio of noises."""


def unbalance_percent(phases: Array, *, least_mean: float = 0.0) -> Array:
    """Largest deviation of a phase from the mean of the three, in per cent of that mean.

    100 x max |x_k - m| / m with m the mean of the phases (NEMA MG 1, which defines it for line
    voltages; of currents it is used by analogy). The range over the mean, which is often shown instead, is up to
    twice that. The form of IEC 60034-26, negative over positive sequence, needs angles; magnitudes do not tell it.
    One per cent of unbalance in the voltages makes several per cent in the currents. The macro `nema_unbalance` is
    the same formula for the marts.

    Args:
        phases: (..., 3), voltages or currents.
        least_mean: mean below which there is no answer, in the unit of the phases: LEAST_LOAD times the rated value.

    Returns:
        Per cent, (...); NaN where a phase is missing, or the mean is not above `least_mean` or not above zero.
    """
    if phases.shape[-1:] != (3,):
        raise ValueError(f"phases of shape {phases.shape}: the last axis must hold the three phases")
    total = phases.sum(axis=-1)
    away = np.abs(3.0 * phases - total[..., None]).max(axis=-1)
    answer = (total > 0) & (total >= 3.0 * least_mean) & np.isfinite(phases).all(axis=-1)
    return np.where(answer, 100.0 * away / np.where(answer, total, 1.0), np.nan)
