"""What walks forward in time: learns from a grid that ends somewhere, scores the columns behind it.

The product's own methods are here in that shape; the baselines beside them are in `baselines.py`.
"""

from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import polars as pl

from iot_pipeline.anomalies.channels import Channels
from iot_pipeline.anomalies.channels.model import ChannelsModel
from iot_pipeline.anomalies.engine import Grid, Union
from iot_pipeline.anomalies.engine.gap import Gap
from iot_pipeline.anomalies.engine.levels import UnionModel
from iot_pipeline.anomalies.engine.members import Member

ModelT = TypeVar("ModelT")

SUBJECT = "series"
CHANNEL = "channel"
"""Columns of `Grid.series`: one row a subject and channel. A subject with one channel is a single series."""

GAP_SHARE = 0.05
"""Of a device's budget, for its silence; as in the union of single series."""

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


@dataclass(frozen=True, slots=True)
class Devices:
    """The ensemble of channels, and beside it the silence of whole devices: no channel of theirs is strange then."""

    channels: Channels = field(default_factory=Channels)
    gaps: Union = field(default_factory=lambda: Union(members=(Member(detector=Gap(), share=GAP_SHARE, least=4.0),)))

    def fit(self, grid: Grid, *, budget: float) -> tuple[ChannelsModel, UnionModel]:
        """What both learn."""
        return self.channels.fit(grid, budget=budget), self.gaps.fit(_heard(grid), budget=budget)

    def score(self, grid: Grid, model: tuple[ChannelsModel, UnionModel], columns: slice) -> pl.DataFrame:
        """See `Channels.score`; where a device falls silent, type, score and reason are those of the gap."""
        found = self.channels.score(grid, model[0], columns)
        silent = self.gaps.score(_heard(grid), model[1], columns)
        gap = silent.select("score", "flag", "type", "reason").with_columns(
            pl.lit(None, pl.Float64).alias("expected_low"), pl.lit(None, pl.Float64).alias("expected_high")
        )
        begins = silent["flag"] & ~found["flag"]
        return found.with_columns(gap[name].zip_with(begins, found[name]).alias(name) for name in gap.columns)


def _heard(grid: Grid) -> Grid:
    """One row a device: 1 where any of its channels was read."""
    devices = grid.series.select(SUBJECT).unique(maintain_order=True)
    known = np.isfinite(grid.values).reshape(devices.height, -1, grid.width).any(axis=1)
    return Grid(devices, grid.start, grid.step, np.where(known, 1.0, np.nan))


def method_for(channels: int) -> Method:
    """The product's method for devices of so many channels."""
    if channels == 1:
        return ProductMethod(Union(), "union")
    return ProductMethod(Devices(), "channels")


def cells(found: pl.DataFrame) -> pl.DataFrame:
    """A frame of scored cells as CELLS_SCHEMA; columns that it does not have are null."""
    return found.select(
        pl.col(name).cast(kind) if name in found.columns else pl.lit(None, kind).alias(name)
        for name, kind in CELLS_SCHEMA.items()
    )
