"""The range rule: readings that cannot be measurements, told before any model looks at them.

Left in, one code for "no measurement" would be the strangest reading of the year and hide all others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import quantile, thinned
from iot_pipeline.anomalies.engine.scale import whole_day_columns

SENTINELS = (-9999.0, -9999.9, -999.0, -999.9, -99999.0, 9999.0, 99999.0, -32768.0, 32767.0, 65535.0, -1e6, 1e6)
"""What loggers, fieldbuses and spreadsheets write for "no measurement"."""

MARGIN = 2.0
"""Reach of the usual values that a reading may be outside of it: a new season, or a record, is not impossible."""

ENOUGH = 48
"""Readings, over a day at least, that tell the reach. Of fewer it is short by chance, of an hour by the hour: the
margin is as many times wider."""

IMPOSSIBLE = 20.0
"""Reaches from which on a reading is kept from the models as a sentinel is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeRule:
    """Flags sentinels far from what is usual, values outside of configured limits, and what is absurdly far out.

    Args:
        sentinels: values that stand for "no measurement".
        limits: class to lowest and highest possible value, in the unit of the series.
    """

    sentinels: tuple[float, ...] = SENTINELS
    limits: Mapping[str, tuple[float, float]] | None = None

    @property
    def name(self) -> str:
        """Stable name."""
        return "range_rule"

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

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """Lowest and highest usual value of each series, sentinels and the outermost 0.2 % left out."""
        some = thinned(np.where(np.isin(grid.values, self.sentinels), np.nan, grid.values))
        # A series of nothing but such values means them.
        some = np.where(np.isfinite(some).any(axis=1, keepdims=True), some, thinned(grid.values))
        low, high = quantile(some, 0.001), quantile(some, 0.999)
        known = np.isfinite(grid.values)
        lived = grid.width - np.where(known.any(axis=1), known.argmax(axis=1) if grid.width else 0, grid.width)
        short = np.maximum(ENOUGH / np.maximum(known.sum(axis=1), 1), whole_day_columns(grid) / np.maximum(lived, 1))
        limits = [(self.limits or {}).get(name, (-np.inf, np.inf)) for name in classes]
        return Model(
            {
                "range": grid.series.with_columns(
                    pl.Series("low", low[:, 0], pl.Float64),
                    pl.Series("high", high[:, 0], pl.Float64),
                    pl.Series("margin", MARGIN * np.maximum(short, 1.0), pl.Float64),
                    pl.Series("least", [least for least, _ in limits], pl.Float64),
                    pl.Series("most", [most for _, most in limits], pl.Float64),
                )
            },
            by_series=("range",),
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """At least 1 where a value breaks the rule; below, how much of the margin it uses."""
        part, _ = stretch(grid, columns, 0)
        low, high, reach, broken = self._judge(part.values, model)
        margin = _margin(model)
        outside = np.fmax(np.fmax(part.values - high, low - part.values), 0)
        far = np.where(reach > 0, outside / (margin * np.where(reach > 0, reach, 1)), 0)
        score = np.where(broken, np.fmax(far, 1), np.minimum(far, 0.999))
        middle = np.broadcast_to((low + high) / 2, score.shape)
        return Scored.around(np.where(np.isfinite(part.values), score, 0), middle, (high - low) / 2)

    def impossible(self, grid: Grid, model: Model) -> NDArray[np.bool_]:
        """Readings that no model should see."""
        low, high, reach, broken = self._judge(grid.values, model)
        if not broken.any():
            return broken
        near = (grid.values >= low - IMPOSSIBLE * reach) & (grid.values <= high + IMPOSSIBLE * reach)
        return broken & (np.isin(grid.values, self.sentinels) | ~near)

    def _judge(self, values: Floats, model: Model) -> tuple[Floats, Floats, Floats, NDArray[np.bool_]]:
        table = model.tables["range"]
        low, high, least, most = (table[name].to_numpy()[:, None] for name in ("low", "high", "least", "most"))
        margin = _margin(model)
        reach = high - low
        outside = (values < low - reach) | (values > high + reach)
        # Few are outside, and each is compared with every sentinel.
        broken = outside
        broken[outside] = np.isin(values[outside], self.sentinels)
        beyond = (values < low - margin * reach) | (values > high + margin * reach)
        # Where nothing ever changed the reach is not known, and any other value would be beyond it.
        broken |= beyond & (reach > 0)
        return low, high, reach, broken | (values < least) | (values > most)


def _margin(model: Model) -> Floats:
    """Reaches, of each series: (series, 1). A table without it is of series that have been known for long."""
    table = model.tables["range"]
    if "margin" not in table.columns:
        return np.full((table.height, 1), MARGIN)
    return table["margin"].to_numpy()[:, None]
