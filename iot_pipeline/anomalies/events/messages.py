"""The messages behind an event: which landed message told its first and its strangest reading.

Only names of messages; what a message holds is in landing.
"""

from datetime import datetime

import polars as pl
from duckdb import DuckDBPyConnection

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.clock import contiguous_ranges, floor_minute
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings
from iot_pipeline.stats.corrections.applying import current_readings
from iot_pipeline.stats.inputs import minute_input_files
from iot_pipeline.stats.relations import EVENT_SCHEMA
from iot_pipeline.stats.session import engine

_COLUMNS = {"opened_at": "first_message_id", "peak_at": "peak_message_id"}


def with_messages(settings: Settings, events: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """Fill in the messages that are not known yet. One whose reading is gone stays null.

    Args:
        settings: where the data is.
        events: EVENT_SCHEMA.
        before: EVENT_SCHEMA, events of earlier looks: the messages that they name are not looked for again.
    """
    events = _filled(events, _named(before))
    wanted = pl.concat(
        events.filter(pl.col(message).is_null()).select(*SERIES, pl.col(at).alias("event_ts"))
        for at, message in _COLUMNS.items()
    ).unique()
    if wanted.is_empty():
        return events
    return _filled(events, _messages(settings, wanted))


def _named(events: pl.DataFrame) -> pl.DataFrame:
    """SERIES, event_ts and message_id of the readings that events name."""
    named = [
        events.select(*SERIES, pl.col(at).alias("event_ts"), pl.col(message).alias("message_id"))
        for at, message in _COLUMNS.items()
    ]
    known = pl.concat(named).filter(pl.col("message_id").is_not_null())
    return known.unique([*SERIES, "event_ts"], keep="first", maintain_order=True)


def _filled(events: pl.DataFrame, known: pl.DataFrame) -> pl.DataFrame:
    for at, message in _COLUMNS.items():
        events = events.join(
            known.rename({"event_ts": at, "message_id": "found"}), on=[*SERIES, at], how="left", nulls_equal=True
        ).with_columns(pl.coalesce(message, "found").alias(message))
        events = events.drop("found")
    return events.select(list(EVENT_SCHEMA))


def _messages(settings: Settings, wanted: pl.DataFrame) -> pl.DataFrame:
    """SERIES, event_ts and message_id of the readings in `wanted`, those that exist."""
    minutes = {floor_minute(instant) for instant in wanted["event_ts"].to_list()}
    with engine(settings.paths) as connection:
        connection.register("wanted", wanted.to_arrow())
        found = [
            _messages_between(connection, settings.paths, first, last).cast(
                pl.Schema({**wanted.schema, "message_id": pl.String()})
            )
            for first, last in contiguous_ranges(minutes)
        ]
    return pl.concat(found).unique([*SERIES, "event_ts"], keep="first", maintain_order=True)


def _messages_between(
    connection: DuckDBPyConnection, paths: DataPaths, first: datetime, last: datetime
) -> pl.DataFrame:
    query = current_readings(connection, paths, minute_input_files(paths, first, last)).query
    rows: pl.DataFrame = connection.sql(
        f"""select wanted.*, readings.message_id
        from ({query}) as readings
        inner join wanted
            on readings.device_id = wanted.device_id
            and readings.metric = wanted.metric
            and readings.unit is not distinct from wanted.unit
            and readings.event_ts = wanted.event_ts"""
    ).pl()
    return rows.with_columns(pl.col("event_ts").dt.convert_time_zone("UTC"))
