"""Sparkplug births in force: which alias is which metric of which edge node or device.

A birth counts from its arrival until the next one of the same node or device. A device's birth
older than its node's newest birth counts no more: aliases are bound anew in every session.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from iot_pipeline.protocols.sparkplug_b import (
    DataType,
    Metric,
    Payload,
    SparkplugError,
    SparkplugTopic,
    decode_payload,
    parse_topic,
)
from iot_pipeline.readings.fields import Json

EdgeKey = tuple[str, str, str | None]  # group, node, device
# Landed births older than what is known, newest first: (topic, payload) of one landing minute each.
OlderBirths = Iterator[list[tuple[str, bytes]]]


@dataclass(slots=True)
class Birth:
    """One birth certificate."""

    by_name: dict[str, Metric]
    by_alias: dict[int, Metric]
    fields: dict[str, Json]  # values that are plain, by metric name: what templates read
    session: int  # grows with every birth of any node, in order of arrival
    units: dict[str, str | None] = field(default_factory=dict)  # worked out once a metric


def edge_key(topic: SparkplugTopic) -> EdgeKey:
    """What a birth belongs to."""
    return topic.group, topic.node, topic.device


def make_birth(payload: Payload, session: int) -> Birth:
    """Read a birth payload."""
    named = [metric for metric in payload.metrics if metric.name]
    return Birth(
        {metric.name: metric for metric in named},
        {metric.alias: metric for metric in named if metric.alias is not None},
        {metric.name: metric.value for metric in named if not isinstance(metric.value, bytes)},
        session,
    )


class BirthBook:
    """The births known so far; asks for older ones only when a message needs them."""

    def __init__(self, older: Callable[[], OlderBirths] | None = None) -> None:
        self._births: dict[EdgeKey, Birth] = {}
        self._older = older() if older is not None else iter(())
        self._session = 0
        self._past = 0  # sessions of births read backwards count down

    def remember(self, topic: SparkplugTopic, payload: Payload) -> Birth:
        """Put a birth into force that has just arrived."""
        self._session += 1
        birth = self._births[edge_key(topic)] = make_birth(payload, self._session)
        return birth

    def in_force(self, topic: SparkplugTopic) -> Birth | None:
        """The birth that names the metrics of `topic`, or None when there is none."""
        birth = self._find(edge_key(topic))
        if birth is None or topic.device is None:
            return birth
        node = self._find((topic.group, topic.node, None))
        return birth if node is None or node.session < birth.session else None

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
            if edge_key(topic) not in self._births:
                try:
                    self._births[edge_key(topic)] = make_birth(decode_payload(data), self._past)
                except SparkplugError:
                    continue


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
