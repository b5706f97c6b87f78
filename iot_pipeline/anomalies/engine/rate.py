"""The rate-of-change rule: a reading that moved farther from the one before than the signal ever usually does.

What a signal is expected to do next is in `ridge_lags.py`; here only its own fastest usual change counts, which is what
people set on a transmitter by hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import forward_filled, lagged, quantile, thinned

FASTEST = 0.998
"""Of all changes: those beyond may be faults."""

LEAST = 1e-3
"""Spreads of the series: changes smaller than this are none."""

FILL = 4
"""Holes of so many columns are bridged; the change over them counts as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateOfChange:
    """Change from the reading before over the fastest usual one, that which 0.2 % of all changes exceed."""

    @property
    def name(self) -> str:
        """Stable name."""
        return "rate_of_change"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Spike."""
        return FlagType.SPIKE

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """The reading before."""
        return 1 + FILL

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """Fastest usual change of each series: table `rate`."""
        fastest = np.nan_to_num(quantile(thinned(np.abs(grid.values - _before(grid.values))), FASTEST))
        table = grid.series.with_columns(pl.Series("fastest", np.maximum(fastest, LEAST)[:, 0].astype(float)))
        return Model({"rate": table}, by_series=("rate",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Change over the fastest usual one."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        fastest = model.tables["rate"]["fastest"].to_numpy()[:, None].astype(np.float32)
        earlier = _before(part.values)
        score = np.abs(part.values - earlier) / fastest
        return Scored.around(score[:, at:], earlier[:, at:], fastest)


def _before(values: Floats) -> Floats:
    return lagged(forward_filled(values, FILL), 1)
