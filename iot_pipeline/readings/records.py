"""Documents of plain values (JSON, ndjson, scalars): from bytes to rows, by one mapping, for one topic.

Everything that the mapping and the topic decide is decided before the first message; what is left
for a message are look-ups and arithmetic.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from iot_pipeline.readings.binding import (
    LONGEST_NAME,
    Captures,
    Key,
    Limits,
    bind_attributes,
    bind_quality,
    bind_text,
    bind_time,
    bind_unit,
    resolve,
    unit_finder,
    used_paths,
)
from iot_pipeline.readings.fields import Getter, Json, Missing, compile_path, parse_path
from iot_pipeline.readings.formats import PARSERS, PayloadFormat, Reject
from iot_pipeline.readings.leaves import DEEPEST, LeafTree, Node, compile_globs
from iot_pipeline.readings.model import Mapping, ValueRule
from iot_pipeline.readings.schema import Quality, QuarantineReason
from iot_pipeline.readings.sink import Sink
from iot_pipeline.readings.values import BadValue, Coerce, TextRule, compile_coerce

Decode = Callable[[bytes, int, Sink], None]
_GOOD = Quality.GOOD.value


class _Value:
    """One explicit value of a mapping, bound to a topic."""

    __slots__ = ("coerce", "get", "metric", "path", "unit")

    def __init__(self, rule: ValueRule, mapping: Mapping, known: Captures) -> None:
        path = parse_path(rule.path)
        self.path = path.dotted
        self.get = compile_path(path)
        self.metric = bind_text(rule.metric or mapping.metric, {**known, "path": self.path, "leaf": self.path})
        own = bind_unit(rule.unit, known)
        self.unit = unit_finder(mapping, known)(self.path) if rule.unit is None else own
        self.coerce = compile_coerce(
            mapping.words, numeric_text=mapping.numeric_text, text_rule=rule.text or TextRule.REJECT
        )


@dataclass(slots=True)
class _Context:
    """What all values of one record share."""

    record: Json
    root: Json
    key: Key
    where: str | None  # name of the record when the message holds several
    device: str
    event_us: int
    quality: str
    sink: Sink

    def emit(
        self, path: str, metric: Getter | str | None, unit: Getter | str | None, coerce: Coerce, value: Json
    ) -> None:
        """Turn one value, which may be null, into a row, a problem or nothing."""
        sink = self.sink
        if value is None:
            sink.nulls += 1
            return
        name = metric if type(metric) is str else resolve(metric, self.record, self.root, self.key)
        if not name or len(name) > LONGEST_NAME:
            what = f"metric name of {len(name)} characters" if name else "no name for the metric"
            sink.reject(self._field(path), QuarantineReason.BAD_VALUE, what)
            return
        if type(value) is float:
            number: float | None = value
            text: str | None = None
        else:
            try:
                coerced = coerce(value)
            except BadValue as error:
                sink.reject(self._field(path), QuarantineReason.BAD_VALUE, str(error))
                return
            if coerced is None:
                return
            number, text = coerced
        if unit is not None and type(unit) is not str:
            unit = resolve(unit, self.record, self.root, self.key)
        sink.rows.append((sink.message, self.event_us, self.device, name, number, text, unit, self.quality))

    def _field(self, path: str) -> str:
        return path if self.where is None else f"{self.where}.{path}" if path else self.where


class RecordDecoder:
    """Decodes the payloads of one topic by one mapping."""

    def __init__(self, mapping: Mapping, known: Captures, limits: Limits) -> None:
        self._parse = PARSERS[mapping.format]
        self._scalar = mapping.format is PayloadFormat.SCALAR
        self._fleet = mapping.fleet
        self._limits = limits.for_mapping(mapping)
        self._device = bind_text(mapping.device_id, known)
        self._time, self._received_allowed = bind_time(mapping.timestamp)
        self._quality = bind_quality(mapping)
        self._attribute_names, self._attributes = bind_attributes(mapping, known)
        rules = mapping.values or ((ValueRule(path="."),) if self._scalar else ())
        self._values = [_Value(rule, mapping, known) for rule in rules]
        self._each = None if mapping.each is None else compile_path(parse_path(mapping.each))
        self._each_name = mapping.each or ""
        self._leaves = None if mapping.leaves is None else _Leaves(mapping, known)
        # A record that is no object can only be read as a whole.
        self._any_record = self._scalar or any(value.path == "" for value in self._values) or mapping.each is not None

    def __call__(self, payload: bytes, received_us: int, sink: Sink) -> None:
        """Decode one payload into `sink`. Raises Reject when nothing of it can be read."""
        for label, document in self._parse(payload):
            if isinstance(document, Reject):
                if label is None:
                    raise document
                sink.reject(label, document.reason, document.detail)
                continue
            try:
                for key, where, record in self._records(document):
                    name = where if label is None else f"{label}: {where}" if where else label
                    context = self._context(_Place(record, document, key, name), received_us, sink)
                    if context is not None:
                        self._read(context)
            except Reject as reject:
                sink.reject(label, reject.reason, reject.detail)

    def _records(self, document: Json) -> Iterator[tuple[Key, str | None, Json]]:
        if self._each is None:
            if type(document) is not list:
                yield None, None, document
                return
            found: Json | Missing = document
        else:
            found = self._each(document, document, None)
        if isinstance(found, list):
            for index, record in enumerate(found):
                yield index, f"{self._each_name}[{index}]", record
        elif isinstance(found, dict):
            for key, record in found.items():
                yield key, f"{self._each_name}.{key}", record
        elif found is not None:
            raise Reject(QuarantineReason.WRONG_SHAPE, f"no array or object at {self._each_name!r}")

    def _context(self, place: "_Place", received_us: int, sink: Sink) -> _Context | None:
        """Whose record it is and when it happened; None when that cannot be said, which is noted."""
        record, root, key, where = place
        if type(record) is not dict and not self._any_record:
            sink.reject(where, QuarantineReason.WRONG_SHAPE, f"{_kind(record)} where an object is expected")
            return None
        device = resolve(self._device, record, root, key)
        if device is None or len(device) > LONGEST_NAME:
            what = "no usable device id" if device is None else f"device id of {len(device)} characters"
            sink.reject(where, QuarantineReason.NO_DEVICE, what)
            return None
        event_us = None if self._time is None else self._time(record, root, key)
        if event_us is None:
            if not self._received_allowed:
                sink.reject(where, QuarantineReason.NO_TIMESTAMP, "no usable event time")
                return None
            event_us = received_us
        refused = self._limits.refuse(event_us, received_us)
        if refused is not None:
            sink.reject(where, QuarantineReason.CLOCK, refused)
            return None
        quality = _GOOD if self._quality is None else self._quality(record, root, key)
        return _Context(record, root, key, where, device, event_us, quality, sink)

    def _read(self, context: _Context) -> None:
        record, root, key = context.record, context.root, context.key
        if self._attributes is not None:
            told = self._attributes(record, root, key)
            context.sink.describe(context.device, self._fleet, self._attribute_names, told)
        found_any = False
        for value in self._values:
            found = value.get(record, root, key)
            if not isinstance(found, Missing):
                found_any = True
                context.emit(value.path, value.metric, value.unit, value.coerce, found)
        if self._leaves is not None:
            self._leaves.walk(context)
        elif not found_any:
            paths = ", ".join(value.path for value in self._values)
            context.sink.reject(context.where, QuarantineReason.WRONG_SHAPE, f"none of the fields {paths} is there")


class _Place(NamedTuple):
    """A record, the message around it, its key in `each` and its name for people."""

    record: Json
    root: Json
    key: Key
    where: str | None


def _kind(value: Json) -> str:
    names = {bool: "a boolean", int: "a number", float: "a number", str: "a text", list: "an array"}
    return "null" if value is None else names.get(type(value), "an object")


class _Leaves:
    """Every wanted leaf of a record."""

    def __init__(self, mapping: Mapping, known: Captures) -> None:
        rule = mapping.leaves
        if rule is None:
            raise ValueError("a mapping without leaves has none to walk over")
        self._coerce = compile_coerce(mapping.words, numeric_text=mapping.numeric_text, text_rule=rule.text)
        self._arrays = rule.arrays == "index"
        path = parse_path(rule.under)
        self._start = compile_path(path)
        unwanted, reserved = compile_globs(rule.exclude), frozenset(used_paths(mapping)) - {""}
        below = len(path.dotted) + 1 if path.dotted else 0
        self._tree = LeafTree(
            path.dotted,
            include=compile_globs(rule.include),
            exclude=lambda leaf: leaf in reserved or unwanted(leaf),
            metric_of=lambda leaf: bind_text(mapping.metric, {**known, "path": leaf, "leaf": leaf[below:]}),
            unit_of=unit_finder(mapping, known),
        )

    def walk(self, context: _Context) -> None:
        """Emit the leaves of the context's record."""
        start = self._start(context.record, context.root, context.key)
        if isinstance(start, Missing) or start is None:
            return
        node = self._tree.root()
        if type(start) is dict or type(start) is list:
            self._below(start, node, context, 0)
        elif node.wanted:
            context.emit(node.path, node.metric, node.unit, self._coerce, start)

    def _below(self, value: Json, node: Node, context: _Context, depth: int) -> None:
        if depth > DEEPEST:
            context.sink.reject(node.path, QuarantineReason.WRONG_SHAPE, f"nested deeper than {DEEPEST} levels")
            return
        if isinstance(value, dict):
            items = value.items()
        elif isinstance(value, list) and self._arrays:
            items = enumerate(value)  # type: ignore[assignment]
        else:
            return
        children, emit, coerce = node.children, context.emit, self._coerce
        for step, inner in items:
            child = children.get(step) or self._tree.child(node, step)
            if child.unwanted:
                continue
            kind = type(inner)
            if kind is dict or kind is list:
                self._below(inner, child, context, depth + 1)
            elif child.wanted:
                emit(child.path, child.metric, child.unit, coerce, inner)
