"""What the session rules of Sparkplug B ask of a payload: numbers and aliases, without its values.

A host reads every message twice, once for its order and much later for its content; this is the
cheap first time. Content is `sparkplug_b.decode_payload`'s, what follows from it `sparkplug_session.py`'s.
"""

from dataclasses import dataclass

from google.protobuf.message import DecodeError

from iot_pipeline.protocols.sparkplug_b import BIRTH_DEATH_SEQUENCE, SparkplugError
from iot_pipeline.protocols.sparkplug_schema import PayloadMessage
from iot_pipeline.protocols.sparkplug_sequence import SEQUENCE_NUMBERS


@dataclass(slots=True, frozen=True)
class Header:
    """The part of a payload that sessions are made of.

    Attributes:
        seq: 0..255; None where the payload has none, or none that is a sequence number.
        timestamp_ms: when it was sent, milliseconds since 1970 UTC.
        bd_seq: the session number of an NBIRTH or NDEATH.
        bound: aliases that come with a name, as in births.
        used: aliases without a name, as in data.
    """

    seq: int | None
    timestamp_ms: int | None
    bd_seq: int | None
    bound: frozenset[int]
    used: frozenset[int]


def read_header(data: bytes) -> Header:
    """Read the header of a payload. Raises SparkplugError when the bytes are no payload."""
    message = PayloadMessage()
    bd_seq: int | None = None
    bound: list[int] = []
    used: list[int] = []
    try:
        message.ParseFromString(data)
        for metric in message.metrics:
            name = metric.name
            if name == BIRTH_DEATH_SEQUENCE:
                bd_seq = metric.long_value or metric.int_value
            if metric.HasField("alias"):
                (bound if name else used).append(metric.alias)
    except (DecodeError, UnicodeDecodeError) as error:
        raise SparkplugError(f"not a Sparkplug B payload: {error}") from error
    seq = message.seq if message.HasField("seq") and message.seq < SEQUENCE_NUMBERS else None
    sent_ms = message.timestamp if message.HasField("timestamp") else None
    return Header(seq, sent_ms, bd_seq, frozenset(bound), frozenset(used))
