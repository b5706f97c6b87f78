"""How long a value has not changed.

A signal that often rests, or is written with few digits, rests often: how long is too long is learned, in `budget.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.rolling import run_length
from iot_pipeline.anomalies.engine.scale import day_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """Columns since the value last changed. A hole ends the run: silence is another thing.

    Args:
        longest: columns that a run may count. [default: two days]
    """

    longest: int | None = None

    @property
    def name(self) -> str:
        """Stable name."""
        return "stuck"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Stuck."""
        return FlagType.STUCK

    def lookback_of(self, grid: Grid) -> int:
        """Two days: longer runs count as that."""
        return self.longest or 2 * day_columns(grid)

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """Whether a series rests more often than not: then resting is its nature, and no fault."""
        values = grid.values
        same = np.abs(values[:, 1:] - values[:, :-1]) <= 0
        known = np.isfinite(values[:, 1:] - values[:, :-1]).sum(axis=1)
        resting = same.sum(axis=1) / np.maximum(known, 1)
        return Model({"resting": grid.series.with_columns(pl.Series("share", resting))}, by_series=("resting",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Length of the run."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        same = np.zeros(part.values.shape, dtype=bool)
        same[:, 1:] = part.values[:, 1:] == part.values[:, :-1]
        rests = model.tables["resting"]["share"].to_numpy()[:, None] > MOSTLY
        run = np.minimum(run_length(same), self.lookback_of(grid))
        return Scored.bare(np.where(rests, 0, run)[:, at:])


MOSTLY = 0.9
"""Of the readings equal to the one before: then the signal is a state or a constant."""
