"""Sparkplug births in force: which alias is which metric of which edge node or device.

A birth counts from its arrival until the next one, or the death, of the same node or device. A
device's birth older than its node's newest birth counts no more, and one whose node died neither:
aliases are bound anew in every session. The death of another session (`bdSeq`) ends nothing.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from iot_pipeline.protocols.sparkplug_b import (
    BIRTH_DEATH_SEQUENCE,
    DataType,
    MessageType,
    Metric,
    Payload,
    SparkplugError,
    SparkplugTopic,
    decode_payload,
    parse_topic,
)
from iot_pipeline.readings.language.fields import Json

EdgeKey = tuple[str, str, str | None]  # group, node, device
# Landed births and deaths older than what is known, newest first: (topic, payload) of one landing minute each.
OlderBirths = Iterator[list[tuple[str, bytes]]]


@dataclass(slots=True)
class Birth:
    """One birth certificate."""

    by_name: dict[str, Metric]
    by_alias: dict[int, Metric]
    fields: dict[str, Json]  # values that are plain, by metric name: what templates read
    session: int  # grows with every birth and death, in order of arrival
    bd_seq: int | None = None
    units: dict[str, str | None] = field(default_factory=dict)  # worked out once a metric


class _Death(NamedTuple):
    """An NDEATH read backwards, whose birth is not known yet."""

    bd_seq: int | None
    session: int


def binds_names(topic: SparkplugTopic | None) -> bool:
    """Whether messages of this topic begin or end what aliases mean: these are kept for later minutes."""
    return topic is not None and (topic.message_type.is_birth or topic.message_type.is_death)


def edge_key(topic: SparkplugTopic) -> EdgeKey:
    """What a birth belongs to."""
    return topic.group, topic.node, topic.device


def session_number(payload: Payload) -> int | None:
    """The `bdSeq` of an NBIRTH or NDEATH."""
    for metric in payload.metrics:
        if metric.name == BIRTH_DEATH_SEQUENCE and isinstance(metric.value, int):
            return metric.value
    return None


def make_birth(payload: Payload, session: int) -> Birth:
    """Read a birth payload."""
    named = [metric for metric in payload.metrics if metric.name]
    return Birth(
        {metric.name: metric for metric in named},
        {metric.alias: metric for metric in named if metric.alias is not None},
        {metric.name: metric.value for metric in named if not isinstance(metric.value, bytes)},
        session,
        session_number(payload),
    )


class BirthBook:
    """The births known so far; asks for older ones only when a message needs them."""

    def __init__(self, older: Callable[[], OlderBirths] | None = None) -> None:
        # None: ended by a death, so that nobody looks for an older one.
        self._births: dict[EdgeKey, Birth | None] = {}
        self._older = older() if older is not None else iter(())
        self._session = 0
        self._past = 0  # sessions of births read backwards count down
        self._deaths: dict[EdgeKey, list[_Death]] = {}

    def remember(self, topic: SparkplugTopic, payload: Payload) -> Birth:
        """Put a birth into force that has just arrived."""
        self._session += 1
        birth = self._births[edge_key(topic)] = make_birth(payload, self._session)
        return birth

    def end(self, topic: SparkplugTopic, payload: Payload) -> dict[SparkplugTopic, Birth]:
        """Take a death that has just arrived; the births that it ends, under the topics of births.

        That of a node ends those of its devices too. Empty for a death of another session.
        """
        if topic.message_type is MessageType.DDEATH:
            born = self.in_force(topic)
            self._births[edge_key(topic)] = None
            return {} if born is None else {_birth_topic(edge_key(topic)): born}
        node_key = edge_key(topic)
        node = self._find(node_key)
        if node is None or node.bd_seq != session_number(payload):
            return {}
        ended = {node_key: node, **self._devices_of(node_key, node)}
        for key in ended:
            self._births[key] = None
        return {_birth_topic(key): birth for key, birth in ended.items()}

    def in_force(self, topic: SparkplugTopic) -> Birth | None:
        """The birth that names the metrics of `topic`, or None when there is none."""
        node_key = (topic.group, topic.node, None)
        node = self._find(node_key)
        if topic.device is None:
            return node
        # Whoever has read back to a node's birth has read all births of its session.
        key = edge_key(topic)
        birth = self._births.get(key) if node_key in self._births else self._find(key)
        return None if birth is None or (node is not None and birth.session < node.session) else birth

    def _devices_of(self, node_key: EdgeKey, node: Birth) -> dict[EdgeKey, Birth]:
        return {
            key: birth
            for key, birth in self._births.items()
            if birth is not None and key[:2] == node_key[:2] and key[2] is not None and birth.session > node.session
        }

    def _find(self, key: EdgeKey) -> Birth | None:
        while key not in self._births:
            minute = next(self._older, None)
            if minute is None:
                return None
            self._read_back(minute)
        return self._births[key]

    def _read_back(self, minute: list[tuple[str, bytes]]) -> None:
        for text, data in reversed(minute):
            topic = parse_topic(text)
            if topic is None:
                continue
            self._past -= 1
            try:
                payload = decode_payload(data)
            except SparkplugError:
                continue
            self._read_back_one(topic, payload)

    def _read_back_one(self, topic: SparkplugTopic, payload: Payload) -> None:
        key = edge_key(topic)
        if key in self._births:
            return  # Something newer is known.
        if topic.message_type is MessageType.NDEATH:
            self._deaths.setdefault(key, []).append(_Death(session_number(payload), self._past))
        elif topic.message_type is MessageType.DDEATH:
            self._births[key] = None
        elif topic.message_type.is_birth:
            birth = self._births[key] = make_birth(payload, self._past)
            if topic.message_type is MessageType.NBIRTH:
                self._end_back(key, birth)

    def _end_back(self, node_key: EdgeKey, node: Birth) -> None:
        """A node's birth was found backwards: did it end before what is known of later?"""
        died = max((d.session for d in self._deaths.pop(node_key, []) if d.bd_seq == node.bd_seq), default=None)
        if died is None:
            return
        self._births[node_key] = None
        for key, birth in self._devices_of(node_key, node).items():
            if birth.session < died:
                self._births[key] = None


def _birth_topic(key: EdgeKey) -> SparkplugTopic:
    group, node, device = key
    return SparkplugTopic(group, MessageType.NBIRTH if device is None else MessageType.DBIRTH, node, device)


def known_type(metric: Metric, birth: Birth | None) -> tuple[str, DataType] | None:
    """Name and datatype of a metric of a message; None when its alias has no birth."""
    if metric.name:
        born = birth.by_name.get(metric.name) if birth is not None else None
    elif birth is not None and metric.alias is not None:
        born = birth.by_alias.get(metric.alias)
        if born is None:
            return None
    else:
        return None
    datatype = metric.datatype
    if datatype is DataType.UNKNOWN and born is not None:
        datatype = born.datatype
    return metric.name or (born.name if born is not None else ""), datatype
