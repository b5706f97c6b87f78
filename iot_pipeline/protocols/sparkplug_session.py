"""The sessions that a Sparkplug B Host Application keeps of edge nodes: a state machine without any I/O.

It puts messages into the order of their sequence numbers and says which nodes have to be born again;
who receives, publishes and stores is the caller's business. Rules are those of chapter 5 of the
specification, version 3.0. Nothing waits for ever and no memory is without bound.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Generic, NamedTuple, TypeVar

from iot_pipeline.protocols.sparkplug_b import MessageType, SparkplugError, SparkplugTopic, parse_topic
from iot_pipeline.protocols.sparkplug_header import Header, read_header
from iot_pipeline.protocols.sparkplug_sequence import SEQUENCE_NUMBERS, after, distance, numbers_between, resume

MOST_NODES = 50_000
MOST_DEVICES = 10_000  # of one node
# What all nodes together may keep waiting; a node that would exceed it waits no longer.
MOST_HELD = 50_000
MOST_HELD_BYTES = 64_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SESSION_MESSAGES = frozenset(MessageType) - {MessageType.NCMD, MessageType.DCMD}

NodeKey = tuple[str, str]  # group, node
T = TypeVar("T")


class Instant(NamedTuple):
    """One moment on two clocks: timers must not follow a wall clock that is set."""

    monotonic: float  # seconds
    utc: datetime


class Liveness(StrEnum):
    """What a host knows of a node or a device."""

    UNKNOWN = "unknown"  # heard, never born
    ONLINE = "online"
    OFFLINE = "offline"
    STALE = "stale"  # was online when the host lost its connection


@dataclass(slots=True)
class DeviceSession:
    """A device of an edge node since the node's last birth."""

    state: Liveness
    since: datetime
    aliases: frozenset[int] = frozenset()


@dataclass(slots=True)
class _Held(Generic[T]):
    message: T
    topic: SparkplugTopic
    header: Header
    size: int
    arrived: float


@dataclass(slots=True)
class NodeSession(Generic[T]):
    """An edge node as its messages tell.

    Attributes:
        state: of the node itself.
        since: when `state` began, UTC: for births and DDEATH the payload's time, for NDEATH the host's.
        bd_seq: session number of the last NBIRTH.
        last_seq: sequence number of the message released last; None before the first birth.
        gaps: how often sequence numbers stayed missing.
        lost: how many numbers that were.
        reordered: messages that waited for an earlier one and were released behind it.
        late: messages that came after they had been given up.
        rebirths: rebirth requests sent.
        stale_deaths: NDEATHs of another session than the present one, which mean nothing.
    """

    key: NodeKey
    since: datetime
    state: Liveness = Liveness.UNKNOWN
    bd_seq: int | None = None
    last_seq: int | None = None
    gaps: int = 0
    lost: int = 0
    reordered: int = 0
    late: int = 0
    rebirths: int = 0
    stale_deaths: int = 0
    devices: dict[str, DeviceSession] = field(default_factory=dict)
    aliases: frozenset[int] = frozenset()
    # Whether the births of this node on this connection were seen: only then are numbers in order.
    synchronized: bool = False
    newest: int = 0  # sequence number of the message received last
    missing: set[int] = field(default_factory=set)  # given up, may still come
    held: dict[int, _Held[T]] = field(default_factory=dict)  # in order of arrival
    rebirth_not_before: float = 0.0

    @property
    def expected(self) -> int:
        """The number that the next message must have."""
        return 0 if self.last_seq is None else after(self.last_seq)


class HostSessions(Generic[T]):
    """All edge nodes of one connection. `T` is whatever the caller calls a message.

    Messages come in by `take` and leave it, or `expire`, or `disconnected`, each exactly once.
    """

    def __init__(self, *, reorder_seconds: float, rebirth_seconds: float) -> None:
        """Begin without any node.

        Args:
            reorder_seconds: the specification's Reorder Timeout; 0 waits for nothing.
            rebirth_seconds: least time between two rebirth requests to one node.
        """
        self._reorder_seconds = reorder_seconds
        self._rebirth_seconds = rebirth_seconds
        self._nodes: dict[NodeKey, NodeSession[T]] = {}
        self._waiting: dict[NodeKey, float] = {}  # node -> when it stops waiting
        self._wanting: dict[NodeKey, None] = {}  # nodes whose rebirth is to be requested
        self._held = self._held_bytes = 0

    @property
    def nodes(self) -> Mapping[NodeKey, NodeSession[T]]:
        """Every node heard so far."""
        return self._nodes

    @property
    def held(self) -> int:
        """Messages that wait for an earlier one."""
        return self._held

    @property
    def deadline(self) -> float | None:
        """When `expire` or `rebirths` next has something to do, on the monotonic clock."""
        wanted = (self._nodes[key].rebirth_not_before for key in self._wanting)
        return min((*self._waiting.values(), *wanted), default=None)

    def take(self, message: T, topic: str, payload: bytes, now: Instant, *, retained: bool = False) -> list[T]:
        """Take a message over; returns what may now be passed on, in order.

        What is no message of an edge node passes at once and changes nothing. So does a retained one:
        it comes out of a broker's store, where the specification wants none, and belongs to no session.
        """
        address = parse_topic(topic)
        if address is None or retained or address.message_type not in _SESSION_MESSAGES:
            return [message]
        node = self._node((address.group, address.node), now)
        if node is None:
            return [message]
        try:
            header = read_header(payload)
        except SparkplugError:
            return [message]
        arrived = _Held(message, address, header, len(payload), now.monotonic)
        if address.message_type is MessageType.NBIRTH:
            return self._born(node, arrived, now)
        if address.message_type is MessageType.NDEATH:
            return self._died(node, arrived, now)
        return self._sequenced(node, arrived, now)

    def expire(self, now: Instant) -> list[T]:
        """What has waited for the whole Reorder Timeout, passed on as it is. Its nodes have to be born again."""
        over = [key for key, until in self._waiting.items() if until <= now.monotonic]
        return [message for key in over for message in self._give_up(self._nodes[key], now)]

    def rebirths(self, now: Instant) -> list[NodeKey]:
        """Nodes to send a rebirth request to, now; each is told once and counted as sent."""
        due = [key for key in self._wanting if self._nodes[key].rebirth_not_before <= now.monotonic]
        for key in due:
            del self._wanting[key]
            node = self._nodes[key]
            node.rebirths += 1
            node.rebirth_not_before = now.monotonic + self._rebirth_seconds
        return due

    def disconnected(self, now: Instant) -> list[T]:
        """The connection is gone: all that is known is stale, and nothing is waited for any more."""
        released = [message for key in list(self._waiting) for message in self._release_all(self._nodes[key], now)]
        for node in self._nodes.values():
            node.synchronized = False
            if node.state is Liveness.ONLINE:
                node.state, node.since = Liveness.STALE, now.utc
            for device in node.devices.values():
                if device.state is Liveness.ONLINE:
                    device.state, device.since = Liveness.STALE, now.utc
        self._wanting.clear()
        return released

    def _node(self, key: NodeKey, now: Instant) -> NodeSession[T] | None:
        node = self._nodes.get(key)
        if node is None and len(self._nodes) < MOST_NODES:
            node = self._nodes[key] = NodeSession(key, now.utc)
        return node

    def _born(self, node: NodeSession[T], birth: _Held[T], now: Instant) -> list[T]:
        # What waits and is older belongs to the session before; the rest has overtaken its own birth.
        sent_ms = birth.header.timestamp_ms or 0
        older = [held for held in node.held.values() if (held.header.timestamp_ms or 0) < sent_ms]
        released = self._release(node, _in_order(older, node.expected), now)
        node.state, node.since = Liveness.ONLINE, _sent(birth.header, now)
        node.bd_seq, node.aliases = birth.header.bd_seq, birth.header.bound
        node.last_seq = node.newest = birth.header.seq or 0
        node.synchronized = True
        node.devices.clear()
        node.missing.clear()
        self._wanting.pop(node.key, None)
        return [*released, birth.message, *self._follow(node, now)]

    def _died(self, node: NodeSession[T], death: _Held[T], now: Instant) -> list[T]:
        if node.state is Liveness.UNKNOWN or death.header.bd_seq != node.bd_seq:
            node.stale_deaths += 1
            return [death.message]
        released = self._release_all(node, now)
        node.synchronized = False
        # By the host's clock: the payload was written when the node connected.
        node.state, node.since = Liveness.OFFLINE, now.utc
        for device in node.devices.values():
            device.state, device.since = Liveness.OFFLINE, now.utc
        return [*released, death.message]

    def _sequenced(self, node: NodeSession[T], arrived: _Held[T], now: Instant) -> list[T]:
        seq = arrived.header.seq
        if not node.synchronized:
            self._wanting[node.key] = None
        if not node.synchronized or seq is None or seq in node.held:
            return self._release(node, [arrived], now)
        node.newest = seq
        if seq == node.expected:
            node.last_seq = seq
            node.missing.discard(seq)
            return [*self._release(node, [arrived], now), *self._follow(node, now)]
        if seq in node.missing:
            node.missing.discard(seq)
            node.late += 1
            return self._release(node, [arrived], now)
        node.held[seq] = arrived
        self._held += 1
        self._held_bytes += arrived.size
        self._waiting.setdefault(node.key, now.monotonic + self._reorder_seconds)
        if self._reorder_seconds <= 0 or self._held > MOST_HELD or self._held_bytes > MOST_HELD_BYTES:
            return self._give_up(node, now)
        return []

    def _follow(self, node: NodeSession[T], now: Instant) -> list[T]:
        """Release what waited for nothing but the message just released."""
        ready = []
        while (following := node.held.get(node.expected)) is not None:
            del node.held[node.expected]
            self._forget(following)
            node.last_seq = following.header.seq
            ready.append(following)
        node.reordered += len(ready)
        self._set_timer(node)
        return self._release(node, ready, now)

    def _give_up(self, node: NodeSession[T], now: Instant) -> list[T]:
        """Go on without what is missing, and ask for a rebirth."""
        present = set(node.held)
        first, expected = node.expected, resume(node.expected, node.newest, present)
        missing = {seq for seq in numbers_between(first, expected) if seq not in present}
        if missing:
            node.gaps += 1
            node.lost += len(missing)
            node.missing |= missing
            self._wanting[node.key] = None
        released = self._release_all(node, now)
        node.missing -= present
        node.last_seq = (expected - 1) % SEQUENCE_NUMBERS
        return released

    def _release_all(self, node: NodeSession[T], now: Instant) -> list[T]:
        return self._release(node, _in_order(node.held.values(), node.expected), now)

    def _release(self, node: NodeSession[T], messages: Iterable[_Held[T]], now: Instant) -> list[T]:
        released = []
        for held in messages:
            if held.header.seq is not None and node.held.get(held.header.seq) is held:
                del node.held[held.header.seq]
                self._forget(held)
            self._apply(node, held, now)
            released.append(held.message)
        self._set_timer(node)
        return released

    def _forget(self, held: _Held[T]) -> None:
        self._held -= 1
        self._held_bytes -= held.size

    def _set_timer(self, node: NodeSession[T]) -> None:
        oldest = next(iter(node.held.values()), None)
        if oldest is None:
            self._waiting.pop(node.key, None)
        else:
            self._waiting[node.key] = oldest.arrived + self._reorder_seconds

    def _apply(self, node: NodeSession[T], held: _Held[T], now: Instant) -> None:
        """What a message, in its turn, says of the node and its devices."""
        header, name = held.header, held.topic.device
        if name is None:
            known = node.aliases
        elif held.topic.message_type is MessageType.DBIRTH:
            if name in node.devices or len(node.devices) < MOST_DEVICES:
                node.devices[name] = DeviceSession(Liveness.ONLINE, _sent(header, now), header.bound)
            return
        else:
            device = node.devices.get(name)
            if held.topic.message_type is MessageType.DDEATH:
                if device is not None:
                    device.state, device.since = Liveness.OFFLINE, _sent(header, now)
                return
            if device is None or device.state is not Liveness.ONLINE:
                self._wanting[node.key] = None
                return
            known = device.aliases
        if not header.used <= known:
            self._wanting[node.key] = None


def _in_order(held: Iterable[_Held[T]], expected: int) -> list[_Held[T]]:
    """By sequence number, counted from the one that is expected."""
    return sorted(held, key=lambda one: distance(expected, one.header.seq or 0))


def _sent(header: Header, now: Instant) -> datetime:
    """The time in the payload, unless it has none that can be one."""
    try:
        return now.utc if header.timestamp_ms is None else _EPOCH + timedelta(milliseconds=header.timestamp_ms)
    except OverflowError:
        return now.utc
