"""A made-up device whose channels go together: two causes, and noise of each channel."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.grid import Grid

START = datetime(2026, 11, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NAMES = ("flow", "pressure", "current", "speed", "temperature")
LEVELS = np.array([30.0, 4.0, 12.0, 1450.0, 70.0])
SPREADS = np.array([1.0, 0.2, 0.5, 20.0, 2.0])
HISTORY = 600

Values = NDArray[np.float64]


def plant(columns: int = 900, *, seed: int = 0) -> Values:
    """Values of the channels, (channels, columns): flow, pressure, current and speed follow one cause."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((2, columns + 30))
    causes = np.array([np.convolve(cause, np.ones(30) / np.sqrt(30), "valid")[:columns] for cause in causes])
    weights = np.array([[1.0, 0.1], [0.9, 0.0], [0.8, 0.2], [1.0, 0.0], [0.1, 1.0]])
    shape = weights @ causes + 0.2 * rng.standard_normal((len(NAMES), columns))
    return LEVELS[:, None] + SPREADS[:, None] * shape


def grid(*devices: Values, names: tuple[str, ...] = NAMES, step: timedelta = SECOND) -> Grid:
    """A grid of devices a, b, ... with channels `names`."""
    series = pl.DataFrame(
        [(chr(ord("a") + number), name) for number in range(len(devices)) for name in names],
        schema={"series": pl.String, "channel": pl.String},
        orient="row",
    )
    return Grid(series, START, step, np.concatenate(devices) if devices else np.zeros((0, 0)))


def share(of: pl.Series) -> float:
    """How many of a series of booleans are true; 0 of none."""
    return float(of.cast(pl.Float64).to_numpy().mean()) if len(of) else 0.0
