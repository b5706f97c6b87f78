"""How much rougher or calmer a signal became: the variance of its changes against the usual one.

The level does not matter here; a single spike makes it rough for a while.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import MAD_TO_SIGMA, lagged, median, origin_of, rolling_mean, thinned

LEAST = 1e-3
"""Spreads of the series: changes smaller than this are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Robust z-score of the logarithm of the mean absolute second difference.

    Second differences leave out level and slope; their mean is von Neumann's measure of roughness with absolute values
    for squares, so that one reading does not make a variance (von Neumann, "Distribution of the Ratio of the Mean
    Square Successive Difference to the Variance", 1941).

    Args:
        window: columns of the mean.
    """

    window: int = 16

    @property
    def name(self) -> str:
        """Stable name."""
        return "noise"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Noise."""
        return FlagType.NOISE

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """The window."""
        return self.window + 2

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """The usual roughness of each series and how far it varies."""
        some = thinned(self._roughness(grid))
        middle = np.nan_to_num(median(some))
        spread = np.maximum(np.nan_to_num(MAD_TO_SIGMA * median(np.abs(some - middle))), LEAST_SPREAD)
        table = grid.series.with_columns(
            pl.Series("middle", middle[:, 0].astype(float)), pl.Series("spread", spread[:, 0].astype(float))
        )
        return Model({"roughness": table}, by_series=("roughness",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Distance from the usual roughness, rougher only: calm is told by `stuck`."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        table = model.tables["roughness"]
        middle, spread = (table[name].to_numpy()[:, None].astype(np.float32) for name in ("middle", "spread"))
        score = (self._roughness(part, begin=at) - middle) / spread
        return Scored.bare(np.where(np.isfinite(part.values[:, at:]), np.fmax(score, 0), 0))

    def _roughness(self, grid: Grid, begin: int = 0) -> Floats:
        one, two = lagged(grid.values, 1), lagged(grid.values, 2)
        second = np.abs(grid.values - 2 * one + two)
        mean = rolling_mean(second, self.window, origin_of(grid), least=self.window // 2, begin=begin)
        return np.asarray(np.log(mean + np.float32(LEAST)))


LEAST_SPREAD = 0.1
"""Of a logarithm: roughness that varies by less than a tenth is constant."""
