"""How far the last half day lies from the same hours a day before: what comes too slowly for the other detectors."""

from collections.abc import Sequence
from dataclasses import dataclass

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.difference import learn_size, over_usual
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import lagged, origin_of, rolling_mean
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
        return learn_size(grid, self._difference(grid)[0], least=LEAST)

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Difference over its usual size."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        return over_usual(part, at, model, *self._difference(part))

    def _difference(self, grid: Grid) -> tuple[Floats, Floats]:
        day = day_columns(grid)
        later = rolling_mean(grid.values, day // 2, origin_of(grid), least=day // 4)
        earlier = lagged(later, day)
        return later - earlier, earlier


LEAST = 0.05
"""Spreads of the series: means nearer than this are the same."""
