"""What is usual at this hour of the week: median and spread of each, the band that people are shown.

As a detector it is weak where no daily pattern is real; as an explanation it is what everybody understands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import MAD_TO_SIGMA, median, origin_of
from iot_pipeline.anomalies.engine.scale import Scale

HOUR = 3600
DAY_HOURS, WEEK_HOURS = 24, 168
WEEKS_FOR_WEEKDAYS = 3
"""Weeks of history from which on the day of the week counts; before, all days are one."""

LEAST_CELLS = 3
EPOCH_WEEKDAY_HOURS = 72
"""1970-01-01 was a Thursday: hours from Monday midnight."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyBand:
    """Distance from the median of the same hour of the week, in robust standard deviations of that hour.

    Args:
        offset_hours: of the site's usual clock from UTC. A fixed one: bins that moved with daylight saving would
            hold two hours in one night of the year and none in another.
    """

    offset_hours: float = 0.0

    @property
    def name(self) -> str:
        """Stable name."""
        return "weekly_band"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """Out of its usual range."""
        return FlagType.RANGE

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """None."""
        return 0

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """Median and spread of each series and hour; of the whole series where an hour was seen too rarely."""
        scale = Scale.of(grid.values)
        hours = WEEK_HOURS if grid.width * grid.step.total_seconds() >= WEEKS_FOR_WEEKDAYS * 7 * 86_400 else DAY_HOURS
        bins = self._hours(grid) % hours
        middle = np.broadcast_to(scale.level, (len(grid.values), hours)).copy()
        spread = np.broadcast_to(scale.spread, (len(grid.values), hours)).copy()
        for hour in range(hours):
            cells = grid.values[:, bins == hour]
            enough = np.isfinite(cells).sum(axis=1) >= LEAST_CELLS
            centre = median(cells)
            mad = MAD_TO_SIGMA * median(np.abs(cells - centre))
            middle[enough, hour] = centre[enough, 0]
            # Of few readings of a quantised signal all may be equal.
            spread[enough, hour] = np.maximum(mad, scale.spread / 10)[enough, 0]
        table = grid.series.with_columns(
            pl.Series("middle", middle.astype(np.float64), pl.List(pl.Float64)),
            pl.Series("spread", spread.astype(np.float64), pl.List(pl.Float64)),
        )
        return Model({"band": table}, by_series=("band",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Distance from the median of the hour."""
        part, _ = stretch(grid, columns, 0)
        middle, spread = self.band(part, model)
        return Scored.around(np.abs(part.values - middle) / spread, middle, spread)

    def band(self, grid: Grid, model: Model) -> tuple[Floats, Floats]:
        """Median and spread for each cell of `grid`."""
        if model.tables["band"].is_empty():
            return np.zeros(grid.values.shape), np.ones(grid.values.shape)
        middle, spread = (np.stack(model.tables["band"][name].to_list()) for name in ("middle", "spread"))
        bins = self._hours(grid) % middle.shape[1]
        return middle[:, bins], spread[:, bins]

    def at(self, series: NDArray[np.int64], ts: pl.Series, model: Model) -> tuple[Floats, Floats]:
        """Median and spread for some cells: the number of the series and the UTC time of each."""
        if model.tables["band"].is_empty() or series.size == 0:
            return np.zeros(series.size), np.ones(series.size)
        # Of these series only: a fleet's bands are a gigabyte.
        asked, place = np.unique(series, return_inverse=True)
        table = model.tables["band"][asked]
        middle, spread = (np.stack(table[name].to_list()) for name in ("middle", "spread"))
        seconds = ts.dt.epoch("s").to_numpy() + self.offset_hours * HOUR
        hours = np.asarray(seconds // HOUR, dtype=np.int64) + EPOCH_WEEKDAY_HOURS
        return middle[place, hours % middle.shape[1]], spread[place, hours % middle.shape[1]]

    @property
    def offset(self) -> timedelta:
        """Of the site's usual clock from UTC."""
        return timedelta(hours=self.offset_hours)

    def _hours(self, grid: Grid) -> NDArray[np.int64]:
        """Hours since a Monday midnight of each column."""
        seconds = (origin_of(grid) + np.arange(grid.width)) * grid.step.total_seconds() + self.offset_hours * HOUR
        return np.asarray(seconds // HOUR, dtype=np.int64) + EPOCH_WEEKDAY_HOURS
