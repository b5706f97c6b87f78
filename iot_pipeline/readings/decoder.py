"""The decoder: messages in, rows and reasons out. The batch stage and the live layer share it.

One poison message never affects another: whatever a decoder half-way wrote of a message that it
then could not finish is taken back, and the message goes to quarantine.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from iot_pipeline.readings.binding import Limits
from iot_pipeline.readings.births import BirthBook
from iot_pipeline.readings.formats import PayloadFormat, Reject
from iot_pipeline.readings.mapping import LoadedMapping, MappingSet
from iot_pipeline.readings.records import Decode, RecordDecoder
from iot_pipeline.readings.schema import QuarantineReason
from iot_pipeline.readings.sink import Sink
from iot_pipeline.readings.sparkplug import SparkplugDecoder
from iot_pipeline.readings.times import microseconds
from iot_pipeline.settings import Settings

# Bound decoders kept at once; a sender that invents topics must not fill the memory.
MOST_TOPICS = 50_000
# What hostile input could provoke in code that believes it is well-formed.
_UNEXPECTED = (ValueError, TypeError, LookupError, ArithmeticError, RecursionError, AttributeError)
_log = structlog.get_logger(__name__)


def limits_of(settings: Settings) -> Limits:
    """What the settings allow a message to be."""
    start = settings.history_start
    return Limits(
        settings.max_payload_bytes,
        settings.max_lateness_seconds * 1_000_000,
        settings.max_skew_seconds * 1_000_000,
        microseconds(datetime(start.year, start.month, start.day, tzinfo=UTC)),
    )


@dataclass(frozen=True, slots=True)
class _Bound:
    """What is to be done with the messages of one topic."""

    mapping: LoadedMapping | None
    decode: Decode | None  # None: nothing is read, by rule


_UNMAPPED = _Bound(None, None)


class MessageDecoder:
    """Decodes messages by a set of mappings, in the order in which they arrived.

    Sparkplug births are remembered in `births`, so one decoder belongs to one run of messages.
    """

    def __init__(self, mappings: MappingSet, limits: Limits, births: BirthBook | None = None) -> None:
        self._mappings = mappings
        self._limits = limits
        self._births = births if births is not None else BirthBook()
        self._bound: dict[str, _Bound] = {}

    def mapping_of(self, topic: str) -> LoadedMapping | None:
        """The mapping that takes `topic`, or None."""
        return self._bind(topic).mapping

    def decode_all(self, messages: Iterable[tuple[str, bytes, int]], sink: Sink) -> None:
        """Decode (topic, payload, received µs since 1970 UTC) one after the other into `sink`."""
        for index, (topic, payload, received_us) in enumerate(messages):
            sink.begin(index)
            self.decode(topic, payload, received_us, sink)

    def decode(self, topic: str, payload: bytes, received_us: int, sink: Sink) -> None:
        """Decode one message into `sink`, whose `begin` was called. Never raises for what is in it."""
        bound = self._bound.get(topic) or self._bind(topic)
        decode = bound.decode
        if bound.mapping is None:
            sink.reject(None, QuarantineReason.NO_MAPPING, "no mapping has a topic pattern that matches")
        elif decode is None or not payload:
            return  # an empty payload clears a retained message: by MQTT's rule it says nothing
        elif len(payload) > self._limits.max_payload_bytes:
            sink.reject(None, QuarantineReason.TOO_LARGE, f"{len(payload)} bytes")
        else:
            rows = len(sink.rows)
            try:
                decode(payload, received_us, sink)
            except Reject as reject:
                del sink.rows[rows:]
                sink.reject(None, reject.reason, reject.detail)
            except _UNEXPECTED as error:
                # Not a reason of ours: a defect of a decoder. The message is kept, the others go on.
                del sink.rows[rows:]
                _log.error("message_not_decoded", mapping=bound.mapping.name, error=type(error).__name__)
                sink.reject(None, QuarantineReason.WRONG_SHAPE, f"the decoder gave up: {type(error).__name__}")

    def _bind(self, topic: str) -> _Bound:
        known = self._bound.get(topic)
        if known is not None:
            return known
        if len(self._bound) >= MOST_TOPICS:
            self._bound.clear()
        bound = self._bound[topic] = self._make(topic)
        return bound

    def _make(self, topic: str) -> _Bound:
        found = self._mappings.find(topic)
        if found is None:
            return _UNMAPPED
        loaded, captures = found
        mapping = loaded.mapping
        if loaded.ignores(topic):
            return _Bound(loaded, None)
        if mapping.format is PayloadFormat.SPARKPLUG_B:
            return _Bound(loaded, SparkplugDecoder(mapping, topic, captures, self._limits, self._births))
        return _Bound(loaded, RecordDecoder(mapping, captures, self._limits))
