"""Days of `device_minute` of machines with several channels: a load that all follow, and noise of each channel."""

from datetime import date

import numpy as np
import polars as pl

from iot_pipeline.clock import DAY
from iot_pipeline.paths import DataPaths
from tests.anomalies.models.days import COLUMNS, MONDAY, frame, write_day

CHANNELS = {"current": "A", "flow": "l/min", "pressure": "bar", "speed": None}
LEVELS = {"current": 12.0, "flow": 30.0, "pressure": 4.0, "speed": 1450.0}
SHARES = {"current": 0.3, "flow": 0.2, "pressure": 0.1, "speed": 0.05}
"""What the load changes, as a share of the level; noise is a tenth of it."""

MACHINES = ("hall/pump_1", "hall/pump_2")

Told = dict[tuple[str, str], np.ndarray]


def values(day: date, machines: tuple[str, ...] = MACHINES, seed: int = 1) -> Told:
    """Means by minute of each machine and channel."""
    told: Told = {}
    for number, machine in enumerate(machines):
        rng = np.random.default_rng([seed, number, day.toordinal()])
        hour = np.arange(COLUMNS) / 60
        slow = np.repeat(rng.normal(0, 0.5, COLUMNS // 30), 30)
        load = np.sin((hour - 6) / 24 * 2 * np.pi) + np.convolve(np.r_[slow[-29:], slow], np.ones(30) / 30, "valid")
        for channel in CHANNELS:
            size = LEVELS[channel] * SHARES[channel]
            told[machine, channel] = (LEVELS[channel] + size * (load + rng.normal(0, 0.1, COLUMNS))).round(4)
    return told


def rows(day: date, told: Told) -> pl.DataFrame:
    """As rows of `device_minute`."""
    return pl.concat(
        frame(day, {machine: numbers}, metric=channel, unit=CHANNELS[channel])
        for (machine, channel), numbers in told.items()
    )


def write_days(paths: DataPaths, days: int = 3, *, machines: tuple[str, ...] = MACHINES) -> date:
    """So many days without faults from MONDAY on; returns the day after them."""
    for offset in range(days):
        day = MONDAY + offset * DAY
        write_day(paths, day, rows(day, values(day, machines)))
    return MONDAY + days * DAY
