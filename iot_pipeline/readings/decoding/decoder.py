"""The decoder: messages in, rows and reasons out. The batch stage and the live layer share it.

One poison message never affects another: whatever a decoder half-way wrote of a message that it
then could not finish is taken back, and the message goes to quarantine.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from iot_pipeline.readings.decoding.binding import LONGEST_NAME, Limits
from iot_pipeline.readings.decoding.births import BirthBook
from iot_pipeline.readings.decoding.bulk import Constants, Group, Plan, plan_of
from iot_pipeline.readings.decoding.naming import bind_name
from iot_pipeline.readings.decoding.records import Decode, RecordDecoder
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.decoding.sparkplug import SparkplugDecoder
from iot_pipeline.readings.language.formats import PayloadFormat, Reject
from iot_pipeline.readings.language.mapping import LoadedMapping, MappingSet
from iot_pipeline.readings.language.times import microseconds
from iot_pipeline.readings.schema import QuarantineReason
from iot_pipeline.retained import Level, kept_since
from iot_pipeline.settings import Settings

# Bound decoders kept at once; a sender that invents topics must not fill the memory.
MOST_TOPICS = 50_000
# Bytes of payloads from which reading them at once is cheaper than one by one.
LEAST_AT_ONCE = 65_536
# What hostile input could provoke in code that believes it is well-formed.
_UNEXPECTED = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError)
_WILD = re.compile(r"[{}+#]")
_log = structlog.get_logger(__name__)


def limits_of(settings: Settings) -> Limits:
    """What the settings allow a message to be."""
    # Readings of a day that retention removed would stand alone there.
    start = max(settings.history_start, kept_since(settings.paths, Level.READINGS) or settings.history_start)
    return Limits(
        settings.max_payload_bytes,
        settings.max_lateness_seconds * 1_000_000,
        settings.max_skew_seconds * 1_000_000,
        microseconds(datetime(start.year, start.month, start.day, tzinfo=UTC)),
    )


@dataclass(slots=True)
class _Bound:
    """What is to be done with the messages of one topic."""

    mapping: LoadedMapping | None
    captures: Mapping[str, str]
    ignored: bool = False  # nothing is read, by rule
    decode: Decode | None = None  # made with the first message that is read by itself
    plan: Plan | None = None
    constants: Constants | None = None


class MessageDecoder:
    """Decodes messages by a set of mappings, in the order in which they arrived.

    Sparkplug births are remembered in `births`, so one decoder belongs to one run of messages.
    """

    def __init__(self, mappings: MappingSet, limits: Limits, births: BirthBook | None = None) -> None:
        self._asked, self._asked_for_any = _by_first_level(mappings)
        self._limits = limits
        self._births = births if births is not None else BirthBook()
        self._bound: dict[str, _Bound] = {}
        self._plans: dict[tuple[str, frozenset[str]], Plan | None] = {}

    def mapping_of(self, topic: str) -> LoadedMapping | None:
        """The mapping that takes `topic`, or None."""
        return self._bind(topic).mapping

    def device_of(self, topic: str) -> str | None:
        """The device whose messages come on `topic`, where the mapping names devices by topics alone; else None."""
        bound = self._bind(topic)
        if bound.mapping is None or bound.mapping.mapping.parts:
            return None
        mapping = bound.mapping.mapping
        name = bind_name(mapping.device_id, mapping.device_name, bound.captures)
        return name if isinstance(name, str) and len(name) <= LONGEST_NAME else None

    def decode(self, topic: str, payload: bytes, received_us: int, sink: Sink) -> None:
        """Decode one message into `sink`, whose `begin` was called. Never raises for what is in it."""
        bound = self._bound.get(topic) or self._bind(topic)
        if bound.mapping is None:
            sink.reject(None, QuarantineReason.NO_MAPPING, "no mapping has a topic pattern that matches")
        elif bound.ignored or not payload:
            return  # an empty payload clears a retained message: by MQTT's rule it says nothing
        elif len(payload) > self._limits.max_payload_bytes:
            sink.reject(None, QuarantineReason.TOO_LARGE, f"{len(payload)} bytes")
        else:
            rows = len(sink.rows)
            try:
                decode = bound.decode or self._make(topic, bound, bound.mapping)
                decode(payload, received_us, sink)
            except Reject as reject:
                del sink.rows[rows:]
                sink.reject(None, reject.reason, reject.detail)
            except _UNEXPECTED as error:
                # Not a reason of ours: a defect of a decoder. The message is kept, the others go on.
                del sink.rows[rows:]
                _log.error("message_not_decoded", mapping=bound.mapping.name, error=type(error).__name__)
                sink.reject(None, QuarantineReason.WRONG_SHAPE, f"the decoder gave up: {type(error).__name__}")

    def groups(self, first: int, messages: Iterable[tuple[str, bytes, int]]) -> list[Group]:
        """Messages that are worth reading at once, by plan.

        Args:
            first: number of the first message.
            messages: (topic, payload, received µs since 1970 UTC).
        """
        groups: dict[Plan, Group] = {}
        sizes: dict[Plan, int] = {}
        for number, (topic, payload, received_us) in enumerate(messages, first):
            bound = self._bound.get(topic) or self._bind(topic)
            plan, constants = bound.plan, bound.constants
            if plan is None or constants is None or not 0 < len(payload) <= self._limits.max_payload_bytes:
                continue
            group = groups.get(plan)
            if group is None:
                group = groups[plan] = Group(plan, self._limits.for_mapping(plan.mapping))
                sizes[plan] = 0
            sizes[plan] += len(payload)
            group.numbers.append(number)
            group.payloads.append(payload)
            group.received_us.append(received_us)
            group.constants.append(constants)
        return [group for plan, group in groups.items() if sizes[plan] >= LEAST_AT_ONCE]

    def _bind(self, topic: str) -> _Bound:
        known = self._bound.get(topic)
        if known is not None:
            return known
        if len(self._bound) >= MOST_TOPICS:
            self._bound.clear()
        found = self._asked.get(topic.partition("/")[0], self._asked_for_any).find(topic)
        bound = self._bound[topic] = _Bound(None, {}) if found is None else _Bound(*found)
        if bound.mapping is not None:
            bound.ignored = bound.mapping.ignores(topic)
            bound.plan = None if bound.ignored else self._plan(bound.mapping, frozenset(bound.captures))
            bound.constants = None if bound.plan is None else bound.plan.constants(bound.captures)
        return bound

    def _plan(self, loaded: LoadedMapping, captured: frozenset[str]) -> Plan | None:
        key = loaded.name, captured
        if key not in self._plans:
            self._plans[key] = plan_of(loaded.mapping, captured)
        return self._plans[key]

    def _make(self, topic: str, bound: _Bound, loaded: LoadedMapping) -> Decode:
        mapping, captures = loaded.mapping, bound.captures
        if mapping.format is PayloadFormat.SPARKPLUG_B:
            bound.decode = SparkplugDecoder(
                mapping, topic, captures, self._limits, self._births, decoder_of=self._decoder_of
            )
        else:
            bound.decode = RecordDecoder(mapping, captures, self._limits)
        return bound.decode

    def _decoder_of(self, topic: str) -> Decode | None:
        # The death of a node is told of its devices too, whose topics may have other mappings.
        bound = self._bind(topic)
        if bound.mapping is None or bound.ignored:
            return None
        return bound.decode or self._make(topic, bound, bound.mapping)


def _by_first_level(mappings: MappingSet) -> tuple[dict[str, MappingSet], MappingSet]:
    """Which mappings need to be asked for topics by their first level, and for those of any other level."""
    levels = [
        {pattern.partition("/")[0] for pattern in (*loaded.mapping.topic, *loaded.mapping.ignore)}
        for loaded in mappings
    ]
    anywhere = [any(_WILD.search(level) for level in own) for own in levels]

    def asked(level: str | None) -> MappingSet:
        both = zip(mappings, levels, anywhere, strict=True)
        return MappingSet(tuple([loaded for loaded, own, wild in both if wild or level in own]))

    return {level: asked(level) for level in set().union(*levels)}, asked(None)
