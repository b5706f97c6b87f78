"""What each channel of a machine is expected to be, given the others in the same minute: learned, and how far off.

Arrays of machines with equally many channels, (machines, channels, minutes). Which series are the channels of a
machine, thresholds and sentences are not here. The ensemble of `ensemble.py` looks at single readings; this one lives
on means of minutes, and a minute scored alone comes to the same bits as in a range.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.channels.means import Array
from iot_pipeline.anomalies.detectors.resolution import decimal_places, spread_floor
from iot_pipeline.anomalies.engine.grid import Grid

WINDOW = 10
"""Minutes of a mean. A channel that was silent for so long is not known, and then its machine is not judged: a channel
that others lean on leaves them without support."""

FOLDS = 5
"""Stretches of the past that are judged by the rest."""

LEAST_RIDGE = 1e-3
INDEPENDENT = 30
"""Minutes that count as one for the ridge, which is one over the number of independent columns: levels of machines
move over half an hour, not from minute to minute."""

USUAL_SHARE = 0.99
"""Deviations are measured in what a channel exceeds in one minute of a hundred."""

RELATIVE_FLOOR = 1e-6
SAMPLE = 1000
"""Columns whose decimal places are looked at."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What the other channels let expect of each one.

    Attributes:
        centre: (machines, channels), in the unit of the channel.
        spread: standard deviation, never less than the resolution allows, (machines, channels), in the same unit.
        weights: spreads of channel i for each spread of channel j, (machines, channels, channels); 0 where i is j.
        usual: what the deviations exceed one time in a hundred where the machine was not learned from, in spreads,
            (machines, channels).
        lowest: in the past, in the unit of the channel, (machines, channels).
        highest: the same.
    """

    centre: Array
    spread: Array
    weights: Array
    usual: Array
    lowest: Array
    highest: Array


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far machines are from what is expected. NaN where a machine is not judged.

    Attributes:
        size: of each channel in units of `usual`, signed, (machines, channels, minutes). NaN also where the others let
            expect what the channel never was: then the machine does what it was never seen doing, and how its channels
            go together there, nobody has learned.
        expected: of each channel, in its unit, same shape.
    """

    size: Array
    expected: Array


def smoothed(grid: Grid) -> Array:
    """Means of WINDOW minutes of each series, (series, minutes - WINDOW + 1); NaN where nothing was read in them.

    Each adds its minutes from the oldest to the newest, whatever range it is part of.
    """
    columns = max(grid.width - WINDOW + 1, 0)
    total = np.zeros((len(grid.values), columns), order="F")
    count = np.zeros_like(total)
    for lag in range(WINDOW):
        minute = grid.values[:, lag : lag + columns]
        known = np.isfinite(minute)
        np.add(total, minute, out=total, where=known)
        count += known
    # 0 / 0 is what nobody knows.
    with np.errstate(invalid="ignore"):
        means: Array = total / count
    return means


def learn(values: Array) -> tuple[Expectation, Array]:
    """Learn from the past of machines: `values` (machines, channels, minutes), as `smoothed`; NaN is missing.

    Ridge regression of each channel on all others from one inverted correlation matrix, as in `relations.relate`.
    Only minutes in which all channels are known count. Each of FOLDS stretches is judged by what the others make
    usual: that is what deviations are measured in, and what thresholds come from.

    Returns:
        The expectation, and the deviation of each stretch that the others give, in units of `usual`: the largest of
        all channels, (machines, minutes), NaN where not all are known.
    """
    known = np.asarray(np.isfinite(values).all(axis=1))
    count = np.maximum(known.sum(axis=-1), 1)[:, None]
    there = known[:, None]
    centre = np.where(there, values, 0.0).sum(axis=-1) / count
    away = np.where(there, values - centre[..., None], 0.0)
    floor = _floor(np.where(there, values, np.nan))
    spread = np.maximum(np.sqrt((away**2).sum(axis=-1) / count), floor)
    away /= spread[..., None]
    parts = [slice(int(part[0]), int(part[-1]) + 1) for part in np.array_split(np.arange(known.shape[-1]), FOLDS)]
    moments = [_moments(away[..., part], known[:, part]) for part in parts]
    number, total, products = (np.sum([one[number] for one in moments], axis=0) for number in range(3))
    rest = np.full_like(away, np.nan)
    for part, own in zip(parts, moments, strict=True):
        middle, weights = _regression(number - own[0], total - own[1], products - own[2])
        inside = away[..., part] - middle[..., None]
        rest[..., part] = np.where(known[:, None, part], inside - weights @ inside, np.nan)
    usual = np.maximum(_exceeded_seldom(np.abs(rest)), floor / spread)
    worst = np.fmax.reduce(np.abs(rest) / usual[..., None], axis=1)
    _, weights = _regression(number, total, products)
    lowest = np.where(there, values, np.inf).min(axis=-1, initial=np.inf)
    highest = np.where(there, values, -np.inf).max(axis=-1, initial=-np.inf)
    return Expectation(centre, spread, weights, usual, lowest, highest), worst


def deviate(values: Array, expectation: Expectation) -> Deviation:
    """How far `values` (machines, channels, minutes), as `smoothed`, are from what is expected.

    Sums run channel by channel, so that each minute adds the same numbers in the same order in any range.
    """
    known = np.asarray(np.isfinite(values).all(axis=1))[:, None]
    away = np.where(known, (values - expectation.centre[..., None]) / expectation.spread[..., None], np.nan)
    expected = np.zeros_like(away)
    for other in range(values.shape[1]):
        expected += expectation.weights[:, :, other, None] * away[:, other, None]
    told = expected * expectation.spread[..., None] + expectation.centre[..., None]
    seen = (told >= expectation.lowest[..., None]) & (told <= expectation.highest[..., None])
    return Deviation(np.where(seen, (away - expected) / expectation.usual[..., None], np.nan), told)


def _moments(away: Array, known: NDArray[np.bool_]) -> tuple[Array, Array, Array]:
    """Number of columns, sums and sums of products."""
    count = known.sum(axis=-1).astype(np.float64)
    return count, away.sum(axis=-1), away @ away.swapaxes(-1, -2)


def _regression(count: Array, total: Array, products: Array) -> tuple[Array, Array]:
    """Mean of each channel, (machines, channels), and weights of the others for it; all in spreads."""
    number = np.maximum(count, 1.0)
    middle = total / number[:, None]
    covariance = products / number[:, None, None] - middle[:, :, None] * middle[:, None, :]
    deviation = np.sqrt(np.maximum(np.diagonal(covariance, axis1=-2, axis2=-1), np.finfo(np.float64).tiny))
    unit = np.eye(total.shape[1])
    correlation = covariance / (deviation[:, :, None] * deviation[:, None, :])
    # A channel that never moved has no correlation with any, itself included.
    correlation = np.where(unit > 0, 1.0, np.clip(correlation, -1.0, 1.0))
    ridge = np.maximum(INDEPENDENT / number, LEAST_RIDGE)[:, None, None]
    precision = np.linalg.inv(correlation + ridge * unit)
    own = np.diagonal(precision, axis1=-2, axis2=-1)[..., None]
    weights = np.where(unit > 0, 0.0, -precision / own * deviation[:, :, None] / deviation[:, None, :])
    return middle, np.asarray(weights, np.float64)


def _exceeded_seldom(size: Array) -> Array:
    """The USUAL_SHARE quantile along the last axis, of what is known; 0 where nothing is."""
    ordered = np.sort(size, axis=-1)  # NaN last
    count = np.isfinite(size).sum(axis=-1, keepdims=True)
    place = np.maximum(np.ceil(count * USUAL_SHARE).astype(np.int64) - 1, 0)
    found = np.take_along_axis(ordered, place, axis=-1)[..., 0]
    return np.where(count[..., 0] > 0, found, 0.0)


def _floor(values: Array) -> Array:
    """Least spread to believe in for each channel, (machines, channels)."""
    some = values[..., :: max(values.shape[-1] // SAMPLE, 1)]
    size = np.abs(np.where(np.isfinite(some), some, 0.0)).max(axis=-1, initial=0.0)
    floor: Array = spread_floor(decimal_places(some).max(axis=-1, initial=0), size, RELATIVE_FLOOR)
    return floor
