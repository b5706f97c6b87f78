"""Names of devices and metrics, with what depends on a metric's name: its unit and its scale.

A name that the topic decides is worked out once; one that a record decides is remembered by the
text it was made of.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from iot_pipeline.readings.decoding.binding import Captures, bind_text
from iot_pipeline.readings.language.fields import MISSING, Getter, Json, Key, Missing, scalar_text
from iot_pipeline.readings.language.globs import compile_globs
from iot_pipeline.readings.language.model import Linear, Mapping, Rewrite
from iot_pipeline.readings.language.templates import Field, field_getter
from iot_pipeline.readings.language.topics import NamePattern

REMEMBERED = 10_000  # names a sender may invent before old ones are worked out again


class Named(NamedTuple):
    """A metric as it is stored, the unit its name tells and how sure that is."""

    metric: str
    unit: str | None  # by `metric_units`
    suffix_unit: str | None  # by the end of the name


def rewriter(rule: Rewrite | None) -> Callable[[str], str] | None:
    """A function that changes a name as `rule` says; None when names stay."""
    if rule is None:
        return None
    replaced = tuple(rule.replace.items())

    def rewrite(name: str) -> str:
        name = name.removeprefix(rule.strip_prefix).removesuffix(rule.strip_suffix)
        for old, new in replaced:
            name = name.replace(old, new)
        return name.lower() if rule.lower else name

    return rewrite


def with_splits(mapping: Mapping, known: Captures) -> Captures:
    """The captures of a topic and the parts of fields that the mapping splits."""
    names = dict(known)
    for split in mapping.split:
        pattern = NamePattern(split.pattern)
        whole = field_getter(Field((split.path,)), known)
        for name in pattern.captures:
            names[name] = _part(whole, pattern, name)
    return names


def _part(whole: Getter | str, pattern: NamePattern, name: str) -> Getter | str:
    if isinstance(whole, str):
        found = pattern.match(whole)
        return (lambda _record, _root, _key: MISSING) if found is None else found[name]

    def part(record: Json, root: Json, key: Key) -> str | Missing:
        text = scalar_text(whole(record, root, key))
        parts = None if text is None else pattern.match(text)
        return MISSING if parts is None else parts[name]

    return part


def bind_name(template: str, rule: Rewrite | None, known: Captures) -> Getter | str | None:
    """A template that names something, changed as `rule` says."""
    bound, rewrite = bind_text(template, known), rewriter(rule)
    if rewrite is None or bound is None:
        return bound
    if isinstance(bound, str):
        return rewrite(bound) or None
    remembered = lru_cache(REMEMBERED)(rewrite)

    def name(record: Json, root: Json, key: Key) -> str | Missing:
        text = bound(record, root, key)
        return (remembered(text) or MISSING) if isinstance(text, str) else MISSING

    return name


class MetricNames:
    """How the metrics of a mapping are named, and what their names tell."""

    def __init__(self, mapping: Mapping) -> None:
        self._rewrite = rewriter(mapping.metric_name)
        self._units = [(compile_globs([glob]), unit) for glob, unit in mapping.metric_units.items()]
        self._suffixes = sorted(mapping.unit_suffixes.items(), key=lambda item: -len(item[0]))
        self._strip = mapping.strip_suffix
        self._scales = [(compile_globs([glob]), scale) for glob, scale in mapping.scales.items()]
        self._tells = bool(self._units or self._suffixes)
        self._name = lru_cache(REMEMBERED)(self._named)

    def bind(
        self, template: str, known: Captures, unit: Getter | str | None
    ) -> tuple[Getter | str | None, Getter | str | None]:
        """Metric and unit of a value whose path has the unit `unit`; the mapping's own unit comes after."""
        raw = bind_text(template, known)
        if raw is None or not (self._rewrite or self._tells):
            return raw, unit
        if isinstance(raw, str):
            named = self._name(raw)
            return named.metric or None, named.unit or unit or named.suffix_unit
        return self._metric(raw), self._unit(raw, unit) if self._tells else unit

    def _metric(self, raw: Getter) -> Getter:
        def metric(record: Json, root: Json, key: Key) -> str | Missing:
            text = raw(record, root, key)
            return (self._name(text).metric or MISSING) if isinstance(text, str) else MISSING

        return metric

    def _unit(self, raw: Getter, unit: Getter | str | None) -> Getter:
        def found(record: Json, root: Json, key: Key) -> Json | Missing:
            text = raw(record, root, key)
            if not isinstance(text, str):
                return MISSING
            named = self._name(text)
            if named.unit is not None:
                return named.unit
            by_path = unit(record, root, key) if callable(unit) else unit
            return by_path if isinstance(by_path, str) else named.suffix_unit or MISSING

        return found

    def _named(self, raw: str) -> Named:
        name = raw if self._rewrite is None else self._rewrite(raw)
        unit = next((unit for matches, unit in self._units if matches(name)), None)
        end, suffix_unit = next(((end, of) for end, of in self._suffixes if name.endswith(end)), ("", None))
        return Named(name.removesuffix(end) if self._strip else name, unit, suffix_unit)

    @property
    def scales(self) -> bool:
        """Whether any metric is scaled."""
        return bool(self._scales)

    def scale(self, metric: str) -> Linear:
        """How the numbers of a metric become quantities."""
        found = next((scale for matches, scale in self._scales if matches(metric)), 1.0)
        return found if isinstance(found, Linear) else Linear(scale=found)
