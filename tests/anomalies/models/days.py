"""Days of `device_minute` for tests: a small plant whose signals have a daily shape, noise and, if wanted, faults."""

from datetime import date, datetime

import numpy as np
import polars as pl

from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import DEVICE_MINUTE_SCHEMA, device_minute_tree
from iot_pipeline.trees import PARTITION_MINUTE

MONDAY = date(2026, 11, 16)
COLUMNS = 1440


def values(day: date, devices: int = 6, seed: int = 1) -> dict[str, np.ndarray]:
    """Means by minute of each device on one day: 1440 numbers, NaN for none."""
    rng = np.random.default_rng([seed, day.toordinal()])
    hour = np.arange(COLUMNS) / 60
    return {
        f"hall/m{n}": (20 + n + 2 * np.sin((hour - 6) / 24 * 2 * np.pi) + rng.normal(0, 0.2, COLUMNS)).round(3)
        for n in range(devices)
    }


def frame(day: date, told: dict[str, np.ndarray], metric: str = "temperature", unit: str | None = "°C") -> pl.DataFrame:
    """As rows of `device_minute`."""
    parts = [
        pl.DataFrame(
            {"minute": [day_start(day) + n * MINUTE for n in range(len(numbers))], "mean": numbers}
        ).with_columns(device_id=pl.lit(device), metric=pl.lit(metric), unit=pl.lit(unit, pl.String), count=pl.lit(12))
        for device, numbers in told.items()
    ]
    rows = pl.concat(parts).filter(pl.col("mean").is_finite())
    mean = pl.col("mean")
    same = dict.fromkeys(("min", "max", "first", "last", "p50", "p95"), mean)
    return rows.with_columns(**same, stddev=pl.lit(0.1)).select(
        pl.col(name).cast(kind) for name, kind in DEVICE_MINUTE_SCHEMA.items()
    )


def write_day(paths: DataPaths, day: date, rows: pl.DataFrame) -> None:
    """As a sealed day."""
    with device_minute_tree(paths).sealed.publishing(day) as building:
        rows.sort("minute").with_columns(pl.col("minute").alias(PARTITION_MINUTE)).write_parquet(
            building / "part-000.parquet"
        )


def write_days(paths: DataPaths, days: int = 3, *, first: date = MONDAY, devices: int = 6) -> date:
    """So many days without faults; returns the day after them."""
    for offset in range(days):
        day = first + offset * DAY
        write_day(paths, day, frame(day, values(day, devices)))
    return first + days * DAY


def at(day: date, hour: int, minute: int = 0) -> datetime:
    """An instant of `day` in UTC."""
    return day_start(day) + (60 * hour + minute) * MINUTE
