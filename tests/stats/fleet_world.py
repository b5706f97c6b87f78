"""What tests of the fleets' marts share: devices that told something, and marts as they are published."""

import json
from collections.abc import Mapping
from datetime import date, datetime

import polars as pl

from iot_pipeline.clock import day_start, floor_minute
from iot_pipeline.readings.schema import DEVICE_SCHEMA
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import minute_trees, published_file

Attributes = Mapping[str, str]


def tell(settings: Settings, at: datetime, fleet: str, devices: Mapping[str, Attributes]) -> None:
    """File what `devices` told of themselves in the landing minute of `at`, replacing what it held."""
    minute = floor_minute(at)
    rows = [
        (device, fleet, json.dumps(dict(sorted(told.items()))), minute, minute, minute, 1, None, None, 0)
        for device, told in devices.items()
    ]
    minute_trees(settings.paths)["devices"].write(minute, pl.DataFrame(rows, schema=DEVICE_SCHEMA, orient="row"))


def published(settings: Settings, model: str, day: date) -> pl.DataFrame:
    """A partition of a day model."""
    frame = pl.read_parquet(published_file(settings.paths, model, day), hive_partitioning=False)
    zoned = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(zoned).dt.convert_time_zone("UTC"))


def hour_of(day: date, hour: int) -> datetime:
    return day_start(day).replace(hour=hour)
