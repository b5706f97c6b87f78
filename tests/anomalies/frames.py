"""Readings and their statistics for tests, made from plain lists of numbers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from iot_pipeline.anomalies.detectors import ScoringWindow
from iot_pipeline.clock import MINUTE
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.stats.relations import DEVICE_MINUTE_SCHEMA

NOW = datetime(2026, 11, 22, 10, 30, tzinfo=UTC)
"""The minute that most tests score; its look-back begins at 10:00."""


def readings(
    values: Sequence[float | None],
    *,
    start: datetime,
    step: float = 2.0,
    device: str = "hall/m1",
    metric: str = "temperature",
    unit: str | None = "°C",
    quality: str = "good",
) -> pl.DataFrame:
    """One series: a value every `step` seconds from `start` on; None leaves a hole. READING_SCHEMA."""
    rows = [
        {"event_ts": start + timedelta(seconds=step * index), "value": value}
        for index, value in enumerate(values)
        if value is not None
    ]
    times = pl.DataFrame(rows, schema={"event_ts": READING_SCHEMA["event_ts"], "value": pl.Float64()})
    told = times.with_columns(
        received_at=pl.col("event_ts"),
        source=pl.lit("mqtt"),
        device_id=pl.lit(device),
        metric=pl.lit(metric),
        text=pl.lit(None),
        unit=pl.lit(unit),
        quality=pl.lit(quality),
        message_id=pl.format("{}-{}", pl.lit(device), pl.int_range(pl.len())),
    )
    return told.select(pl.col(name).cast(kind) for name, kind in READING_SCHEMA.items())


def minute_by_minute(
    minutes: Sequence[Sequence[float]], *, start: datetime, step: float = 2.0, device: str = "hall/m1"
) -> pl.DataFrame:
    """One series whose minutes have different numbers of readings, also none."""
    parts = [
        readings(values, start=start + index * MINUTE, step=step, device=device) for index, values in enumerate(minutes)
    ]
    return pl.concat(parts)


def device_minutes(frame: pl.DataFrame) -> pl.DataFrame:
    """What the mart `device_minute` says of `frame`, computed the slow and obvious way."""
    value = pl.col("value")
    rows = (
        frame.filter(value.is_not_null() & (pl.col("quality") != "bad"))
        .sort("event_ts")
        .group_by(pl.col("event_ts").dt.truncate("1m").alias("minute"), "device_id", "metric", "unit")
        .agg(
            value.len().alias("count"),
            value.min().alias("min"),
            value.max().alias("max"),
            value.mean().alias("mean"),
            value.std().alias("stddev"),
            value.first().alias("first"),
            value.last().alias("last"),
            value.quantile(0.5, "linear").alias("p50"),
            value.quantile(0.95, "linear").alias("p95"),
        )
    )
    return rows.select(pl.col(name).cast(kind) for name, kind in DEVICE_MINUTE_SCHEMA.items())


def window(
    frame: pl.DataFrame, first: datetime = NOW, last: datetime | None = None, *, lookback: int = 30
) -> ScoringWindow:
    """No more of `frame` than a detector with `lookback` minutes may look at to score `first` to `last`."""
    last = last or first
    statistics = device_minutes(frame)
    return ScoringWindow(
        readings=frame.filter(pl.col("event_ts").is_between(first, last + MINUTE, closed="left")),
        minutes=statistics.filter(pl.col("minute").is_between(first - lookback * MINUTE, last)),
        first=first,
        last=last,
    )
