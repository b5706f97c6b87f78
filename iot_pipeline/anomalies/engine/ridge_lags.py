"""How far a reading is from what its own past lets expect: ridge regression on lags.

Good at spikes, steps and noise; blind to a value that stays.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, class_codes, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import (
    MEAN_TO_SIGMA,
    forward_filled,
    lagged,
    origin_of,
    quantile,
    rolling_mean,
    thinned,
    usual_size,
)
from iot_pipeline.anomalies.engine.scale import day_columns

LONGEST_LAG = 8
"""Columns before the base that the nearest past reaches."""

FILL = 4
"""Holes of so many columns are bridged with the last value in what is looked back at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RidgeLags:
    """Residual of a linear prediction from lags, in its usual size.

    The prediction starts from the value `horizon` columns back and adds a weighted sum of how other lags, and
    yesterday's at this hour, differ from it: the season without a table of it. Weights solve (A'A + k D) w = A'y with
    D the diagonal of A'A (Hoerl & Kennard, "Ridge Regression", Technometrics 12 (1970), on standardised columns), one
    set for a class. The usual size is the greater of what the learning range had and what the last days had.

    Args:
        horizon: columns between the last value used and the predicted one. 1 finds spikes and edges, longer ones find
            what comes slower.
        penalty: k, as share of the variance of each lag.
        short: no season and no usual size of the last days: a look-back of a few readings instead of days, for the
            minute tier.
    """

    horizon: int = 1
    penalty: float = 1e-2
    short: bool = False

    @property
    def name(self) -> str:
        """Stable name."""
        return f"ridge_{self.horizon}" + ("_short" if self.short else "")

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """An edge that came in one reading, or a change over several."""
        return FlagType.SPIKE if self.horizon == 1 else FlagType.STEP

    def lookback_of(self, grid: Grid) -> int:
        """A day and three for the usual size; a few readings if short."""
        if self.short:
            return self.horizon + LONGEST_LAG + FILL
        day = day_columns(grid)
        return _memory(day) + day + self.horizon + 16 + FILL

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """Weights for each class, clips and usual residual for each series."""
        filled = forward_filled(grid.values, FILL)
        target, lags = self._design(filled, grid)
        swing = np.maximum(np.nan_to_num(quantile(thinned(np.abs(lags[-1])), 0.995)), SMALL).astype(np.float32)
        usable = np.isfinite(target)
        limit = np.nan_to_num(quantile(thinned(np.abs(target)), 0.995)).astype(np.float32)
        y = np.where(usable, np.clip(target, -limit, limit), 0)
        parts = [np.where(usable, np.clip(np.nan_to_num(lag), -swing, swing), 0) for lag in lags]
        size = len(lags)
        gram = np.zeros((len(y), size, size))
        moment = np.zeros((len(y), size))
        for i in range(size):
            moment[:, i] = np.einsum("st,st->s", parts[i], y)
            for j in range(i, size):
                gram[:, i, j] = gram[:, j, i] = np.einsum("st,st->s", parts[i], parts[j])
        names, codes = class_codes(classes)
        shared, moments = np.zeros((len(names), size, size)), np.zeros((len(names), size))
        # Each series counts the same, however much it moves.
        weight = 1 / np.maximum(np.einsum("st,st->s", y, y), SMALL)
        np.add.at(shared, codes, gram * weight[:, None, None])
        np.add.at(moments, codes, moment * weight[:, None])
        diagonal = np.einsum("cii->ci", shared)
        penalty = self.penalty * diagonal + SMALL * (1 + diagonal.max(axis=1, keepdims=True, initial=0))
        weights = np.linalg.solve(shared + penalty[:, :, None] * np.eye(size), moments[:, :, None])[:, :, 0]
        residual = thinned(np.abs(self._residual(target, lags, weights[codes], swing)[0]))
        usual = usual_size(residual)
        return Model(
            {
                "weights": pl.DataFrame(
                    {"class": names} | {f"w{i}": weights[:, i] for i in range(size)},
                    schema_overrides={"class": pl.String},
                ),
                "residual": grid.series.with_columns(
                    pl.Series("class", list(classes), pl.String),
                    pl.Series("usual", np.maximum(usual, LEAST)[:, 0].astype(np.float64)),
                    pl.Series("swing", swing[:, 0].astype(np.float64)),
                ),
            },
            by_series=("residual",),
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Residual over its usual size."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        residual, predicted, usual = self._predicted(part, model)
        away = np.abs(residual)
        width = np.broadcast_to(usual, away.shape)
        if not self.short:
            recent = rolling_mean(np.minimum(away, 6 * usual), _memory(day_columns(grid)), origin_of(part))
            width = np.fmax(usual, lagged(recent, 1) * np.float32(MEAN_TO_SIGMA))
        base = lagged(forward_filled(part.values, FILL), self.horizon)
        return Scored.around((away / width)[:, at:], (base + predicted)[:, at:], width[:, at:])

    def residual_lookback_of(self, grid: Grid) -> int:
        """Columns before a cell that its residual depends on; fewer than its score does."""
        return (LONGEST_LAG if self.short else day_columns(grid) + LONGEST_LAG + 3) + self.horizon + FILL

    def residuals(self, grid: Grid, model: Model) -> tuple[Floats, Floats]:
        """What each reading is above its prediction (NaN where unknown), and its usual size: (series, 1)."""
        residual, _, usual = self._predicted(grid, model)
        return residual, usual

    def _predicted(self, grid: Grid, model: Model) -> tuple[Floats, Floats, Floats]:
        series = model.tables["residual"].join(model.tables["weights"], on="class", how="left", maintain_order="left")
        weights = series.select("^w[0-9]+$").to_numpy()
        usual, swing = (series[name].to_numpy()[:, None].astype(np.float32) for name in ("usual", "swing"))
        target, lags = self._design(forward_filled(grid.values, FILL), grid)
        target = np.where(np.isfinite(grid.values), target, np.float32(np.nan))
        return *self._residual(target, lags, weights, swing), usual

    def _design(self, filled: Floats, grid: Grid) -> tuple[Floats, list[Floats]]:
        """What is predicted and what from, both as differences from the value `horizon` columns back."""
        day, h = day_columns(grid), self.horizon
        base = lagged(filled, h)
        lags = [h + near for near in (1, 2, 3, 5, LONGEST_LAG)]
        if not self.short:
            lags += [max(day + shift, h + LONGEST_LAG + 2 + shift) for shift in (-1, 0, 1)]
        return filled - base, [lagged(filled, lag) - base for lag in lags]

    def _residual(self, target: Floats, lags: list[Floats], weights: Floats, swing: Floats) -> tuple[Floats, Floats]:
        predicted = np.zeros_like(target)
        for number, lag in enumerate(lags):
            # A lag that is missing says nothing new: as the base.
            predicted += np.clip(np.nan_to_num(lag), -3 * swing, 3 * swing) * weights[:, number : number + 1].astype(
                np.float32
            )
        return target - predicted, predicted


SMALL = 1e-12
LEAST = 1e-3
"""Spreads of the series: a residual usually smaller than this is a computed signal, not a measured one."""


def _memory(day: int) -> int:
    return min(3 * day, 512)
