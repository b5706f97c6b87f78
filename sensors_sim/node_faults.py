"""What goes wrong with an edge node rather than with its readings: it dies, skips a number, swaps two messages.

These try a Sparkplug host: its deaths, its reordering and its rebirth requests. Typed faults of
readings are in `faults.py`; here births stay whole and only data goes astray.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from enum import StrEnum

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.protocols.sparkplug_b import MessageType, decode_payload, parse_topic
from sensors_sim.fault_plan import Cadence, FaultKind
from sensors_sim.fleet import Message, to_us
from sensors_sim.ice_plant import DEVICES, METRIC, IcePlant, device_id
from sensors_sim.labels import Label, LabelSink
from sensors_sim.shapes import SECOND_US, between, key_of


class NodeFault(StrEnum):
    """How an edge node misbehaves."""

    DIE = "die"  # the connection is cut without a word; the broker publishes the will
    SKIP = "skip"  # a message is never sent, though its sequence number is used up
    REORDER = "reorder"  # two messages are sent in the wrong order


CADENCES = {
    NodeFault.DIE: Cadence((45, 75), (180, 300)),
    NodeFault.SKIP: Cadence((20, 40), (60, 120)),
    NodeFault.REORDER: Cadence((10, 20), (30, 60)),
}


def parse_node_faults(names: Sequence[str]) -> tuple[NodeFault, ...]:
    """Faults by name. Raises ConfigurationError for one that is unknown."""
    for name in names:
        if name not in list(NodeFault):
            raise ConfigurationError.unknown_value("sparkplug-faults", name, NodeFault)
    return tuple(NodeFault(name) for name in names)


class NodeFaults:
    """Faults of one node by a timetable that follows from the seed, or when they are asked for.

    Args:
        kinds: which faults happen by themselves.
        seed: equal seeds give equal times.
        start: when the simulation begins (UTC).
        labels: readings that never arrive are labelled `gap` here.
        rate: how often faults happen, as a multiple of the timetable's own.
    """

    def __init__(
        self, kinds: Sequence[NodeFault], *, seed: int, start: datetime, labels: LabelSink, rate: float = 1.0
    ) -> None:
        self._labels = labels
        self._times = {kind: _timetable(kind, seed, to_us(start), rate) for kind in kinds}
        self._next = {kind: next(times) for kind, times in self._times.items()}
        self._asked: set[NodeFault] = set()
        self._held: Message | None = None
        self._died_us: int | None = None

    def ask(self, kind: NodeFault) -> None:
        """Let it happen at the next opportunity."""
        self._asked.add(kind)

    def apply(self, messages: Iterable[Message], now: datetime) -> Iterator[Message]:
        """The messages that leave the node, in the order in which they do."""
        for message in messages:
            topic = parse_topic(message.topic)
            if topic is None or topic.message_type is not MessageType.DDATA or topic.device is None:
                yield from self._released()
                yield message
            elif self._due(NodeFault.SKIP, now):
                self._label_lost(topic.device, message.payload)
            elif self._held is None and self._due(NodeFault.REORDER, now):
                self._held = message
            else:
                yield message
                yield from self._released()

    def dies(self, now: datetime) -> bool:
        """Whether the connection is to be cut now."""
        if self._died_us is not None or not self._due(NodeFault.DIE, now):
            return False
        self._died_us = to_us(now)
        return True

    def born_again(self, now: datetime) -> None:
        """A new session has begun: what was not sent since the death is missing."""
        self._held = None
        if self._died_us is None:
            return
        for device in DEVICES:
            self._label(device.name, self._died_us, to_us(now))
        self._died_us = None

    def _released(self) -> Iterator[Message]:
        if self._held is not None:
            held, self._held = self._held, None
            yield held

    def _due(self, kind: NodeFault, now: datetime) -> bool:
        if kind in self._asked:
            self._asked.discard(kind)
            return True
        if kind not in self._next or self._next[kind] > to_us(now):
            return False
        while self._next[kind] <= to_us(now):
            self._next[kind] = next(self._times[kind])
        return True

    def _label_lost(self, device: str, payload: bytes) -> None:
        for metric in decode_payload(payload).metrics:
            at_us = (metric.timestamp_ms or 0) * 1000
            self._label(device, at_us, at_us)

    def _label(self, device: str, start_us: int, end_us: int) -> None:
        self._labels.write(Label(IcePlant.name, device_id(device), METRIC, FaultKind.GAP, start_us, end_us, None))


def _timetable(kind: NodeFault, seed: int, start_us: int, rate: float) -> Iterator[int]:
    cadence, key, number = CADENCES[kind], key_of(kind), 0
    at_us = start_us + int(between(*cadence.first_s, seed, key, 0) / rate * SECOND_US)
    while True:
        yield at_us
        number += 1
        at_us += int(between(*cadence.every_s, seed, key, number) / rate * SECOND_US)
