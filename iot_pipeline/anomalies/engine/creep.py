"""How far the readings of a day have moved against what each of them was expected to do: drift, step by small step."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.difference import learn_size, over_usual
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.ridge_lags import RidgeLags
from iot_pipeline.anomalies.engine.rolling import origin_of, rolling_mean
from iot_pipeline.anomalies.engine.scale import day_columns

LEAST = 0.02
"""Spreads of the series: sums smaller than this are none."""

CLIP = 4.0
"""Usual residuals that one reading may add: an edge is told by others, and would hide what creeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Creep:
    """Sum of the residuals of a day over its usual size.

    One reading of a drift is within what is usual; all of a day go the same way. The sum over a moving window of the
    innovations of a prediction is the moving-window form of Page's cumulative sum (Basseville & Nikiforov, "Detection
    of Abrupt Changes", 1993, ch. 2.1). The prediction knows the hour of the day, so that no table of it is needed.
    """

    ridge: RidgeLags = field(default_factory=RidgeLags)

    @property
    def name(self) -> str:
        """Stable name."""
        return "creep"

    @property
    def version(self) -> str:
        """Of this code."""
        return f"1.{self.ridge.version}"

    @property
    def kind(self) -> FlagType:
        """Drift."""
        return FlagType.DRIFT

    def lookback_of(self, grid: Grid) -> int:
        """A day, and what its first residual depends on."""
        return day_columns(grid) + self.ridge.residual_lookback_of(grid)

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """The prediction, and the usual size of the sum of each series."""
        ridge = self.ridge.fit(grid, classes)
        size = learn_size(grid, self._moved(grid, ridge), least=LEAST)
        return Model({**ridge.tables, **size.tables}, by_series=(*ridge.by_series, *size.by_series))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """The sum over its usual size; expected is the reading without it."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        moved = self._moved(part, model)
        return over_usual(part, at, model, moved, part.values - moved)

    def _moved(self, grid: Grid, model: Model) -> Floats:
        day = day_columns(grid)
        residual, usual = self.ridge.residuals(grid, model)
        mean = rolling_mean(np.clip(residual, -CLIP * usual, CLIP * usual), day, origin_of(grid), least=day // 2)
        return np.asarray(mean * np.float32(day))
