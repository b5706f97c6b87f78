"""Whether a reading comes back to what was usual before something was told: an end, not another begin.

What was told is in `levels.py`.
"""

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import Scores
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.rolling import forward_filled, lagged, origin_of, rolling_max, rolling_mean
from iot_pipeline.anomalies.engine.scale import whole_day_columns

DAYS = 3
"""Days whose readings at the same hour say what is usual: the middle one of three outlasts a day and a half of a
fault."""

NEARER = 0.5
"""Of the farthest distance from what is usual: from here on a reading has come back."""

USUALLY = 5.0
"""Times the mean distance from what is usual in the quiet time: what is farther away has not come back."""

FILL = 4
"""Holes of so many columns are bridged."""


def lookback_of(grid: Grid) -> int:
    """Columns before a cell that its usual value depends on."""
    return DAYS * whole_day_columns(grid) + FILL


def comes_back(grid: Grid, quiet: int) -> NDArray[np.bool_]:
    """Which readings are nearer to usual than half the farthest of the `quiet` columns before and USUALLY their mean.

    The second keeps one huge spike from making an end of every step that follows it. Usual is the median of the
    readings at the same hour of the three days before. False where one of them is missing.
    """
    day = whole_day_columns(grid)
    filled = forward_filled(grid.values, FILL)
    one, two, three = (lagged(filled, number * day) for number in range(1, DAYS + 1))
    usual = np.maximum(np.minimum(one, two), np.minimum(np.maximum(one, two), three))
    away: Scores = np.abs(grid.values - usual)
    farthest = lagged(rolling_max(np.nan_to_num(away), quiet, origin_of(grid)), 1)
    mean = lagged(rolling_mean(away, quiet, origin_of(grid)), 1)
    return np.asarray((away < NEARER * farthest) & (away < USUALLY * mean))
