"""Channels that stand still or say nothing while the rest of their device goes on.

Rules on single channels that a look at relations misses: a channel that died is at its last value, or nowhere.
Devices that are silent as a whole are not here: no channel of theirs is stranger than another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.channels.means import Array

Ages = NDArray[np.int32]

REACH = 60
"""Columns that are looked back for the last change or the last reading; a channel quiet for so long is not judged."""

LEAST = 30
"""Columns of quiet that are never unusual: a steady second says nothing."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Columns since the last change and since the last reading, at most REACH. Both (devices, channels, columns)."""

    still: Ages
    silent: Ages


def quiet(values: Array) -> Quiet:
    """Ages of the last change and of the last reading in `values` (devices, channels, columns; NaN is missing).

    A channel is silent only while another one of its device speaks.
    The first 2 REACH columns are context: ages in them are those since the array begins.
    """
    if not values.shape[-1]:
        return Quiet(np.zeros(values.shape, np.int32), np.zeros(values.shape, np.int32))
    column = np.arange(values.shape[-1], dtype=np.int32)
    known = np.isfinite(values)
    seen = np.maximum.accumulate(np.where(known, column, -1), axis=-1)
    before = np.concatenate([np.full((*seen.shape[:-1], 1), -1, seen.dtype), seen[..., :-1]], axis=-1)
    previous = np.take_along_axis(values, np.maximum(before, 0), axis=-1)
    recent = (before >= 0) & (column - before <= REACH)
    changed = known & ~(recent & (previous == values))
    change = np.maximum.accumulate(np.where(changed, column, -1), axis=-1)
    still = np.minimum(column - np.maximum(change, 0), REACH)
    speaks = np.maximum.accumulate(np.where(known.any(axis=1), column, -1), axis=-1)
    silent = np.clip(speaks[:, None] - np.maximum(seen, 0), 0, REACH)
    return Quiet(np.where(known, still, 0).astype(np.int32), silent.astype(np.int32))


def longest_usual(history: Array) -> tuple[Array, Array]:
    """Columns of standing still and of silence that are still usual for each channel, (devices, channels) each.

    Twice what was seen in `history`, at least LEAST; infinite where that is more than can be looked back.
    """
    ages = quiet(history)
    limits = []
    for age in (ages.still, ages.silent):
        limit = np.maximum(2.0 * age.max(axis=-1, initial=0), LEAST)
        limits.append(np.where(limit < REACH, limit, np.inf))
    return limits[0], limits[1]


def overdue(values: Array, still: Array, silent: Array) -> tuple[Array, Array]:
    """Share of what is usual that each channel has been still and silent for; both (devices, channels, columns)."""
    ages = quiet(values)
    return ages.still / still[..., None], ages.silent / silent[..., None]
