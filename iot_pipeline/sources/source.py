"""What the collector asks of a connection, whatever the protocol.

A new protocol is a new implementation of `Source`; the collector, the files and the
acknowledgement rule stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from iot_pipeline.landing.message import Message


class Receipt(NamedTuple):
    """What a source needs to acknowledge a message: valid only on the connection that delivered it."""

    connection: int
    packet: int


class Received(NamedTuple):
    """A message and its receipt; None when the sender expects no acknowledgement."""

    message: Message
    receipt: Receipt | None


@dataclass(slots=True)
class SourceState:
    """What a source says of itself for the heartbeat.

    Attributes:
        connected: everything that was asked for is subscribed.
        reconnects: connections made after the first one.
        duplicates_flagged: deliveries that the broker marked as repeated.
        unacked: messages delivered on this connection and not acknowledged.
        problem: what is wrong at the moment, in words; None when nothing is.
        window: how many messages the sender leaves unacknowledged at most; None when it does not say.
        counts: what only this kind of source counts since it was made, by name.
        session_present: whether the broker knew our session when we connected; None where there is none.
    """

    connected: bool = False
    reconnects: int = 0
    duplicates_flagged: int = 0
    unacked: int = 0
    problem: str | None = None
    window: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    session_present: bool | None = None


class Source(Protocol):
    """A connection that delivers messages and can be told which of them are durable.

    One thread calls everything except `wake`. A source reconnects by itself and raises nothing for
    a broker that is away: that is a `problem`, not the end of the collector. `poll` raises
    ConfigurationError where going on would do harm until a person has changed something.
    """

    @property
    def address(self) -> str:
        """`host:port`, fit to be shown."""
        ...

    @property
    def state(self) -> SourceState:
        """Counters and condition, as of the last call."""
        ...

    def poll(self, timeout: float) -> list[Received]:
        """Messages in order of arrival; waits at most `timeout` seconds for the first one."""
        ...

    def rest(self, timeout: float) -> None:
        """Wait at most `timeout` seconds without taking a message, so that the broker queues instead."""
        ...

    def acknowledge(self, receipts: Sequence[Receipt]) -> None:
        """Tell the sender that these messages are durable, in this order.

        Receipts of an earlier connection are passed over: the broker delivers their messages again,
        and their numbers may meanwhile mean others.
        """
        ...

    def wake(self) -> None:
        """Make a waiting `poll` or `rest` return now. The only call allowed from other threads."""
        ...

    def finish(self) -> list[Received]:
        """Take nothing new; what was received and not handed on, because it waited for its turn. `close` follows."""
        ...

    def close(self) -> None:
        """Send what is still to be sent and disconnect; the session stays at the broker."""
        ...
