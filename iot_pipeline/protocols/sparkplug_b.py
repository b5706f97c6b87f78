"""Sparkplug B payloads and topics: bytes to plain dataclasses and back.

Names bound to aliases by births, sequence numbers and node states are for the callers: nothing
here remembers anything between two payloads.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from google.protobuf.message import DecodeError

from iot_pipeline.errors import IotError
from iot_pipeline.protocols.sparkplug_schema import PayloadMessage
from iot_pipeline.protocols.sparkplug_values import COMPOSITE, DataType, MetricValue, typed_value

__all__ = [
    "BIRTH_DEATH_SEQUENCE",
    "COMPOSITE",
    "NAMESPACE",
    "DataType",
    "MessageType",
    "Metric",
    "MetricValue",
    "Payload",
    "SparkplugError",
    "SparkplugTopic",
    "decode_payload",
    "encode_payload",
    "parse_topic",
    "typed_value",
]

NAMESPACE = "spBv1.0"
BIRTH_DEATH_SEQUENCE = "bdSeq"


class SparkplugError(IotError):
    """Bytes that are no Sparkplug B payload, or a value that its datatype cannot carry."""


class MessageType(StrEnum):
    """Third level of a Sparkplug topic."""

    NBIRTH = "NBIRTH"
    NDEATH = "NDEATH"
    NDATA = "NDATA"
    NCMD = "NCMD"
    DBIRTH = "DBIRTH"
    DDEATH = "DDEATH"
    DDATA = "DDATA"
    DCMD = "DCMD"

    @property
    def is_birth(self) -> bool:
        """Whether it binds aliases to names, datatypes and properties."""
        return self in (MessageType.NBIRTH, MessageType.DBIRTH)

    @property
    def is_death(self) -> bool:
        """Whether it ends what a birth began."""
        return self in (MessageType.NDEATH, MessageType.DDEATH)

    @property
    def is_data(self) -> bool:
        """Whether it reports values by alias or by name."""
        return self in (MessageType.NDATA, MessageType.DDATA)


@dataclass(slots=True, frozen=True)
class SparkplugTopic:
    """`spBv1.0/{group}/{message_type}/{node}[/{device}]`; no device for messages of the node."""

    group: str
    message_type: MessageType
    node: str
    device: str | None = None

    def __str__(self) -> str:
        levels = [NAMESPACE, self.group, self.message_type.value, self.node]
        return "/".join(levels if self.device is None else [*levels, self.device])


@dataclass(slots=True)
class Metric:
    """One metric. `name` is empty where the payload gave an alias only.

    `value` is None when `is_null`, and when the payload carried none that fits `datatype` (a
    number outside its range, a DataSet, a Template). `datatype` UNKNOWN means that the payload
    did not tell it, as data messages often do: then an integer in `value` is the unsigned wire
    value until `typed_value` is asked with the datatype of the birth. `timestamp_ms` counts
    milliseconds since 1970 UTC.
    """

    name: str = ""
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: DataType = DataType.UNKNOWN
    value: MetricValue | None = None
    is_null: bool = False
    is_historical: bool = False
    is_transient: bool = False
    properties: Mapping[str, MetricValue] = field(default_factory=dict)


@dataclass(slots=True)
class Payload:
    """A Sparkplug B payload. `seq` is 0..255; absent in NDEATH."""

    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: list[Metric] = field(default_factory=list)


_KNOWN = {int(kind): kind for kind in DataType}
_COMPOSITE_FIELDS = {
    "dataset_value": DataType.DATASET,
    "template_value": DataType.TEMPLATE,
    "extension_value": DataType.BYTES,
}
_COMPOSITE_PROPERTIES = frozenset({"propertyset_value", "propertysets_value", "extension_value"})


def parse_topic(topic: str) -> SparkplugTopic | None:
    """Take a Sparkplug topic apart; None for anything else, host STATE topics included."""
    levels = topic.split("/")
    if len(levels) not in (4, 5) or levels[0] != NAMESPACE or not all(levels):
        return None
    if levels[2] not in MessageType.__members__:
        return None
    kind = MessageType(levels[2])
    if kind.value.startswith("D") != (len(levels) == 5):
        return None
    return SparkplugTopic(levels[1], kind, levels[3], levels[4] if len(levels) == 5 else None)


def decode_payload(data: bytes) -> Payload:
    """Decode the bytes of one message. Raises SparkplugError when they are no such payload."""
    message = PayloadMessage()
    try:
        message.ParseFromString(data)
        payload = Payload(
            message.timestamp if message.HasField("timestamp") else None,
            message.seq if message.HasField("seq") else None,
            [_decode_metric(metric) for metric in message.metrics],
        )
    except (DecodeError, UnicodeDecodeError) as error:
        raise SparkplugError(f"not a Sparkplug B payload: {error}") from error
    if payload.timestamp_ms is None and payload.seq is None and not payload.metrics:
        raise SparkplugError("not a Sparkplug B payload: no timestamp, no seq and no metrics")
    return payload


def _decode_metric(message: Any) -> Metric:  # a protobuf class made at run time
    datatype = _KNOWN.get(message.datatype, DataType.UNKNOWN)
    present = message.WhichOneof("value")
    is_null = message.is_null
    if present in _COMPOSITE_FIELDS:
        datatype, present = (datatype if datatype in COMPOSITE else _COMPOSITE_FIELDS[present]), None
    return Metric(
        message.name,
        message.alias if message.HasField("alias") else None,
        message.timestamp if message.HasField("timestamp") else None,
        datatype,
        None if is_null or present is None else typed_value(getattr(message, present), datatype),
        is_null,
        message.is_historical,
        message.is_transient,
        _decode_properties(message.properties) if message.HasField("properties") else {},
    )


def _decode_properties(message: Any) -> dict[str, MetricValue]:
    found: dict[str, MetricValue] = {}
    for key, item in zip(message.keys, message.values, strict=False):
        present = item.WhichOneof("value")
        if present is None or present in _COMPOSITE_PROPERTIES or item.is_null:
            continue
        value = typed_value(getattr(item, present), _KNOWN.get(item.type, DataType.UNKNOWN))
        if value is not None:
            found[key] = value
    return found


def encode_payload(payload: Payload) -> bytes:
    """Encode a payload. Raises SparkplugError for a value that its datatype cannot carry."""
    message = PayloadMessage()
    try:
        if payload.timestamp_ms is not None:
            message.timestamp = payload.timestamp_ms
        if payload.seq is not None:
            message.seq = payload.seq
        for metric in payload.metrics:
            _encode_metric(metric, message.metrics.add())
        encoded: bytes = message.SerializeToString()
    except (TypeError, ValueError, OverflowError) as error:
        raise SparkplugError(f"payload cannot be encoded: {error}") from error
    return encoded


def _encode_metric(metric: Metric, message: Any) -> None:
    if metric.name:
        message.name = metric.name
    if metric.alias is not None:
        message.alias = metric.alias
    if metric.timestamp_ms is not None:
        message.timestamp = metric.timestamp_ms
    if metric.datatype is not DataType.UNKNOWN:
        message.datatype = int(metric.datatype)
    for flag in ("is_null", "is_historical", "is_transient"):
        if getattr(metric, flag):
            setattr(message, flag, True)
    if metric.value is not None and not metric.is_null:
        _encode_value(metric.value, metric.datatype, message)
    for key, value in metric.properties.items():
        item = message.properties.values.add()
        message.properties.keys.append(key)
        item.type = int(_natural_type(value))
        _encode_value(value, _natural_type(value), item)


def _natural_type(value: MetricValue) -> DataType:
    if isinstance(value, bool):
        return DataType.BOOLEAN
    if isinstance(value, int):
        return DataType.INT64
    return DataType.DOUBLE if isinstance(value, float) else DataType.STRING


def _encode_value(value: MetricValue, datatype: DataType, message: Any) -> None:
    carried = typed_value(value, datatype)
    if carried is None or (isinstance(value, int) and carried != value):
        raise SparkplugError(f"{datatype.name} cannot carry {value!r}")
    if isinstance(value, bool):
        message.boolean_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, bytes):
        message.bytes_value = value
    elif datatype is DataType.FLOAT:
        message.float_value = value
    elif isinstance(value, float) or datatype is DataType.DOUBLE:
        message.double_value = value
    elif datatype in (DataType.INT64, DataType.UINT64, DataType.DATETIME, DataType.UNKNOWN):
        message.long_value = value % (1 << 64)
    else:
        message.int_value = value % (1 << 32)
