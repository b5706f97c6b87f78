"""What every detector needs first: the usual level, spread and resolution of each series.

Learned once for all of them, so that they speak of the same standard units.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import MAD_TO_SIGMA, median, quantile, thinned

SMALLEST = 1e-9
"""Of a level: a spread below it is rounding, not a signal."""

TAIL_95 = 2 * 1.96
"""Twice the distance that holds 95 % of what is normally distributed: a heavy tail counts half."""

MOST = 1e6
"""Spreads that anything may be away: keeps sums finite in 32 bits."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Of each series: (series, 1).

    Attributes:
        level: usual value.
        spread: robust standard deviation, never zero.
        resolution: smallest usual change; 0 where nothing ever changed.
    """

    level: Floats
    spread: Floats
    resolution: Floats

    @classmethod
    def of(cls, values: Floats) -> "Scale":
        """Learn from the columns of `values` (series, time)."""
        some = thinned(values)
        level = np.nan_to_num(median(some))
        away = np.abs(some - level)
        steps = np.abs(values[:, 1:] - values[:, :-1])
        # An ordinary change: what is written with few digits cannot change by less.
        resolution = np.nan_to_num(quantile(thinned(np.where(steps > 0, steps, np.nan)), 0.02))
        # Of a signal that mostly rests the median deviation is 0; its tail is a spread too.
        spread = np.maximum(np.nan_to_num(MAD_TO_SIGMA * median(away)), np.nan_to_num(quantile(away, 0.95)) / TAIL_95)
        spread = np.maximum(spread, np.maximum(resolution / 2, SMALLEST * np.abs(level)))
        # Only where nothing ever changed from zero is any number as good: picoamperes are a signal.
        return cls(level, np.where(spread > 0, spread, SMALLEST), resolution)

    @classmethod
    def from_table(cls, table: pl.DataFrame) -> "Scale":
        """Back from `table`."""
        return cls(*(table[name].to_numpy()[:, None] for name in ("level", "spread", "resolution")))

    def table(self) -> pl.DataFrame:
        """One row a series."""
        return pl.DataFrame({name: getattr(self, name)[:, 0] for name in ("level", "spread", "resolution")})

    def standard(self, values: Floats) -> Floats:
        """Values in spreads from the level, 32 bits."""
        return np.clip((values - self.level) / self.spread, -MOST, MOST).astype(np.float32)


LONGEST_DAY = 512
"""Columns that "a day" may have. Of faster signals the last 512 readings take its place: who asks for a
day of seconds wants a summary per minute."""


def day_columns(grid: Grid) -> int:
    """Columns of a day, 8 to `LONGEST_DAY`."""
    return min(whole_day_columns(grid), LONGEST_DAY)


def whole_day_columns(grid: Grid) -> int:
    """Columns of a day, 8 and more, however fast the signal is: for what is promised or compared by the day."""
    return int(max(86_400 / grid.step.total_seconds(), 8))
