"""How surprisingly long a value has not changed.

A signal that often rests, or is written with few digits, rests often: how much is too much is learned, in `budget.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.rolling import Indices, origin_of, run_length
from iot_pipeline.anomalies.engine.scale import day_columns

DAY_MICROS = timedelta(days=1) // timedelta(microseconds=1)

PARTS = 8
"""Of the day, UTC: what rests at night moves by day, and three hours hold enough readings to tell after two weeks."""

BELIEVED = 20.0
"""Readings that all of a series counts as beside those of a part of the day."""

MOST_NATS = 1.0
"""Of one column: of a signal that never rests two equal readings are chance, and columns are counted as such."""

MOSTLY = 0.9
"""Of the readings equal to the one before: then the signal is a state or a constant."""

UNIT = 64
"""Surprises are whole numbers of 1 / UNIT nats: sums of them are the same wherever a range was cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """How surprising it is that a value has not changed for so long, by the time of the day.

    The information of the run, the sum of -log p with p the share of readings at this time of the day that are equal to
    the one before (C. E. Shannon, "A Mathematical Theory of Communication", 1948): in nats, at most one a column. Where
    the signal rests anyway a column counts little. A hole ends the run: silence is another thing.

    Args:
        longest: columns that a run may count. [default: two days]
    """

    longest: int | None = None

    @property
    def name(self) -> str:
        """Stable name."""
        return "stuck"

    @property
    def version(self) -> str:
        """Of this code."""
        return "2"

    @property
    def kind(self) -> FlagType:
        """Stuck."""
        return FlagType.STUCK

    def lookback_of(self, grid: Grid) -> int:
        """Two days: longer runs count as that."""
        return self.longest or 2 * day_columns(grid)

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """How surprising rest is at each time of the day; and whether a series mostly rests, which then is no fault."""
        change = np.abs(grid.values[:, 1:] - grid.values[:, :-1])
        known, same, part = np.isfinite(change), change <= 0, _part_of_day(grid)[1:]
        read, rested = (
            np.stack([which[:, part == number].sum(axis=1) for number in range(PARTS)], axis=1)
            for which in (known, same)
        )
        resting = rested.sum(axis=1) / np.maximum(read.sum(axis=1), 1)
        # Half a reading more on either side: what never rested yet may do so.
        usual = (rested.sum(axis=1, keepdims=True) + 0.5) / (read.sum(axis=1, keepdims=True) + 1)
        surprise = -np.log((rested + BELIEVED * usual) / (read + BELIEVED))
        units = np.rint(UNIT * np.minimum(surprise, MOST_NATS)).astype(np.int64)
        table = grid.series.with_columns(
            pl.Series("share", resting, pl.Float64), pl.Series("surprise", units, pl.List(pl.Int64))
        )
        return Model({"resting": table}, by_series=("resting",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Surprise of the run; `lasting` is its length."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        same = np.zeros(part.values.shape, dtype=bool)
        same[:, 1:] = part.values[:, 1:] == part.values[:, :-1]
        table = model.tables["resting"]
        rests = table["share"].to_numpy()[:, None] > MOSTLY
        run = np.where(rests, 0, np.minimum(run_length(same), self.lookback_of(grid)))
        units = table["surprise"].explode().to_numpy().reshape(len(run), PARTS)
        total = np.zeros((len(run), part.width + 1), np.int64)
        np.cumsum(units[:, _part_of_day(part)], axis=1, out=total[:, 1:])
        before = np.take_along_axis(total, np.arange(1, part.width + 1) - run, axis=1)
        return Scored.bare(((total[:, 1:] - before) / UNIT)[:, at:], lasting=run[:, at:].astype(np.float32))


def _part_of_day(grid: Grid) -> Indices:
    """Of each column: 0 to PARTS - 1."""
    micros = (origin_of(grid) + np.arange(grid.width)) * (grid.step // timedelta(microseconds=1))
    return micros % DAY_MICROS * PARTS // DAY_MICROS
