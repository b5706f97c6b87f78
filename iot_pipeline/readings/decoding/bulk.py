"""Which mappings can be read many messages at once, and how: the plan of a mapping.

A plan exists only for mappings that use nothing but the keys listed here; the meaning of all others is
in `records.py`, which also reads each message that is not built exactly as its plan expects. So a plan
may refuse whatever is odd, and never reads anything differently. Columns are made in `bulk_columns.py`.
"""

from dataclasses import dataclass, field

import msgspec
from pydantic import BaseModel

from iot_pipeline.readings.decoding.binding import LONGEST_NAME, Captures, Limits
from iot_pipeline.readings.decoding.bulk_shape import MOST_EXTRA, Kind, Shape, Unsuited
from iot_pipeline.readings.language.fields import parse_path
from iot_pipeline.readings.language.formats import PayloadFormat
from iot_pipeline.readings.language.globs import compile_globs
from iot_pipeline.readings.language.model import Lookup, Mapping, TimeCandidate, ValueRule
from iot_pipeline.readings.language.templates import Field, is_key, parse_template
from iot_pipeline.readings.language.templates import Group as Optional
from iot_pipeline.readings.language.times import TimeUnit

# A key that the language gains is not listed, so mappings that use it have no plan until somebody has
# thought about what it means for many messages at once.
_KEYS = {
    "Mapping": {"name", "description", "fleet", "topic", "exclude", "ignore", "format", "each", "device_id", "metric"}
    | {"values", "timestamp", "unit", "units", "words", "numeric_text", "attributes", "max_lateness"},
    "ValueRule": {"path", "metric", "unit", "text"},
    "TimeRule": {"paths", "unit", "zone", "fallback"},
    "TimeCandidate": {"path", "unit", "zone"},
    "Lookup": {"template", "table"},
}
_UNKNOWN_KEY = "unknown field"  # in what msgspec says
_TIME_KINDS = {TimeUnit.ISO: Kind.NAME, TimeUnit.AUTO: Kind.INTEGER_OR_NAME}
Keys = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Capture:
    """A capture of the topic by its name, as a part of a text."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """A device id, metric, unit or attribute: at the attribute `told` of each decoded record, else of the topic.

    What the topic decides is put together from `parts`. `table` translates what is found.
    """

    told: str | None
    parts: tuple[str | Capture, ...] = ()
    table: dict[str, str] | None = None

    def of_topic(self, captures: Captures) -> str | None:
        """The text that the topic decides; None when there is none."""
        values = [part if isinstance(part, str) else captures[part.name] for part in self.parts]
        text = "".join(value for value in values if isinstance(value, str)) or None
        return text if self.table is None or text is None else self.table.get(text)


@dataclass(frozen=True, slots=True)
class Value:
    """A number of each record: at the attribute `told` of what is decoded."""

    told: str
    metric: Text
    unit: Text


@dataclass(frozen=True, slots=True)
class Constants:
    """What the topic of a message decides; None for what its records tell."""

    device: str | None
    metrics: tuple[str | None, ...]
    units: tuple[str | None, ...]
    attributes: tuple[str | None, ...]


class Plan:
    """How the messages of a mapping are decoded at once, for topics that capture the same names.

    Raises Unsuited when the mapping says something that plans do not know.

    Attributes:
        decode: a payload to one decoded record or a list of them or, with `records`, to what holds the list
            at that attribute. Raises msgspec.DecodeError for whatever is not built exactly like that.
        time: where in a record the event time is, and how it is written; None: the time of receipt.
    """

    def __init__(self, mapping: Mapping, captured: frozenset[str]) -> None:
        if not _only_listed_keys(mapping) or mapping.format is not PayloadFormat.JSON or not mapping.values:
            raise Unsuited
        if "" in mapping.units.values():
            raise Unsuited  # an empty unit, which is not the same as none
        self.mapping = mapping
        self.attribute_names = tuple(sorted(mapping.attributes))
        self._captured = captured
        self._record = self._message = Shape()
        self.records: str | None = None
        if mapping.each is not None:
            self._message = Shape()
            self.records = self._message.array(_keys(mapping.each), self._record)
        self.time = self._time()
        self.device = self._text(mapping.device_id, Kind.NAME)
        self.values = [self._value(rule) for rule in mapping.values]
        if len(self.values) > 1 and any(value.metric.told is not None for value in self.values):
            # Two values could be copies of one reading, and which one counts would depend on their order.
            raise Unsuited
        self.attributes = [self._text(mapping.attributes[name], Kind.ANYTHING) for name in self.attribute_names]
        self._room = MOST_EXTRA
        self._compile()

    def constants(self, captures: Captures) -> Constants | None:
        """What a topic decides; None when its messages are better read one by one, each with its reason."""
        device = self.device.of_topic(captures)
        metrics = tuple([value.metric.of_topic(captures) for value in self.values])
        decided = [device] if self.device.told is None else []
        if self.values[0].metric.told is None:
            decided += metrics
            if len(set(metrics)) < len(metrics):
                return None
        if any(not name or len(name) > LONGEST_NAME for name in decided):
            return None
        units = tuple([value.unit.of_topic(captures) for value in self.values])
        return Constants(device, metrics, units, tuple([text.of_topic(captures) for text in self.attributes]))

    def learn(self, payload: bytes, refused: Exception) -> bool:
        """Note the keys for which a message was refused; whether it is worth another try."""
        if self._room <= 0 or _UNKNOWN_KEY not in str(refused):
            return False
        try:
            document = msgspec.json.decode(payload)
        except (ValueError, RecursionError):
            return False
        shape = Shape(self._record) if self.records is None and isinstance(document, list) else self._message
        noted = shape.learn(document, self._room)
        self._room -= noted
        if noted:
            self._compile()
        return noted > 0

    def _compile(self) -> None:
        kind = self._message.type()
        one_or_more = kind | list[kind] if self.records is None else kind  # type: ignore[valid-type]
        self.decode = msgspec.json.Decoder(one_or_more).decode

    def _time(self) -> tuple[str, TimeUnit] | None:
        rule = self.mapping.timestamp
        if not rule.paths:
            if rule.fallback != "received":
                raise Unsuited
            return None
        place = rule.paths[0]
        candidate = TimeCandidate(path=place) if isinstance(place, str) else place
        if len(rule.paths) > 1 or candidate.path is None:
            raise Unsuited
        unit = candidate.unit or rule.unit
        return self._record.leaf(_keys(candidate.path), _TIME_KINDS.get(unit, Kind.INTEGER)), unit

    def _value(self, rule: ValueRule) -> Value:
        path = ".".join(_keys(rule.path))
        told = self._record.leaf(_keys(rule.path), Kind.NUMBER)
        metric = self._text(rule.metric or self.mapping.metric, Kind.NAME, {"path": path, "leaf": path})
        unit = rule.unit
        if unit is None:
            plain = next((name for glob, name in self.mapping.units.items() if compile_globs([glob])(path)), None)
            if plain is not None:
                return Value(told, metric, Text(None, (plain,)))
            unit = self.mapping.unit
        if isinstance(unit, Lookup):
            found = self._text(unit.template, Kind.TEXT)
            return Value(told, metric, Text(found.told, found.parts, dict(unit.table)))
        return Value(told, metric, self._text(unit, Kind.TEXT) if unit else Text(None))

    def _text(self, template: str, kind: Kind, given: dict[str, str] | None = None) -> Text:
        """A template that is decided by the topic alone or is a single field of the record."""
        constants = given or {}
        parts = parse_template(template).parts
        inner = [part for outer in parts for part in (outer.parts if isinstance(outer, Optional) else (outer,))]
        if all(isinstance(part, str) or part.names[0] in {*self._captured, *constants} for part in inner):
            fields: dict[str, str | Capture] = {**{name: Capture(name) for name in self._captured}, **constants}
            return Text(None, tuple([part if isinstance(part, str) else fields[part.names[0]] for part in inner]))
        (only, *others) = parts
        if others or not isinstance(only, Field) or len(only.names) > 1 or is_key(only.names[0]):
            raise Unsuited
        return Text(self._record.leaf(_keys(only.names[0]), kind))


@dataclass(slots=True)
class Group:
    """Messages of one plan, in order of arrival, as parallel lists."""

    plan: Plan
    limits: Limits
    numbers: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)  # since 1970 UTC
    constants: list[Constants] = field(default_factory=list)


def plan_of(mapping: Mapping, captured: frozenset[str]) -> Plan | None:
    """The plan of a mapping for topics that capture these names, or None when it has none."""
    try:
        return Plan(mapping, captured)
    except Unsuited:
        return None


def _keys(text: str) -> Keys:
    """The keys of a path that leads from the record through objects only."""
    path = parse_path(text)
    keys = tuple([step for step in path.steps if isinstance(step, str)])
    if not keys or len(keys) < len(path.steps) or path.from_root or path.up or path.choices:
        raise Unsuited
    return keys


def _only_listed_keys(part: BaseModel) -> bool:
    """Whether a part of a mapping, and all parts within it, say nothing that is not listed."""
    if not part.model_fields_set <= _KEYS.get(type(part).__name__, set()):
        return False
    inner = [getattr(part, name) for name in part.model_fields_set]
    parts = [one for value in inner for one in (value if isinstance(value, tuple) else (value,))]
    return all(_only_listed_keys(one) for one in parts if isinstance(one, BaseModel))
