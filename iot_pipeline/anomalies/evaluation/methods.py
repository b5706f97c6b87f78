"""What walks forward in time: learns from a grid that ends somewhere, scores the columns behind it.

The product's own methods are here in that shape; the baselines beside them are in `baselines.py`.
"""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import polars as pl

from iot_pipeline.anomalies.channels import Channels, ChannelsModel
from iot_pipeline.anomalies.engine import Grid, Union, UnionModel

SUBJECT = "series"
CHANNEL = "channel"
"""Columns of `Grid.series`: one row a subject and channel. A subject with one channel is a single series."""

LEARNING = "learning"
"""The reason given while nothing can be said."""

# `level` is how strange a cell is as long as it is strange; null where flags last as long themselves.
CELLS_SCHEMA = {
    "score": pl.Float32(),
    "flag": pl.Boolean(),
    "level": pl.Float32(),
    "type": pl.String(),
    "channel": pl.String(),
    "expected_low": pl.Float64(),
    "expected_high": pl.Float64(),
    "reason": pl.String(),
}


class Learned(Protocol):
    """What was learned from the past."""

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """CELLS_SCHEMA: the cells of `columns`, subject by subject in the order of the grid, in order of time."""


class Method(Protocol):
    """A way to score what comes from what was."""

    @property
    def name(self) -> str:
        """Stable name for tables."""

    def learn(self, past: Grid, budget: float) -> Learned:
        """Learn from all of `past`; about `budget` false alerts a device-day are wanted."""


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is learned from no past: nothing can be said until there is one."""

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """See `Learned.score`."""
        first, last, _ = columns.indices(grid.width)
        silent = pl.DataFrame({"score": np.zeros((last - first) * grid.series[SUBJECT].n_unique())})
        return cells(silent.with_columns(pl.lit(value=False).alias("flag"), pl.lit(LEARNING).alias("reason")))


@dataclass(frozen=True, slots=True)
class UnionMethod:
    """The typed union of detectors of single series."""

    union: Union = field(default_factory=Union)
    name: str = "union"

    def learn(self, past: Grid, budget: float) -> Learned:
        """See `Method.learn`."""
        if past.width == 0:
            return Nothing()
        return _LearnedUnion(self.union, self.union.fit(past, budget=budget))


@dataclass(frozen=True, slots=True)
class _LearnedUnion:
    union: Union
    model: UnionModel

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """See `Learned.score`."""
        return cells(self.union.score(grid, self.model, columns))


@dataclass(frozen=True, slots=True)
class ChannelsMethod:
    """The ensemble for devices with several channels."""

    channels: Channels = field(default_factory=Channels)
    name: str = "channels"

    def learn(self, past: Grid, budget: float) -> Learned:
        """See `Method.learn`."""
        if past.width == 0:
            return Nothing()
        return _LearnedChannels(self.channels, self.channels.fit(past, budget=budget))


@dataclass(frozen=True, slots=True)
class _LearnedChannels:
    channels: Channels
    model: ChannelsModel

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """See `Learned.score`."""
        return cells(self.channels.score(grid, self.model, columns))


def method_for(channels: int) -> Method:
    """The product's method for devices of so many channels."""
    return UnionMethod() if channels == 1 else ChannelsMethod()


def cells(found: pl.DataFrame) -> pl.DataFrame:
    """A frame of scored cells as CELLS_SCHEMA; columns that it does not have are null."""
    return found.select(
        pl.col(name).cast(kind) if name in found.columns else pl.lit(None, kind).alias(name)
        for name, kind in CELLS_SCHEMA.items()
    )
