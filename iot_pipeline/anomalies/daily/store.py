"""The flags of whole days as they are kept: one file a UTC day. How they come about is `flags.py`."""

from datetime import date, datetime

import polars as pl

from iot_pipeline.clock import DAY
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import FLAGS_SCHEMA, day_flags_file


def write_day_flags(paths: DataPaths, day: date, flags: pl.DataFrame) -> None:
    """Replace the flags of `day` by `flags` (FLAGS_SCHEMA). Raises StorageUnavailable: they are as before."""
    write_parquet(flags, day_flags_file(paths, day))


def read_day_flags(paths: DataPaths, first: datetime, last: datetime) -> pl.DataFrame:
    """Flags of the daily tier in the minutes `first` to `last`, both included: FLAGS_SCHEMA."""
    days = [first.date() + offset * DAY for offset in range((last.date() - first.date()).days + 1)]
    frames = [pl.read_parquet(path) for day in days if (path := day_flags_file(paths, day)).exists()]
    flags = pl.concat([pl.DataFrame(schema=FLAGS_SCHEMA), *(frame.select(list(FLAGS_SCHEMA)) for frame in frames)])
    return flags.filter(pl.col("minute").is_between(first, last))
