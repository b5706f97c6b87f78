"""What the channels of a device have to do with one another, and how far they are from that.

Level, conditional expectation and joint distance are here; thresholds (`tail.py`) and sentences are not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.channels.means import Array

LEAST_RIDGE = 1e-3
"""Keeps the precision of channels that repeat one another finite."""

MOST_PATTERNS = 64
"""Patterns of missing channels that are filled exactly; rarer ones are filled with the usual level."""


@dataclass(frozen=True, slots=True)
class Relations:
    """What is usual for each device.

    Attributes:
        centre: mean of each channel, (devices, channels), in its unit.
        spread: standard deviation, never less than what the resolution allows, (devices, channels).
        precision: inverse of the shrunk correlation matrix, (devices, channels, channels).
    """

    centre: Array
    spread: Array
    precision: Array


@dataclass(frozen=True, slots=True)
class Deviations:
    """How far each column is from what is usual. No NaN: what is missing deviates by 0.

    Attributes:
        level: standard deviations from the centre, signed, (devices, channels, columns).
        conditional: standard deviations (of the level) from what the other channels say, signed, same shape.
        joint: Mahalanobis distance of all channels together, (devices, columns).
    """

    level: Array
    conditional: Array
    joint: Array


def relate(values: Array, *, floor: Array, independent: Array) -> Relations:
    """Learn centre, spread and precision from `values` (devices, channels, columns; NaN is missing).

    Ridge regression of each channel on all others is read off one matrix: with P the inverse of the correlation
    matrix plus a ridge, the prediction of z_c is -sum over j != c of P_cj z_j / P_cc (S. L. Lauritzen, "Graphical
    Models", 1996, chapter 5). The ridge is one over the number of independent columns, which is the
    shrinkage towards independence that short histories need.

    Args:
        values: history of the devices.
        floor: least spread to believe in, (devices, channels).
        independent: number of independent columns of each device, (devices,).
    """
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=-1), 1)
    centre = np.where(known, values, 0.0).sum(axis=-1) / count
    away = np.where(known, values - centre[..., None], 0.0)
    spread = np.maximum(np.sqrt((away**2).sum(axis=-1) / count), floor)
    away /= spread[..., None]
    gram = away @ away.swapaxes(-1, -2)
    length = np.sqrt(np.maximum(np.diagonal(gram, axis1=-2, axis2=-1), np.finfo(np.float64).tiny))
    correlation = gram / (length[..., None] * length[:, None, :])
    ridge = np.maximum(1.0 / np.maximum(independent, 1.0), LEAST_RIDGE)[:, None, None]
    unit = np.eye(values.shape[1])
    # A channel that never moved has no correlation with any, itself included.
    correlation = np.where(unit > 0, 1.0, correlation)
    precision = np.asarray(np.linalg.inv(correlation + ridge * unit), np.float64)
    return Relations(centre, spread, precision)


def deviations(values: Array, usual: Relations) -> Deviations:
    """How far `values` (devices, channels, columns; NaN is missing) are from what is usual.

    A missing channel is taken for what the present ones say of it: then P z of the present channels is exactly
    their precision without it times their z (Schur complement).
    The joint distance is z'Pz: Hotelling's T2 of the leading directions and the residual of the others
    (SPE, Q), weighed by their variances, in one (H. H. Yue, S. J. Qin, "Reconstruction-Based Fault
    Identification Using a Combined Index", Ind. Eng. Chem. Res. 40, 2001).
    """
    known = np.isfinite(values)
    z = np.where(known, (values - usual.centre[..., None]) / usual.spread[..., None], 0.0)
    filled = z if known.all() else _filled(z, known, usual.precision)
    pull = usual.precision @ filled
    own = np.diagonal(usual.precision, axis1=-2, axis2=-1)[..., None]
    joint = np.sqrt(np.maximum((filled * pull).sum(axis=1), 0.0))
    return Deviations(z, np.where(known, pull / own, 0.0), joint)


def _filled(z: Array, known: NDArray[np.bool_], precision: Array) -> Array:
    """Missing channels replaced by their expectation given the present ones, one pattern of missing at a time."""
    filled = z.copy()
    codes = np.packbits(known, axis=1).swapaxes(1, 2)
    partly = known.any(axis=1) & ~known.all(axis=1)
    device, column = np.nonzero(partly)
    patterns, number, uses = np.unique(codes[device, column], axis=0, return_inverse=True, return_counts=True)
    for pattern in np.argsort(-uses, kind="stable")[:MOST_PATTERNS]:
        here = number.ravel() == pattern
        present = np.unpackbits(patterns[pattern])[: z.shape[1]].astype(bool)
        some, at = device[here], column[here]
        of_missing = precision[:, ~present]
        weights = np.linalg.solve(of_missing[:, :, ~present], of_missing[:, :, present])
        filled[some[:, None], np.flatnonzero(~present), at[:, None]] = -np.einsum(
            "nij,nj->ni", weights[some], z[some[:, None], np.flatnonzero(present), at[:, None]]
        )
    return filled
