"""How far a reading is from all that was usual while learning: the plain robust z-score against the past.

Knows no hour and no trend; it ranks what is far, and says when a level was never seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.scale import Scale


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualRange:
    """Distance from the median in robust standard deviations.

    Iglewicz & Hoaglin, "How to Detect and Handle Outliers", ASQC 1993.
    """

    @property
    def name(self) -> str:
        """Stable name."""
        return "usual_range"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Range."""
        return FlagType.RANGE

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """None."""
        return 0

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """Median and spread of each series."""
        return Model({"scale": grid.series.hstack(Scale.of(grid.values).table())}, by_series=("scale",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Distance in spreads."""
        part, _ = stretch(grid, columns, 0)
        scale = Scale.from_table(model.tables["scale"])
        level = np.broadcast_to(scale.level, part.values.shape)
        return Scored.around(np.abs(part.values - level) / scale.spread, level, scale.spread)
