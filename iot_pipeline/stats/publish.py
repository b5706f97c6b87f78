"""Publishing: tested tables of a run's database become Parquet, one partition at a time, durably.

A partition is replaced whole, also by one without rows, so that what is gone from the readings is gone
from the mart. Minutes go before the device dimension and hours before years: what is derived comes last,
and a crash in between leaves something older there, never something torn. Building is `build.py`.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime

import duckdb
import polars as pl

from iot_pipeline.clock import day_key, minute_key, minutes_between
from iot_pipeline.files import replacing
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.inputs import instant, quoted
from iot_pipeline.stats.relations import DAY_MODELS, DayModel, dim_device_file, minute_marts, published_file
from iot_pipeline.trees import MinuteTree

# Minutes taken from the database at once; bounds memory for windows of a day.
MINUTES_AT_ONCE = 60
PartitionRows = Mapping[str, int]


def publish_minutes(
    connection: duckdb.DuckDBPyConnection, paths: DataPaths, first: datetime, last: datetime
) -> Mapping[str, PartitionRows]:
    """Replace all minute models for the minutes `first` to `last`, both included; rows by model and minute key."""
    return {
        model: _publish_minutes(connection, model, tree, minutes_between(first, last))
        for model, tree in minute_marts(paths).items()
    }


def _publish_minutes(
    connection: duckdb.DuckDBPyConnection, model: str, tree: MinuteTree, minutes: Sequence[datetime]
) -> PartitionRows:
    key = ", ".join(name for name, dtype in tree.schema.items() if dtype == pl.String())
    rows: dict[str, int] = {}
    for begin in range(0, len(minutes), MINUTES_AT_ONCE):
        taken = minutes[begin : begin + MINUTES_AT_ONCE]
        found = connection.sql(
            f"select * from marts.{model} where minute >= {instant(taken[0])} "
            f"and minute <= {instant(taken[-1])} order by minute, {key}"
        ).pl()
        # DuckDB calls the zone of the session by its full name.
        parts = found.with_columns(pl.col("minute").dt.convert_time_zone("UTC")).partition_by("minute", as_dict=True)
        frames = {minute: parts.get((minute,), tree.empty()) for minute in taken}
        tree.write_many(frames)
        rows |= {minute_key(minute): frame.height for minute, frame in frames.items()}
    return rows


def publish_dim_device(connection: duckdb.DuckDBPyConnection, paths: DataPaths) -> int:
    """Replace the device dimension; returns its rows."""
    with replacing(dim_device_file(paths)) as temporary:
        return _copy(connection, "select * from marts.dim_device order by device_id", str(temporary))


def publish_days(
    connection: duckdb.DuckDBPyConnection, paths: DataPaths, days: Iterable[date], *, as_of: datetime
) -> Mapping[str, PartitionRows]:
    """Replace all day models for `days` and the months and years that hold them; rows by model and day key.

    A partition gets the age `as_of`, the time at which its inputs were listed: what came while it was being
    built is newer than it, and it is built again.
    """
    wanted = list(days)
    published: dict[str, dict[str, int]] = {}
    for model in DAY_MODELS:
        partitions = sorted({model.partition(day) for day in wanted})
        published[model.name] = {
            day_key(partition): _publish_partition(connection, paths, model, partition, as_of)
            for partition in partitions
        }
    return published


def _publish_partition(
    connection: duckdb.DuckDBPyConnection, paths: DataPaths, model: DayModel, partition: date, as_of: datetime
) -> int:
    # The begin of a day, month or year is a date already; of an hour or an event, the day counts.
    inside = f"cast({model.time} as date) = date {quoted(day_key(partition))}"
    query = f"select * from marts.{model.name} where {inside} order by {', '.join(model.key)}, {model.time}"
    with replacing(published_file(paths, model.name, partition)) as temporary:
        rows = _copy(connection, query, str(temporary))
        os.utime(temporary, (as_of.timestamp(), as_of.timestamp()))
        return rows


def _copy(connection: duckdb.DuckDBPyConnection, query: str, target: str) -> int:
    # The target is a temporary name already; `replacing` makes it durable and renames it.
    copied = connection.execute(
        f"copy ({query}) to {quoted(target)} (format parquet, compression zstd, use_tmp_file false)"
    ).fetchone()
    return int(copied[0]) if copied else 0
