"""Named baselines beside what is shipped: what the older systems did, and chance.

They stay as they were: nothing here is meant to become better. In the shape of `methods.py`, and besides: `at_once`
of those that look at blocks or at everything and are not walked forward, `sees_future` of what nobody could have known.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine import Grid
from iot_pipeline.anomalies.evaluation.methods import CHANNEL, SUBJECT, Learned, cells
from iot_pipeline.clock import DAY

Values = NDArray[np.float64]

BLOCK = 60
"""Readings that are clustered together: one a second for a minute."""


@dataclass(frozen=True, slots=True)
class RandomScores:
    """Chance, and the tripwire of an evaluation: a measure by which it does well measures nothing.

    Scores depend on the series, the column and the seed only, so that they are the same however a range is cut.
    """

    seed: int = 0
    name: str = "random"
    at_once: bool = False
    sees_future: bool = False

    def learn(self, past: Grid, budget: float) -> Learned:
        """See `Method.learn`."""
        return _Random(self.seed, min(budget * past.step / DAY, 0.5))


@dataclass(frozen=True, slots=True)
class _Random:
    seed: int
    flagged: float

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """See `Learned.score`."""
        first, last, _ = columns.indices(grid.width)
        subjects = grid.series[SUBJECT].unique(maintain_order=True)
        drawn = [np.random.default_rng([self.seed, place]).random(last)[first:] for place in range(subjects.len())]
        score = np.concatenate(drawn) / (1 - self.flagged) if drawn else np.zeros(0)
        return _plain(score, "random")


@dataclass(frozen=True, slots=True)
class GlobalZ:
    """Distance from the mean of the whole series in standard deviations, alert above 3; the worst of several channels.

    One of the older systems looked at its history so. It sees the future: mean and deviation are of all that was
    given, so that its figures are better than it could ever be at work.
    """

    threshold: float = 3.0
    name: str = "global_z"
    at_once: bool = True
    sees_future: bool = True

    def learn(self, past: Grid, budget: float) -> Learned:  # noqa: ARG002 -- knows no budget
        """See `Method.learn`."""
        return _Global(self.threshold)


@dataclass(frozen=True, slots=True)
class _Global:
    threshold: float

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """See `Learned.score`."""
        known = np.isfinite(grid.values)
        count = np.maximum(known.sum(axis=1, keepdims=True), 1)
        mean = np.where(known, grid.values, 0.0).sum(axis=1, keepdims=True) / count
        away = np.where(known, np.abs(grid.values - mean), 0.0)
        deviation = np.sqrt((away**2).sum(axis=1, keepdims=True) / count)
        z = away / np.where(deviation > 0, deviation, np.inf)
        return _plain(_worst(z[:, columns], grid).ravel() / self.threshold, "spike")


@dataclass(frozen=True, slots=True)
class KMeansBlocks:
    """K-means with two clusters in each 60 readings; the smaller one is flagged, as the weather stations' system did.

    Two clusters are always found. The score is how far apart they are, in standard deviations within them.
    In one dimension the best two clusters are found exactly: they part the sorted values somewhere. Flags come when the
    60 readings are complete.
    """

    block: int = BLOCK
    name: str = "kmeans_minute"
    at_once: bool = True
    sees_future: bool = False

    def learn(self, past: Grid, budget: float) -> Learned:  # noqa: ARG002 -- knows no budget
        """See `Method.learn`."""
        return _KMeans(self.block)


@dataclass(frozen=True, slots=True)
class _KMeans:
    block: int

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """See `Learned.score`."""
        first, last, _ = columns.indices(grid.width)
        begin, end = first - first % self.block, min(-(-last // self.block) * self.block, grid.width)
        values = grid.values[:, begin:end].astype(np.float64)
        padding = -values.shape[1] % self.block
        blocks = np.pad(values, ((0, 0), (0, padding)), constant_values=np.nan).reshape(-1, self.block)
        found = _smaller_cluster(blocks).reshape(len(values), -1)[:, first - begin : last - begin]
        return _plain(_worst(found, grid).ravel(), "spike")


def _smaller_cluster(blocks: Values) -> Values:
    """For each value of each row of `blocks`: separation of two clusters if it is in the smaller one, else 0."""
    known = np.isfinite(blocks)
    count = known.sum(axis=1)
    order = np.argsort(np.where(known, blocks, np.inf), axis=1)
    ranked = np.take_along_axis(np.where(known, blocks, 0.0), order, axis=1)
    # Sums are taken of distances from the middle: squares of large levels would leave no digits for differences.
    centre = ranked.sum(axis=1, keepdims=True) / np.maximum(count, 1)[:, None]
    ranked = np.where(np.take_along_axis(known, order, axis=1), ranked - centre, 0.0)
    low_sum, low_squares = np.cumsum(ranked, axis=1), np.cumsum(ranked**2, axis=1)
    low = np.arange(1, blocks.shape[1] + 1)
    high = count[:, None] - low
    high_sum, high_squares = low_sum[:, -1:] - low_sum, low_squares[:, -1:] - low_squares
    within = low_squares - low_sum**2 / low + high_squares - high_sum**2 / np.maximum(high, 1)
    within = np.where(high > 0, np.maximum(within, 0.0), np.inf)
    split = np.argmin(within, axis=1)
    at = (np.arange(len(blocks)), split)
    sound = (count > 1) & np.isfinite(within[at])
    apart = high_sum[at] / np.maximum(high[at], 1) - low_sum[at] / low[split]
    spread = np.sqrt(np.where(sound, within[at], 0.0) / np.maximum(count, 1))
    separation = np.where(sound & (apart > 0), apart / np.maximum(spread, 1e-9 + 1e-3 * apart), 0.0)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(blocks.shape[1])[None, :].repeat(len(blocks), axis=0), axis=1)
    low_is_smaller = (split + 1) * 2 <= count
    small = np.where(low_is_smaller[:, None], rank <= split[:, None], rank > split[:, None]) & known
    return np.where(small, separation[:, None], 0.0)


def _worst(scores: Values, grid: Grid) -> Values:
    """The largest score among the channels of each subject."""
    if CHANNEL not in grid.series.columns:
        return scores
    subjects = grid.series[SUBJECT].n_unique()
    worst: Values = scores.reshape(subjects, -1, scores.shape[1]).max(axis=1)
    return worst


def _plain(score: Values, kind: str) -> pl.DataFrame:
    flag = pl.Series("flag", score >= 1)
    kinds = pl.select(pl.when(flag).then(pl.lit(kind)).alias("type"))["type"]
    return cells(pl.DataFrame([pl.Series("score", score), flag, kinds]))


Baseline = RandomScores | GlobalZ | KMeansBlocks

BASELINES: Mapping[str, type[Baseline]] = {
    "random": RandomScores,
    "global_z": GlobalZ,
    "kmeans_minute": KMeansBlocks,
}
