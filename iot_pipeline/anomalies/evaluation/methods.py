"""What walks forward in time: learns from a grid that ends somewhere, scores the columns behind it.

The product's own methods are here in that shape; the baselines beside them are in `baselines.py`.
"""

from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
import polars as pl

from iot_pipeline.anomalies.channels import Channels
from iot_pipeline.anomalies.engine import Grid, Union

ModelT = TypeVar("ModelT")

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


class Detectors(Protocol[ModelT]):
    """What the union and the ensemble of channels have in common."""

    def fit(self, grid: Grid, *, budget: float) -> ModelT:
        """Learn from all of `grid`."""

    def score(self, grid: Grid, model: ModelT, columns: slice) -> pl.DataFrame:
        """One row a cell of `columns`."""


@dataclass(frozen=True, slots=True)
class ProductMethod(Generic[ModelT]):
    """The product's own detectors as a method."""

    detectors: Detectors[ModelT]
    name: str

    def learn(self, past: Grid, budget: float) -> Learned:
        """See `Method.learn`."""
        return Nothing() if past.width == 0 else _Fitted(self.detectors, self.detectors.fit(past, budget=budget))


@dataclass(frozen=True, slots=True)
class _Fitted(Generic[ModelT]):
    detectors: Detectors[ModelT]
    model: ModelT

    def score(self, grid: Grid, columns: slice) -> pl.DataFrame:
        """See `Learned.score`."""
        return cells(self.detectors.score(grid, self.model, columns))


def method_for(channels: int) -> Method:
    """The product's method for devices of so many channels."""
    if channels == 1:
        return ProductMethod(Union(), "union")
    return ProductMethod(Channels(), "channels")


def cells(found: pl.DataFrame) -> pl.DataFrame:
    """A frame of scored cells as CELLS_SCHEMA; columns that it does not have are null."""
    return found.select(
        pl.col(name).cast(kind) if name in found.columns else pl.lit(None, kind).alias(name)
        for name, kind in CELLS_SCHEMA.items()
    )
