"""Devices that were heard in some messages: what they told of themselves, and when.

Readings and quarantine are made in `frames.py`; the table of all devices is dbt's `dim_device`.
"""

import msgspec
import polars as pl

from iot_pipeline.readings.decoder import MessageDecoder
from iot_pipeline.readings.frames import Decoded
from iot_pipeline.readings.schema import DEVICE_SCHEMA


def device_frame(decoded: Decoded, decoder: MessageDecoder) -> pl.DataFrame:
    """Devices that were heard, by name (DEVICE_SCHEMA)."""
    if decoded.messages.is_empty():
        return pl.DataFrame(schema=DEVICE_SCHEMA)
    heard = (
        decoded.readings.sort("message", maintain_order=True)
        .group_by("device_id")
        .agg(
            first_event_ts=pl.col("event_ts").min(),
            last_event_ts=pl.col("event_ts").max(),
            last_received_at=pl.col("received_at").max(),
            reading_count=pl.len().cast(pl.Int64),
            message=pl.col("message").last(),
        )
    )
    topics = decoded.messages["topic"]
    fleets = {topic: mapping.mapping.fleet for topic in topics.unique() if (mapping := decoder.mapping_of(topic))}
    by_message = {row[0]: fleets.get(topics[row[1]], "") for row in heard.select("device_id", "message").iter_rows()}
    told = decoded.sink.devices
    received = decoded.messages["received_at"]
    names = sorted({*by_message, *told})
    described = pl.DataFrame(
        {
            "device_id": names,
            "fleet": [told[name].fleet if name in told else by_message[name] for name in names],
            "attributes": [_attributes(told[name].attributes) if name in told else "{}" for name in names],
            "told_at": [received[told[name].message] if name in told else None for name in names],
        },
        schema={"device_id": pl.String(), "fleet": pl.String(), "attributes": pl.String(), "told_at": received.dtype},
    )
    return (
        described.join(heard, on="device_id", how="left")
        .with_columns(
            last_received_at=pl.coalesce("last_received_at", "told_at"),
            reading_count=pl.col("reading_count").fill_null(0),
        )
        .select(list(DEVICE_SCHEMA))
        .sort("device_id")
    )


def _attributes(values: object) -> str:
    return msgspec.json.encode(values, order="sorted").decode()
