"""What every detector of the engine is: what it learns, what it gives for each cell, and the rules it keeps.

No detector is here (one file each beside this one), and nothing about thresholds (see `union.py`).

The one law: the score at a time depends on the `lookback` columns before it and on that column, never on later
ones. Nothing is carried along, so any minute can be scored alone and gives what a long range gives.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.grid import Floats, Grid

Scores = NDArray[np.float32]


class FlagType(StrEnum):
    """What kind of unusual a reading is; people filter by it."""

    SPIKE = "spike"
    STUCK = "stuck"
    STEP = "step"
    DRIFT = "drift"
    NOISE = "noise"
    SHAPE = "shape"
    GAP = "gap"
    RANGE = "range"
    MULTICHANNEL = "multichannel"


@dataclass(frozen=True, slots=True)
class Model:
    """What a detector learned, as plain tables: they are stored as Parquet and read by people.

    Attributes:
        tables: name to table; one row a series (those in `by_series`), or one or more a class.
        by_series: names of the tables with one row a series, in the order of the grid.
    """

    tables: Mapping[str, pl.DataFrame]
    by_series: tuple[str, ...] = ()

    def rows(self, rows: slice) -> "Model":
        """The model of some of the series."""
        chosen = {name: table[rows] if name in self.by_series else table for name, table in self.tables.items()}
        return Model(chosen, self.by_series)


@dataclass(frozen=True, slots=True)
class Scored:
    """What a detector gives for the columns it was asked for. All arrays: (series, columns).

    Attributes:
        score: larger is stranger, never NaN, 0 where there is nothing to say.
        expected_low: value below what was expected at which the score would be 1, in the unit of the grid; NaN where
            unknown.
        expected_high: the same above.
        lasting: columns that it has lasted, where people are told that and it is not the score.
    """

    score: Scores
    expected_low: Scores
    expected_high: Scores
    lasting: Scores | None = None

    @classmethod
    def around(cls, score: Floats, centre: Floats, width: Floats) -> "Scored":
        """Of a detector that measures how many `width` a value is from `centre`. NaN as score counts as 0."""
        wide = np.broadcast_to(width, score.shape)
        return cls(_plain(score), (centre - wide).astype(np.float32), (centre + wide).astype(np.float32))

    @classmethod
    def bare(cls, score: Floats, *, lasting: Scores | None = None) -> "Scored":
        """Of a detector that expects no particular value."""
        unknown = np.full(score.shape, np.nan, dtype=np.float32)
        return cls(_plain(score), unknown, unknown, lasting)


class GridDetector(Protocol):
    """A rule or a model that scores every cell of a grid."""

    @property
    def name(self) -> str:
        """Stable name, e.g. `ridge_lags`."""

    @property
    def version(self) -> str:
        """Changes whenever the same readings could give other scores."""

    @property
    def kind(self) -> FlagType:
        """What its flags are called."""

    def lookback_of(self, grid: Grid) -> int:
        """Columns before a cell that its score depends on; fixed for the step of `grid`."""

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """Learn what is usual from all of `grid`; `classes` names the class of each series."""

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Score the cells in `columns`, looking at most `lookback` columns before them."""


def stretch(grid: Grid, columns: slice, lookback: int) -> tuple[Grid, int]:
    """The part of `grid` that the scores of `columns` depend on, and the number of the first scored column in it."""
    first, last, _ = columns.indices(grid.width)
    begin = max(first - lookback, 0)
    return Grid(grid.series, grid.start + begin * grid.step, grid.step, grid.values[:, begin:last]), first - begin


def class_codes(classes: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """Names of the classes in order, and for each series the number of its class."""
    names, codes = np.unique(np.asarray(classes, dtype=str), return_inverse=True)
    return [str(name) for name in names], codes.astype(np.int64)


LARGEST = 1e9
"""Score from which on everything is equally strange."""


def _plain(score: Floats) -> Scores:
    return np.nan_to_num(score, nan=0.0, posinf=LARGEST).clip(0.0, LARGEST).astype(np.float32)
