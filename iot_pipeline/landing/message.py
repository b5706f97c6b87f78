"""A received message, and the columns under which it is landed.

What a payload means is the business of `readings`; how messages become files, of `writer.py`.
"""

from datetime import datetime

import msgspec
import polars as pl

LANDING_SCHEMA: dict[str, pl.DataType] = {
    "received_at": pl.Datetime("us", "UTC"),
    "source": pl.String(),
    "topic": pl.String(),
    "payload": pl.Binary(),
    "qos": pl.UInt8(),
    "retain": pl.Boolean(),
    "collector": pl.String(),
    "batch": pl.Int64(),
    "row": pl.Int32(),
}


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message as a source received it.

    A struct, because tens of thousands a second are made: a frozen dataclass costs eight times as much,
    and the garbage collector would walk over every one that waits for its batch.

    Attributes:
        received_at: wall clock of this machine when the message was read, UTC.
        source: name of the connection, e.g. `mqtt`.
        topic: topic under which it was published.
        payload: its bytes, untouched.
        qos: quality of service of the delivery (0, 1 or 2), which may be lower than the publisher's.
        retain: whether the broker sent it from its store instead of from a publisher.
    """

    received_at: datetime
    source: str
    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


def message_id(collector: str, batch: int, row: int) -> str:
    """The identity that a message and its readings carry for ever: `<collector>-<batch>-<row>`."""
    return f"{collector}-{batch}-{row}"
