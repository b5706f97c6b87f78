"""Single readings of one device as they count now, each with the message that told it.

For pages and API; statistics over them are `history.py`, the messages themselves `messages.py`. A name from outside is
a value that is compared, never a part of a query or of a path.
"""

from collections.abc import Sequence
from datetime import datetime

import duckdb
import polars as pl

from iot_pipeline.clock import floor_minute
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.serving.history import NotPublished, again_when_replaced
from iot_pipeline.serving.interrupts import interruptible
from iot_pipeline.stats.corrections.applying import CORRECTED_BY, current_readings
from iot_pipeline.stats.corrections.store import pieces_between
from iot_pipeline.stats.inputs import DayInput, minute_input_files
from iot_pipeline.stats.session import engine

DEVICE_READINGS_SCHEMA: dict[str, pl.DataType] = {**READING_SCHEMA, CORRECTED_BY: pl.List(pl.String())}
DEVICE_READINGS_KEY = ("event_ts", "metric", "unit")


@again_when_replaced
def device_readings(
    paths: DataPaths,
    device_id: str,
    since: datetime,
    until: datetime,
    *,
    metric: str | None = None,
    unit: str | None = None,
) -> pl.DataFrame:
    """Readings of one device that happened in [since, until) (UTC), each once and corrected.

    Costs what the files of that time cost: milliseconds for a sealed day, about half a millisecond for each minute of
    one that is open.

    Returns:
        DEVICE_READINGS_SCHEMA, sorted by DEVICE_READINGS_KEY with a null unit first. `corrected_by` holds the ids of
        the corrections that made a value what it is; null for one that nobody corrected.

    Raises:
        NotPublished: nothing was decoded yet, or it is being decoded again.
    """
    if not paths.readings.exists():
        raise NotPublished("no minute was decoded yet, or all are being decoded again; ask again in half a minute")
    inputs = minute_input_files(paths, floor_minute(since), floor_minute(until))
    wanted = (pl.col("device_id") == device_id) & (pl.col("event_ts") >= since) & (pl.col("event_ts") < until)
    if metric is not None:
        wanted &= pl.col("metric") == metric
    if unit is not None:
        wanted &= pl.col("unit") == unit
    if all(one.settled for one in inputs) and pieces_between(paths, since, until).is_empty():
        found = _sealed(inputs, wanted)
    else:
        found = _current(paths, inputs, device_id, wanted)
    return found.sort(DEVICE_READINGS_KEY, nulls_last=False)


def _sealed(inputs: Sequence[DayInput], wanted: pl.Expr) -> pl.DataFrame:
    """Sealed readings are sorted by device, so one of them is found by the statistics of the files' row groups."""
    frames = [
        pl.scan_parquet(list(one.sealed), hive_partitioning=False).filter(wanted).select(list(READING_SCHEMA))
        for one in inputs
        if one.sealed
    ] or [pl.LazyFrame(schema=READING_SCHEMA)]
    return (
        pl.concat(frames)
        .with_columns(pl.lit(None).alias(CORRECTED_BY))
        .cast(pl.Schema(DEVICE_READINGS_SCHEMA))
        .collect()
    )


def _current(paths: DataPaths, inputs: Sequence[DayInput], device_id: str, wanted: pl.Expr) -> pl.DataFrame:
    with engine(paths) as connection, interruptible(connection):
        query = current_readings(connection, paths, inputs).query
        try:
            rows: pl.DataFrame = connection.sql(
                f"select {', '.join(DEVICE_READINGS_SCHEMA)} from ({query}) where device_id = $device",
                params={"device": device_id},
            ).pl()
        except duckdb.IOException as error:
            raise FileNotFoundError(str(error)) from error
    # DuckDB calls the zone of the session by its full name.
    rows = rows.with_columns(pl.col("event_ts", "received_at").dt.convert_time_zone("UTC"))
    return rows.filter(wanted).cast(pl.Schema(DEVICE_READINGS_SCHEMA))
