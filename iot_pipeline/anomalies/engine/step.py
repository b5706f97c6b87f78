"""How far the last readings lie from those before them: two means side by side.

For a change of level that is within what readings of a noisy signal do one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.difference import learn_size, over_usual
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import lagged, origin_of, rolling_mean

LEAST = 1e-3
"""Spreads of the series: means nearer than this are the same."""


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
        return learn_size(grid, self._difference(grid)[0], least=LEAST)

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Difference over its usual size."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        return over_usual(part, at, model, *self._difference(part, begin=at))

    def _difference(self, grid: Grid, begin: int = 0) -> tuple[Floats, Floats]:
        origin, least = origin_of(grid), max(self.window // 2, 1)
        if begin < self.window:
            mean = rolling_mean(grid.values, self.window, origin, least=least)
            earlier = lagged(mean, self.window)
        else:
            mean = rolling_mean(grid.values, self.window, origin, least=least, begin=begin)
            before = grid.values[:, : grid.width - self.window]
            earlier = rolling_mean(before, self.window, origin, least=least, begin=begin - self.window)
        return mean - earlier, earlier
