"""Documents of plain values (JSON, ndjson, scalars): from bytes to rows, by one mapping, for one topic.

Everything that the mapping and the topic decide is decided before the first message; what is left
for a message are look-ups and arithmetic. How a single value becomes a row is `context.py`.
"""

from collections.abc import Callable

from iot_pipeline.readings.decoding.binding import (
    LONGEST_NAME,
    Captures,
    Limits,
    bind_attributes,
    bind_quality,
    resolve,
)
from iot_pipeline.readings.decoding.context import UNKNOWN_TIME, RecordContext
from iot_pipeline.readings.decoding.event_times import NoTime, bind_event_time
from iot_pipeline.readings.decoding.leaves import Leaves
from iot_pipeline.readings.decoding.naming import bind_name, with_splits
from iot_pipeline.readings.decoding.selection import Place, bind_records, bind_unpack, bind_when
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.decoding.targets import Targets
from iot_pipeline.readings.language.fields import Json, Key, Missing, compile_path, parse_path
from iot_pipeline.readings.language.formats import PARSERS, PayloadFormat, Reject
from iot_pipeline.readings.language.model import Mapping, ValueRule
from iot_pipeline.readings.schema import Quality, QuarantineReason

Decode = Callable[[bytes, int, Sink], None]
_GOOD = Quality.GOOD.value


class RecordDecoder:
    """Decodes the payloads of one topic by one mapping."""

    def __init__(self, mapping: Mapping, known: Captures, limits: Limits) -> None:
        self._parse = PARSERS[mapping.format]
        self._unpack = bind_unpack(mapping.unpack) if mapping.unpack else None
        own = limits.for_mapping(mapping)
        self._several = bool(mapping.parts)
        skipped = [part.skip for part in mapping.parts] or [False]
        self._readers = [
            _Reader(variant, known, own, skip=skip) for variant, skip in zip(mapping.variants(), skipped, strict=True)
        ]

    def __call__(self, payload: bytes, received_us: int, sink: Sink) -> None:
        """Decode one payload into `sink`. Raises Reject when nothing of it can be read."""
        for label, document in self._parse(payload, received_us):
            if isinstance(document, Reject):
                if label is None:
                    raise document
                sink.reject(label, document.reason, document.detail)
                continue
            try:
                self._document(document if self._unpack is None else self._unpack(document), label, received_us, sink)
            except Reject as reject:
                sink.reject(label, reject.reason, reject.detail)

    def _document(self, document: Json, label: str | None, received_us: int, sink: Sink) -> None:
        if document is None:
            sink.nulls += 1  # null says nothing, as a null field does
        elif not self._several:
            self._readers[0].read(document, label, received_us, sink)
        else:
            read = False
            for reader in self._readers:
                try:
                    read = reader.read(document, label, received_us, sink) or read
                except Reject as reject:
                    sink.reject(label, reject.reason, reject.detail)
                    read = True
            if not read:
                raise Reject(QuarantineReason.WRONG_SHAPE, "none of the mapping's `parts` is for such a message")


class _Reader:
    """Reads the records of documents by a mapping without parts."""

    def __init__(self, mapping: Mapping, captured: Captures, limits: Limits, *, skip: bool) -> None:
        known = with_splits(mapping, captured) if mapping.split else captured
        self._fleet = mapping.fleet
        self._limits = limits
        self._records = bind_records(mapping)
        # An array of messages is asked element by element.
        self._when = bind_when(mapping.when)
        self._only = bind_when(mapping.only)
        self._whole = mapping.each is None
        self._skip = skip
        self._device = bind_name(mapping.device_id, mapping.device_name, known)
        same = mapping.same_device
        self._same = None if same is None else bind_name(same, mapping.device_name, known)
        self._time = bind_event_time(mapping.timestamp, known, limits)
        self._quality = bind_quality(mapping)
        self._attribute_names, self._attributes = bind_attributes(mapping, known)
        scalar = mapping.format is PayloadFormat.SCALAR
        rules = mapping.values or ((ValueRule(path="."),) if scalar and not skip else ())
        targets = Targets(mapping, known)
        self._own_times = targets.own_times
        self._values = [(compile_path(parse_path(rule.path)), targets.value(rule)) for rule in rules]
        self._leaves = None if mapping.leaves is None else Leaves(mapping, targets)
        # A record that is no object can only be read as a whole.
        whole = any(target.path == "" for _, target in self._values)
        self._any_record = scalar or whole or mapping.each is not None
        self._deep = mapping.deep
        # A document is its only record, as most are.
        nested = mapping.each or mapping.then_each or mapping.columns or mapping.names
        self._plain = not (nested or mapping.deep or mapping.when or mapping.only or skip)

    def read(self, document: Json, label: str | None, received_us: int, sink: Sink) -> bool:
        """Read a document; whether any record was one for this mapping. Raises Reject for its shape."""
        if self._plain and label is None and type(document) is dict:
            context = self._context(document, document, None, None, received_us, sink)
            if context is not None:
                self._read(context)
            return True
        when = self._when
        if when is not None and not (self._whole and type(document) is list):
            if not when(document, document, None):
                return False
            when = None
        found = False
        for place in self._records(document):
            if isinstance(place, Reject):
                sink.reject(label or "", place.reason, place.detail)
                found = True
            elif when is None or when(*place[:3]):
                found = True
                self._place(place, label, received_us, sink)
        return found

    def _place(self, place: Place, label: str | None, received_us: int, sink: Sink) -> None:
        """Read one record of several, unless the mapping leaves it out."""
        record, root, key, where = place
        if self._skip or (self._only is not None and not self._only(record, root, key)):
            return
        if record is None:
            sink.nulls += 1
            return
        if label is not None:
            where = f"{label}: {where}" if where else label
        context = self._context(record, root, key, where, received_us, sink)
        if context is not None:
            self._read(context)

    def _context(  # noqa: PLR0917  # called for each record: an object for its arguments would cost a tenth
        self, record: Json, root: Json, key: Key, where: str | None, received_us: int, sink: Sink
    ) -> RecordContext | None:
        """Whose record it is and when it happened; None when that cannot be said, which is noted."""
        if type(record) is not dict and not self._any_record:
            sink.reject(where, QuarantineReason.WRONG_SHAPE, f"{_kind(record)} where an object is expected")
            return None
        if self._deep and not self._holds_any(record, root, key):
            return None
        device = resolve(self._device, record, root, key)
        if device is None or len(device) > LONGEST_NAME:
            what = "no usable device id" if device is None else f"device id of {len(device)} characters"
            sink.reject(where, QuarantineReason.NO_DEVICE, what)
            return None
        if self._same is not None:
            same = resolve(self._same, record, root, key)
            if same is not None and same != device:
                what = f"named {device[:40]!r} in one place and {same[:40]!r} in another"
                sink.reject(where, QuarantineReason.DEVICE_MISMATCH, what)
                return None
        event_us = self._time(record, root, key, received_us)
        if isinstance(event_us, NoTime):
            if not self._own_times:
                sink.reject(where, event_us.reason, event_us.detail)
                return None
            event_us = UNKNOWN_TIME
        quality = _GOOD if self._quality is None else self._quality(record, root, key)
        return RecordContext(record, root, key, where, device, event_us, quality, sink, received_us, self._limits)

    def _holds_any(self, record: Json, root: Json, key: Key) -> bool:
        return any(not isinstance(get(record, root, key), Missing) for get, _ in self._values)

    def _read(self, context: RecordContext) -> None:
        record, root, key = context.record, context.root, context.key
        if self._attributes is not None:
            told = self._attributes(record, root, key)
            context.sink.describe(context.device, self._fleet, self._attribute_names, told)
        found_any = False
        for get, target in self._values:
            found = get(record, root, key)
            if not isinstance(found, Missing):
                found_any = True
                context.emit(target, found)
        if self._leaves is not None:
            self._leaves.walk(context)
        elif not found_any:
            paths = ", ".join(target.path for _, target in self._values)
            context.sink.reject(context.where, QuarantineReason.WRONG_SHAPE, f"none of the fields {paths} is there")


def _kind(value: Json) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")
