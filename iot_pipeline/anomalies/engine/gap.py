"""How long nothing was read of a series that used to speak.

Whether a whole device is silent is told by the caller's own means; here each series stands for itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.rolling import run_length
from iot_pipeline.anomalies.engine.scale import day_columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Columns since the last reading, while something was read within the look-back.

    Args:
        longest: columns of the look-back. [default: two days]
    """

    longest: int | None = None

    @property
    def name(self) -> str:
        """Stable name."""
        return "gap"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Gap."""
        return FlagType.GAP

    def lookback_of(self, grid: Grid) -> int:
        """Two days: a series silent for longer is switched off, not interrupted."""
        return self.longest or 2 * day_columns(grid)

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """Nothing but the threshold is learned."""
        return Model({"series": grid.series}, by_series=("series",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:  # noqa: ARG002 -- nothing is learned
        """Length of the run of missing cells."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        missing = np.isnan(part.values)
        run = run_length(missing)
        spoke = run <= np.arange(missing.shape[1])
        return Scored.bare(np.where(spoke, run, 0)[:, at:])
