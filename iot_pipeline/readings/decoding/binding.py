"""What a mapping means for one topic: devices, units, attributes and qualities, bound.

Shared by every format. A bound part is a constant where the topic decides it, else a function of
the record. Times are in `event_times.py`, metrics in `naming.py`; rows come from `records.py` and
`sparkplug.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from iot_pipeline.readings.language.fields import (
    MISSING,
    Getter,
    Json,
    Key,
    Missing,
    compile_path,
    parse_path,
    scalar_text,
)
from iot_pipeline.readings.language.globs import compile_globs
from iot_pipeline.readings.language.model import UNLIMITED, Lookup, Mapping, QualityRule, TimeCandidate, Unit
from iot_pipeline.readings.language.templates import Known, bind, field_getter, is_key, parse_template, plain_key
from iot_pipeline.readings.schema import Quality

Captures = Known
LONGEST_NAME = 512  # characters of a device id or metric
_UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings allow; microseconds, and bytes of a payload."""

    max_payload_bytes: int
    lateness_us: int
    skew_us: int
    history_start_us: int

    def for_mapping(self, mapping: Mapping) -> "Limits":
        """The limits with the mapping's own lateness, where it has one."""
        if mapping.max_lateness is None:
            return self
        lateness = _UNBOUNDED if mapping.max_lateness == UNLIMITED else int(mapping.max_lateness) * 1_000_000
        return Limits(self.max_payload_bytes, lateness, self.skew_us, self.history_start_us)

    def refuse(self, event_us: int, received_us: int) -> str | None:
        """Why an event time is not allowed, or None when it is."""
        if event_us > received_us + self.skew_us:
            return f"event time is {(event_us - received_us) / 1e6:.0f} s after its arrival"
        if event_us < received_us - self.lateness_us:
            return f"event time is {(received_us - event_us) / 1e6:.0f} s before its arrival"
        return (
            "event time is before the first day that readings are kept of" if event_us < self.history_start_us else None
        )


def bind_text(text: str, known: Captures) -> Getter | str | None:
    """A template of a mapping, bound to captures."""
    return bind(parse_template(text), known)


def bind_unit(unit: Unit | None, known: Captures) -> Getter | str | None:
    """A unit: constant, function of the record, or None when there is none."""
    if unit is None or isinstance(unit, str):
        return None if not unit else bind_text(unit, known)
    return _bind_lookup(unit, known)


def _bind_lookup(unit: Lookup, known: Captures) -> Getter | str | None:
    table = unit.table
    looked_up = bind_text(unit.template, known)
    if not callable(looked_up):
        return None if looked_up is None else table.get(looked_up)

    def lookup(record: Json, root: Json, key: Key) -> Json | Missing:
        found = looked_up(record, root, key)
        return table.get(found, MISSING) if isinstance(found, str) else MISSING

    return lookup


def unit_finder(mapping: Mapping, known: Captures) -> Callable[[str], Getter | str | None]:
    """A function from the path of a value to its bound unit: first glob that matches, else the mapping's."""
    globs = [(compile_globs([glob]), unit) for glob, unit in mapping.units.items()]
    otherwise = bind_unit(mapping.unit, known)

    def find(path: str) -> Getter | str | None:
        return next((unit for matches, unit in globs if matches(path)), otherwise)

    return find


def resolve(bound: Getter | str | None, record: Json, root: Json, key: Key) -> str | None:
    """The text of a bound part for one record; None when it has none."""
    if bound is None or isinstance(bound, str):
        return bound
    found = bound(record, root, key)
    return found if type(found) is str else None


AttributeReader = Callable[[Json, Json, Key], tuple[Json | Missing, ...]]


def bind_attributes(mapping: Mapping, known: Captures) -> tuple[tuple[str, ...], AttributeReader | None]:
    """Names of the attributes and a function that gives their values as they are told."""
    names = tuple(sorted(mapping.attributes))
    if not names:
        return names, None
    getters = [_bind_attribute(mapping.attributes[name], known) for name in names]

    def read(record: Json, root: Json, key: Key) -> tuple[Json | Missing, ...]:
        return tuple([getter(record, root, key) if callable(getter) else getter for getter in getters])

    found = [plain_key(parse_template(mapping.attributes[name]), known) for name in names]
    keys = [key for key in found if key is not None]
    if len(keys) < len(names):
        return names, read

    def read_keys(record: Json, root: Json, key: Key) -> tuple[Json | Missing, ...]:
        return tuple(map(record.get, keys)) if type(record) is dict else read(record, root, key)

    return names, read_keys


def _bind_attribute(text: str, known: Captures) -> Getter | str | None:
    template = parse_template(text)
    return bind(template, known) if template.only_field is None else field_getter(template.only_field, known)


QualityReader = Callable[[Json, Json, Key], str]


def bind_quality(mapping: Mapping) -> QualityReader | None:
    """A function that gives the quality of a record; None when every reading is good."""
    return (
        None
        if mapping.quality is None
        else quality_reader(mapping.quality, compile_path(parse_path(mapping.quality.path)))
    )


def quality_reader(rule: QualityRule, get: Getter) -> QualityReader:
    """A function that reads the quality at one place, in the words and codes of `rule`."""
    words = _quality_words(rule)
    otherwise = rule.otherwise.value
    from_code = {None: None, "opc_da": _opc_da, "opc_ua": _opc_ua}[rule.codes]

    def read(record: Json, root: Json, key: Key) -> str:
        told = get(record, root, key)
        if told is MISSING or told is None:
            return Quality.GOOD.value
        if isinstance(told, float) and told.is_integer():
            told = int(told)
        text = str(told).casefold() if isinstance(told, bool) else (scalar_text(told) or "").casefold()
        found = words.get(text)
        if found is None and from_code is not None and text.isascii() and text.isdigit() and len(text) <= _LONGEST_CODE:
            found = from_code(int(text)).value
        return otherwise if found is None else found

    return read


_LONGEST_CODE = 10  # digits of a 32-bit number


def _opc_da(code: int) -> Quality:
    """OPC Data Access: the two upper bits of the low byte."""
    return {0b11: Quality.GOOD, 0b01: Quality.UNCERTAIN}.get(code >> 6 & 0b11, Quality.BAD)


def _opc_ua(code: int) -> Quality:
    """OPC UA part 4, 7.39: the two upper bits of the 32-bit status code."""
    return {0b00: Quality.GOOD, 0b01: Quality.UNCERTAIN}.get(code >> 30 & 0b11, Quality.BAD)


def _quality_words(rule: QualityRule) -> dict[str, str]:
    listed = ((Quality.GOOD, rule.good), (Quality.UNCERTAIN, rule.uncertain), (Quality.BAD, rule.bad))
    return {word.casefold(): quality.value for quality, words in listed for word in words}


def used_paths(mapping: Mapping) -> list[str]:
    """Dotted paths that the mapping reads as something else than a leaf; leaves leave them out."""
    texts = [mapping.device_id, mapping.same_device or "", *mapping.attributes.values()]
    units = (mapping.unit, *(rule.unit for rule in mapping.values))
    texts += [unit.template if isinstance(unit, Lookup) else unit or "" for unit in units]
    places = [
        place if isinstance(place, TimeCandidate) else TimeCandidate(path=place) for place in mapping.timestamp.paths
    ]
    texts += [place.template for place in places if place.template is not None]
    paths = [name for text in texts if text for name in parse_template(text).names if not name.startswith("@")]
    paths = [path for path in paths if not is_key(path)]
    paths += [place.path for place in places if place.path is not None]
    if mapping.timestamp.shift is not None and mapping.timestamp.shift.path is not None:
        paths.append(mapping.timestamp.shift.path)
    for rule in mapping.values:
        paths += [rule.path, *rule.timestamp, *([rule.quality] if rule.quality else [])]
    paths += [split.path for split in mapping.split]
    if mapping.quality is not None:
        paths.append(mapping.quality.path)
    return [path.dotted for text in paths for path in parse_path(text).alternatives if not path.up]
