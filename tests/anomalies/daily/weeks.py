"""A plant by hours for tests: machines that run on weekdays, and meters with a wave a day."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import DEVICE_HOUR_SCHEMA, published_file

MONDAY = date(2026, 10, 5)
DAYS = 28
TODAY = MONDAY + DAYS * DAY
HOURS = 24
MACHINE, METER = "hall/saw", "hall/meter"
Hours = np.ndarray


def day_of(day: date, *, seed: int = 1, pairs: int = 4) -> dict[str, Hours]:
    """Means of the 24 hours of each device of a usual day."""
    rng = np.random.default_rng([seed, day.toordinal()])
    hour = np.arange(HOURS)
    works = (hour >= 6) & (hour < 18) & (day.weekday() < 5)
    told = {}
    for number in range(pairs):
        told[f"{MACHINE}{number}"] = 5 + number + 40 * works + rng.normal(0, 0.4, HOURS)
        told[f"{METER}{number}"] = 20 + 3 * np.sin((hour - 8) / 24 * 2 * np.pi) + rng.normal(0, 0.25, HOURS)
    return told


def frame(day: date, told: dict[str, Hours], *, metric: str = "power", unit: str | None = "kW") -> pl.DataFrame:
    """As rows of `device_hour`; an hour that is NaN has none."""
    rows = [
        pl.DataFrame(
            {"hour": [day_start(day) + number * 60 * MINUTE for number in range(len(numbers))], "mean": numbers}
        ).with_columns(device_id=pl.lit(device), metric=pl.lit(metric), unit=pl.lit(unit, pl.String))
        for device, numbers in told.items()
    ]
    found = pl.concat(rows).filter(pl.col("mean").is_not_nan()).sort("device_id", "metric", "unit", "hour")
    return found.select(
        (pl.col(name) if name in found.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in DEVICE_HOUR_SCHEMA.items()
    )


def publish(paths: DataPaths, day: date, told: dict[str, Hours]) -> None:
    """As the day chain does."""
    write_parquet(frame(day, told) if told else pl.DataFrame(schema=DEVICE_HOUR_SCHEMA), hours_file(paths, day))


def hours_file(paths: DataPaths, day: date) -> Path:
    """Where the hours of a day are published."""
    return published_file(paths, "device_hour", day)


def publish_past(paths: DataPaths, *, days: int = DAYS, until: date = TODAY) -> None:
    """So many usual days before `until`."""
    for offset in range(1, days + 1):
        day = until - offset * DAY
        publish(paths, day, day_of(day))


def drifting(told: dict[str, Hours], device: str, *, by: float = 3.0) -> dict[str, Hours]:
    """`told` with one device that moves away evenly from 8:00 on, and is mended at 16:00."""
    moved = told[device].copy()
    moved[8:16] += by * np.arange(1, 9) / 8
    return {**told, device: moved}


def resting(told: dict[str, Hours], device: str) -> dict[str, Hours]:
    """`told` with one device that stays all day as it is at midnight."""
    return {**told, device: told[device][0] + 0.01 * (told[device] - told[device].mean())}
