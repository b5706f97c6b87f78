"""How far an hour lies from the same hour of the other weeks, for series whose week is the same again and again.

A week's bin of a month holds four values. Were the one that is judged among them, what was learned would look tighter
than what comes, so it never is: not while learning either.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import median, origin_of, usual_size
from iot_pipeline.anomalies.engine.weekly_band import EPOCH_WEEKDAY_HOURS, WEEK_HOURS

LEAST_WEEKS = 2
"""Other weeks in which the hour was read."""

REAL = 0.7
"""Of the usual distance from the series' own level: a week that tells less about an hour is no pattern."""

LEAST = 0.05
"""Spreads of the series: hours nearer than this are the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualWeek:
    """Distance from the median of the same hour (UTC) of the other weeks, over its usual size.

    The usual size is that of the learning range, each hour compared with the other weeks of that range. For grids of
    hours.
    """

    @property
    def name(self) -> str:
        """Stable name."""
        return "usual_week"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """A level that is not the usual one."""
        return FlagType.DRIFT

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- what it compares with is in the model
        """None."""
        return 0

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """The hours of each week, and how far they usually lie apart; 0 where there is no weekly pattern."""
        hours = _hours(grid)
        first, last = (int(hours[place]) // WEEK_HOURS if hours.size else 0 for place in (0, -1))
        weeks = last - first + 1
        told = np.full((len(grid.values), weeks * WEEK_HOURS), np.nan, np.float32)
        told[:, hours - first * WEEK_HOURS] = grid.values
        from_week = usual_size(np.abs(grid.values - _expected(told, hours, first)))
        from_level = usual_size(np.abs(grid.values - median(grid.values)))
        usual = np.where((from_week > 0) & (from_week <= REAL * from_level), np.maximum(from_week, LEAST), 0)
        table = grid.series.with_columns(
            pl.Series("weeks", told, pl.Array(pl.Float32, told.shape[1])),
            pl.lit(first, pl.Int64).alias("first_week"),
            pl.Series("usual", usual[:, 0], pl.Float64),
        )
        return Model({"week": table}, by_series=("week",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Distance over its usual size; 0 where there is no weekly pattern, or too few weeks know the hour."""
        part, _ = stretch(grid, columns, 0)
        table = model.tables["week"]
        if table.is_empty():
            return Scored.bare(np.zeros(part.values.shape))
        usual = table["usual"].to_numpy()[:, None].astype(np.float32)
        expected = _expected(table["weeks"].to_numpy(), _hours(part), int(table["first_week"][0]))
        known = usual > 0
        width = np.where(known, usual, np.float32(1))
        score = np.where(known, np.abs(part.values - expected) / width, 0)
        return Scored.around(score, np.where(known, expected, np.nan), width)


def _expected(told: Floats, hours: NDArray[np.int64], first: int) -> Floats:
    """Median of the same hour in the other weeks, for each of `hours`; NaN where fewer than LEAST_WEEKS know it.

    Args:
        told: (series, weeks x 168) hours of the learning range.
        hours: hours since a Monday midnight.
        first: the week of the first column of `told`.
    """
    weeks = told.shape[1] // WEEK_HOURS
    same = told.reshape(len(told), weeks, WEEK_HOURS)[:, :, hours % WEEK_HOURS]
    own = np.arange(weeks)[:, None] == hours // WEEK_HOURS - first
    others = np.sort(np.where(own, np.float32(np.nan), same), axis=1)  # NaN last
    known = np.isfinite(others).sum(axis=1, keepdims=True)
    low, high = (
        np.take_along_axis(others, np.maximum(place, 0), axis=1)[:, 0] for place in ((known - 1) // 2, known // 2)
    )
    return np.where(known[:, 0] >= LEAST_WEEKS, (low + high) / 2, np.float32(np.nan))


def _hours(grid: Grid) -> NDArray[np.int64]:
    """Hours since a Monday midnight of each column."""
    seconds = (origin_of(grid) + np.arange(grid.width)) * grid.step.total_seconds()
    return np.asarray(seconds // 3600, dtype=np.int64) + EPOCH_WEEKDAY_HOURS
