"""Columns of what this stage writes, and the reasons for which something cannot be read.

All instants are UTC with microseconds. Where files lie is in `store.py` and `trees.py`.
"""

from enum import StrEnum

import polars as pl

from iot_pipeline.trees import UTC_MICROSECONDS

READING_SCHEMA: dict[str, pl.DataType] = {
    "event_ts": UTC_MICROSECONDS,  # when it happened, as the device says
    "received_at": UTC_MICROSECONDS,  # when the collector got the message
    "source": pl.String(),
    "device_id": pl.String(),
    "metric": pl.String(),
    "value": pl.Float64(),  # null for text
    "text": pl.String(),  # states; and the exact digits of integers past 2^53
    "unit": pl.String(),  # null: unknown
    "quality": pl.String(),  # good, uncertain or bad
    "message_id": pl.String(),
}
# Two readings with the same identity are one reading told twice; a null unit counts as a value.
IDENTITY = ("device_id", "metric", "unit", "event_ts")

QUARANTINE_SCHEMA: dict[str, pl.DataType] = {
    "received_at": UTC_MICROSECONDS,
    "source": pl.String(),
    "topic": pl.String(),
    "payload": pl.Binary(),  # the first PAYLOAD_KEPT bytes
    "payload_size": pl.Int64(),  # bytes of the whole payload
    "reason": pl.String(),
    "detail": pl.String(),
    "mapping": pl.String(),
    "mapping_version": pl.String(),
    "message_id": pl.String(),
    "field": pl.String(),  # null: the whole message
    "device_id": pl.String(),  # null: the topic does not tell whose it is
}
PAYLOAD_KEPT = 4096

DEVICE_SCHEMA: dict[str, pl.DataType] = {
    "device_id": pl.String(),
    "fleet": pl.String(),
    "attributes": pl.String(),  # a JSON object with sorted keys
    "first_event_ts": UTC_MICROSECONDS,  # null: attributes only
    "last_event_ts": UTC_MICROSECONDS,
    "last_received_at": UTC_MICROSECONDS,
    "reading_count": pl.Int64(),
    # Of Sparkplug devices, when a birth or death told it: online or offline. `host` marks the row of the
    # Host Application itself, named by its topic: its connection began at `state_since`.
    "state": pl.String(),
    "state_since": UTC_MICROSECONDS,
    "reading_duplicates": pl.Int64(),  # readings told again within the landing minute
}

INTAKE_SCHEMA: dict[str, pl.DataType] = {
    "minute": UTC_MICROSECONDS,  # landing minute
    "messages": pl.Int64(),  # = decoded + duplicates + no_reading + quarantined
    "decoded": pl.Int64(),  # at least one reading stored
    "duplicates": pl.Int64(),  # readings, but each a repetition of a stored one
    "no_reading": pl.Int64(),  # nothing to store by rule: deaths, commands, nulls, empty payloads
    "quarantined": pl.Int64(),  # nothing could be read
    "readings": pl.Int64(),  # stored
    "reading_duplicates": pl.Int64(),
    "quarantined_fields": pl.Int64(),  # fields or records that could not be read, in any message
    "null_fields": pl.Int64(),
    "lag_max_seconds": pl.Float64(),  # received_at - event_ts of stored readings; null without any
    "lag_p95_seconds": pl.Float64(),
    "built_at": UTC_MICROSECONDS,
    "mapping_versions": pl.String(),  # a JSON object: mapping name to version, of the mappings used
    "touched_minutes": pl.List(UTC_MICROSECONDS),  # event minutes whose files changed in this build
    "touched_days": pl.List(pl.Date()),  # days that got readings older than the minute window
}

BIRTH_SCHEMA: dict[str, pl.DataType] = {
    "topic": pl.String(),
    "received_at": UTC_MICROSECONDS,
    "payload": pl.Binary(),
    "message_id": pl.String(),
}


class QuarantineReason(StrEnum):
    """Why a message, a record of it or a field of it could not be read."""

    NO_MAPPING = "no_mapping"  # no mapping's topic pattern matches
    BAD_JSON = "bad_json"
    BAD_LINE = "bad_line"  # a line that is no InfluxDB line protocol
    BAD_ENCODING = "bad_encoding"  # text that is not UTF-8
    BAD_PROTOBUF = "bad_protobuf"
    TOO_LARGE = "too_large"  # longer than the setting max_payload_bytes
    WRONG_SHAPE = "wrong_shape"  # readable, but not built as the mapping says
    NO_DEVICE = "no_device"
    DEVICE_MISMATCH = "device_mismatch"  # two places name different devices
    NO_TIMESTAMP = "no_timestamp"
    CLOCK = "clock"  # event time outside what is allowed
    BAD_VALUE = "bad_value"
    UNSUPPORTED_TYPE = "unsupported_type"  # a value that is no single number, truth or text
    UNKNOWN_ALIAS = "unknown_alias"  # Sparkplug data without the birth that names it


class Quality(StrEnum):
    """How far a reading may be trusted, as its device or its mapping says."""

    GOOD = "good"
    UNCERTAIN = "uncertain"
    BAD = "bad"
