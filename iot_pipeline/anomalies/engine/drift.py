"""How far the last half day lies from the same hours a day before: what comes too slowly for the other detectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import (
    MAD_TO_SIGMA,
    lagged,
    median,
    origin_of,
    quantile,
    rolling_mean,
    thinned,
)
from iot_pipeline.anomalies.engine.scale import day_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Difference between the mean of the last half day and that of the same hours a day before, over its usual size.

    Seasonal differencing (Box & Jenkins, "Time Series Analysis", 1970, ch. 9) leaves out the hour of the day without a
    table of it; means of half a day leave out what is rough.
    """

    @property
    def name(self) -> str:
        """Stable name."""
        return "drift"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Drift."""
        return FlagType.DRIFT

    def lookback_of(self, grid: Grid) -> int:
        """A day and a half."""
        return day_columns(grid) + day_columns(grid) // 2

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """Usual size of the difference of each series."""
        away = thinned(np.abs(self._difference(grid)[0]))
        usual = np.maximum(np.nan_to_num(MAD_TO_SIGMA * median(away)), np.nan_to_num(quantile(away, 0.9)) / 1.645 / 2)
        return Model(
            {"usual": grid.series.with_columns(pl.Series("usual", np.maximum(usual, LEAST)[:, 0].astype(float)))},
            by_series=("usual",),
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Difference over its usual size."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        usual = model.tables["usual"]["usual"].to_numpy()[:, None].astype(np.float32)
        difference, earlier = self._difference(part)
        score = np.where(np.isfinite(part.values), np.abs(difference) / usual, 0)
        return Scored.around(score[:, at:], earlier[:, at:], usual)

    def _difference(self, grid: Grid) -> tuple[Floats, Floats]:
        day = day_columns(grid)
        later = rolling_mean(grid.values, day // 2, origin_of(grid), least=day // 4)
        earlier = lagged(later, day)
        return later - earlier, earlier


LEAST = 0.05
"""Spreads of the series: means nearer than this are the same."""
