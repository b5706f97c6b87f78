"""From what decoders collected to frames in the columns of `schema.py`.

Pure: messages and a sink in, frames out, equal for equal messages. Nothing is written here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.readings.decoder import MessageDecoder
from iot_pipeline.readings.schema import (
    BIRTH_SCHEMA,
    IDENTITY,
    PAYLOAD_KEPT,
    QUARANTINE_SCHEMA,
    READING_SCHEMA,
)
from iot_pipeline.readings.sink import Row, Sink

ARRIVAL = ("received_at", "collector", "batch", "row")
STORED_ORDER = ("device_id", "metric", "event_ts", "unit")
_ROW_SCHEMA: dict[str, pl.DataType] = {
    "message": pl.UInt32(),
    "event_us": pl.Int64(),
    "device_id": pl.String(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "text": pl.String(),
    "unit": pl.String(),
    "quality": pl.String(),
}

_NO_READINGS = pl.DataFrame(schema={**READING_SCHEMA, "message": pl.UInt32()})
_NO_MESSAGES = pl.DataFrame(schema={**LANDING_SCHEMA, "message_id": pl.String()})


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the messages of some landed rows say.

    `readings` has READING_SCHEMA plus `message`, the row in `messages`; duplicates are out, order is
    that of arrival. `found` counts readings with duplicates.
    """

    messages: pl.DataFrame
    readings: pl.DataFrame
    found: pl.Series
    sink: Sink


def decode_frame(landed: pl.DataFrame, decoder: MessageDecoder) -> Decoded:
    """Decode landed rows (LANDING_SCHEMA, any order) in their order of arrival; first copies win."""
    if landed.is_empty():
        return Decoded(_NO_MESSAGES, _NO_READINGS, _NO_READINGS["message"], Sink())
    messages = landed.sort(ARRIVAL).with_columns(
        message_id=pl.format("{}-{}-{}", "collector", "batch", "row"),
    )
    sink = Sink()
    received = messages["received_at"].dt.epoch("us")
    decoder.decode_all(zip(messages["topic"], messages["payload"], received, strict=True), sink)
    rows = _rows(sink.rows)
    kept = rows.unique(
        subset=[name if name != "event_ts" else "event_us" for name in IDENTITY], keep="first", maintain_order=True
    )
    told = messages.select("received_at", "source", "message_id")[kept["message"]]
    readings = pl.concat([kept, told], how="horizontal").with_columns(
        event_ts=pl.col("event_us").cast(READING_SCHEMA["event_ts"])
    )
    return Decoded(messages, readings.select([*READING_SCHEMA, "message"]), rows["message"], sink)


def _rows(rows: list[Row]) -> pl.DataFrame:
    columns: Sequence[Sequence[object]] = list(zip(*rows, strict=True)) if rows else [()] * len(_ROW_SCHEMA)
    return pl.DataFrame(
        [pl.Series(name, column, kind) for (name, kind), column in zip(_ROW_SCHEMA.items(), columns, strict=True)]
    )


def quarantine_frame(decoded: Decoded, decoder: MessageDecoder) -> pl.DataFrame:
    """What could not be read, in order of arrival (QUARANTINE_SCHEMA)."""
    problems = decoded.sink.problems
    if not problems:
        return pl.DataFrame(schema=QUARANTINE_SCHEMA)
    messages = decoded.messages[[problem.message for problem in problems]]
    mappings = [decoder.mapping_of(topic) for topic in messages["topic"]]
    return messages.select(
        "received_at",
        "source",
        "topic",
        pl.col("payload").bin.slice(0, PAYLOAD_KEPT),
        payload_size=pl.col("payload").bin.size().cast(pl.Int64),
        reason=pl.Series([problem.reason.value for problem in problems], dtype=pl.String),
        detail=pl.Series([problem.detail for problem in problems], dtype=pl.String),
        mapping=pl.Series([mapping and mapping.name for mapping in mappings], dtype=pl.String),
        mapping_version=pl.Series([mapping and mapping.version for mapping in mappings], dtype=pl.String),
        message_id="message_id",
        field=pl.Series([problem.field for problem in problems], dtype=pl.String),
    ).select(list(QUARANTINE_SCHEMA))


def birth_frame(decoded: Decoded, is_birth: pl.Series) -> pl.DataFrame:
    """The Sparkplug births among the messages, in order of arrival (BIRTH_SCHEMA)."""
    return decoded.messages.filter(is_birth).select(list(BIRTH_SCHEMA))
