"""Devices that were heard in some messages: what they told of themselves, whether they are there, and when.

Readings and quarantine are made in `frames.py`; the table of all devices is dbt's `dim_device`.
"""

import contextlib
from datetime import UTC, datetime, timedelta

import msgspec
import polars as pl

from iot_pipeline.protocols.sparkplug_b import SparkplugError
from iot_pipeline.protocols.sparkplug_state import decode_state, state_topic
from iot_pipeline.readings.decoding.decoder import MessageDecoder
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.frames import Decoded
from iot_pipeline.readings.schema import DEVICE_SCHEMA

HOST = "host"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS = timedelta(milliseconds=1)
CLOCKS_DIFFER_SECONDS = 1.0


def device_frame(decoded: Decoded, decoder: MessageDecoder, host_id: str | None = None) -> pl.DataFrame:
    """Devices that were heard, by name, and the Sparkplug host if it was announced (DEVICE_SCHEMA)."""
    if decoded.messages.is_empty():
        return pl.DataFrame(schema=DEVICE_SCHEMA)
    devices = (
        _heard(decoded, decoder)
        .join(_described(decoded.sink), on="device_id", how="full", coalesce=True)
        .join(_states(decoded.sink), on="device_id", how="full", coalesce=True)
        .with_columns(
            fleet=pl.coalesce("told_fleet", "state_fleet", "fleet"),
            attributes=pl.col("attributes").fill_null("{}"),
            last_received_at=pl.coalesce(
                "last_received_at",
                pl.lit(decoded.messages["received_at"]).gather(pl.max_horizontal("told_in", "state_in")),
            ),
            reading_count=pl.col("reading_count").fill_null(0),
            reading_duplicates=pl.col("reading_duplicates").fill_null(0),
            state_since=pl.col("state_since").cast(DEVICE_SCHEMA["state_since"]),
        )
        .select(list(DEVICE_SCHEMA))
    )
    return pl.concat([devices, _host(decoded.messages, host_id)]).sort("device_id")


def _heard(decoded: Decoded, decoder: MessageDecoder) -> pl.DataFrame:
    """Devices with readings, by name, with the fleet of the mapping that took their last message."""
    topics = decoded.messages["topic"]
    fleets = {topic: mapping.mapping.fleet for topic in topics.unique() if (mapping := decoder.mapping_of(topic))}
    fleet = topics.replace_strict(fleets, default="", return_dtype=pl.String)
    return decoded.heard().with_columns(fleet=pl.lit(fleet).gather(pl.col("message")))


def _described(sink: Sink) -> pl.DataFrame:
    """Devices that told something of themselves, and the message in which they last did."""
    devices = sink.devices.values()
    return pl.DataFrame(
        {
            "device_id": list(sink.devices),
            "told_fleet": [device.fleet for device in devices],
            "attributes": [_attributes(device.attributes) for device in devices],
            "told_in": [device.message for device in devices],
        },
        schema={"device_id": pl.String, "told_fleet": pl.String, "attributes": pl.String, "told_in": pl.UInt32},
    )


def _states(sink: Sink) -> pl.DataFrame:
    """Devices of which it was told whether they are there, and the message that said it last."""
    told = sink.states.values()
    return pl.DataFrame(
        {
            "device_id": list(sink.states),
            "state_fleet": [one.fleet for one in told],
            "state": [one.state.value for one in told],
            "state_since": [one.since_us for one in told],
            "state_in": [one.message for one in told],
        },
        schema={
            "device_id": pl.String,
            "state_fleet": pl.String,
            "state": pl.String,
            "state_since": pl.Int64,
            "state_in": pl.UInt32,
        },
    )


def _host(messages: pl.DataFrame, host_id: str | None) -> pl.DataFrame:
    """Our own host's newest connection: what was online before it may be gone since, unheard (DEVICE_SCHEMA)."""
    topic = state_topic(host_id or "")
    told = messages.filter(pl.col("topic") == topic).select("received_at", "payload")
    announced = {}
    for received_at, payload in told.iter_rows() if host_id else ():
        with contextlib.suppress(SparkplugError):
            state = decode_state(payload)
            # All announcements of one connection carry the time of its CONNECT, which has passed.
            if state.online and state.timestamp / 1000 <= received_at.timestamp() + CLOCKS_DIFFER_SECONDS:
                announced[state.timestamp] = received_at
    newest = max(announced, default=0)
    row = {
        "device_id": topic,
        "fleet": "",
        "attributes": "{}",
        "reading_count": 0,
        "reading_duplicates": 0,
        "state": HOST,
    }
    rows = [{**row, "last_received_at": announced[newest], "state_since": EPOCH + newest * MS}] if announced else []
    return pl.DataFrame(rows, schema=DEVICE_SCHEMA)


def _attributes(values: object) -> str:
    return msgspec.json.encode(values, order="sorted").decode()
