"""How far the last readings lie from those before them: two means side by side.

For a change of level that is within what readings of a noisy signal do one by one.
"""

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

LEAST = 1e-3
"""Spreads of the series: means nearer than this are the same."""

NORMAL_90 = 1.645
"""Distance from the mean that holds 90 % of what is normally distributed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Difference of the means of two windows, over its usual size.

    The two-window contrast of change detection (Basseville & Nikiforov, "Detection of Abrupt Changes", 1993, ch. 2).

    Args:
        window: columns of each mean.
    """

    window: int = 8

    @property
    def name(self) -> str:
        """Stable name."""
        return "step"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Step."""
        return FlagType.STEP

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """Both windows."""
        return 2 * self.window

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """Usual size of the difference of each series."""
        away = thinned(np.abs(self._difference(grid)[0]))
        usual = np.maximum(
            np.nan_to_num(MAD_TO_SIGMA * median(away)), np.nan_to_num(quantile(away, 0.9)) / NORMAL_90 / 2
        )
        table = grid.series.with_columns(pl.Series("usual", np.maximum(usual, LEAST)[:, 0].astype(float)))
        return Model({"usual": table}, by_series=("usual",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Difference over its usual size."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        usual = model.tables["usual"]["usual"].to_numpy()[:, None].astype(np.float32)
        difference, earlier = self._difference(part)
        score = np.where(np.isfinite(part.values), np.abs(difference) / usual, 0)
        return Scored.around(score[:, at:], earlier[:, at:], usual)

    def _difference(self, grid: Grid) -> tuple[Floats, Floats]:
        mean = rolling_mean(grid.values, self.window, origin_of(grid), least=self.window // 2)
        earlier = lagged(mean, self.window)
        return mean - earlier, earlier
