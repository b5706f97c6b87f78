"""Small made series for the tests of the engine: a day is 96 readings of 15 minutes."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine import Grid

START = datetime(2026, 3, 2, tzinfo=UTC)
STEP = timedelta(minutes=15)
DAY = 96

Values = NDArray[np.float64]


def daily(days: int, *, seed: int = 0, level: float = 20.0) -> Values:
    """A day's wave with noise."""
    time = np.arange(days * DAY)
    return level + 3 * np.sin(2 * np.pi * time / DAY) + np.random.default_rng(seed).normal(0, 0.2, time.size)


def grid(*series: Values, start: datetime = START, step: timedelta = STEP) -> Grid:
    """Series beside each other, named `s0`, `s1`..."""
    names = pl.DataFrame({"series": [f"s{number}" for number in range(len(series))]}, schema={"series": pl.String})
    return Grid(names, start, step, np.array(series, dtype=np.float64).reshape(len(series), -1))
