"""Readings as they were filed, read back in the plainest way: what tests hold the product against."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import polars as pl

from iot_pipeline.clock import minutes_between
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import IDENTITY, READING_SCHEMA
from iot_pipeline.readings.store import event_minute_files


def read_files(files: Iterable[Path]) -> pl.DataFrame:
    """Rows of reading files as they are, duplicates too."""
    frames = [pl.read_parquet(path, hive_partitioning=False) for path in files]
    return pl.concat(frames) if frames else pl.DataFrame(schema=READING_SCHEMA)


def deduplicated(readings: pl.DataFrame) -> pl.DataFrame:
    """One row an identity, the first durable copy: two landing minutes never hold the same receive time."""
    return readings.sort("device_id", "metric", "event_ts", "unit", "received_at", "message_id").unique(
        subset=list(IDENTITY), keep="first", maintain_order=True
    )


def read_event_minutes(paths: DataPaths, first: datetime, last: datetime) -> pl.DataFrame:
    """Deduplicated readings of the event minutes `first` to `last`, both included, of days that are not sealed."""
    return deduplicated(read_files(event_minute_files(paths, minutes_between(first, last))))
