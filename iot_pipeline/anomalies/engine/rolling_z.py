"""How far a reading is from the middle of the last day, in the spread of the last day.

Follows any level without learning a model; knows no hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import MAD_TO_SIGMA, lagged, median, thinned
from iot_pipeline.anomalies.engine.scale import day_columns

LAGS = 24
"""Cells of the last day that its middle is told by: enough for a median, and no day has to be sorted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingZ:
    """Robust z-score (Iglewicz & Hoaglin, "How to Detect and Handle Outliers", ASQC 1993) against the last day."""

    @property
    def name(self) -> str:
        """Stable name."""
        return "rolling_robust_z"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Spike."""
        return FlagType.SPIKE

    def lookback_of(self, grid: Grid) -> int:
        """A day."""
        return day_columns(grid)

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """The usual spread within a day, half of which is the least that is believed."""
        spread = np.nan_to_num(median(thinned(self._middle(grid)[1])))
        table = grid.series.with_columns(pl.Series("spread", np.maximum(spread, LEAST)[:, 0].astype(float)))
        return Model({"spread": table}, by_series=("spread",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Distance from the middle in spreads."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        middle, spread = self._middle(part)
        usual = model.tables["spread"]["spread"].to_numpy()[:, None].astype(np.float32)
        width = np.fmax(spread, usual / 2)
        return Scored.around((np.abs(part.values - middle) / width)[:, at:], middle[:, at:], width[:, at:])

    def _middle(self, grid: Grid) -> tuple[Floats, Floats]:
        """Median of the cells before each one, and the median distance from it; NaN where fewer than half are known."""
        pace = max(day_columns(grid) // LAGS, 1)
        before = np.stack([lagged(grid.values, pace * number) for number in range(1, LAGS + 1)], axis=2)
        rows, columns, lags = before.shape
        flat = before.reshape(-1, lags)
        middle = median(flat)
        known = np.isfinite(flat).sum(axis=1, keepdims=True) >= LAGS // 2
        spread = np.where(known, MAD_TO_SIGMA * median(np.abs(flat - middle)), np.nan)
        return np.where(known, middle, np.nan).reshape(rows, columns), spread.reshape(rows, columns)


LEAST = 1e-3
"""Spreads of the series."""
