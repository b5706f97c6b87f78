"""Where a value goes: its metric, unit and coercion, and what is told of it alone, bound to a topic.

A target is worked out once for each path. Most are plain: a metric, a unit, a coercion. One that
has a time, a quality or a unit of its own is `special` and read on a path of its own.
"""

from iot_pipeline.readings.decoding.binding import (
    Captures,
    QualityReader,
    bind_unit,
    quality_reader,
    resolve,
    unit_finder,
)
from iot_pipeline.readings.decoding.event_times import TimeReader, bind_own_time
from iot_pipeline.readings.decoding.naming import MetricNames
from iot_pipeline.readings.language.beside import Step, beside_path
from iot_pipeline.readings.language.fields import Getter, Json, Key, compile_path, parse_path
from iot_pipeline.readings.language.model import Mapping, ValueRule
from iot_pipeline.readings.language.values import Coerce, TextRule, compile_coerce


class Target:
    """What becomes of the values at one path."""

    __slots__ = ("coerce", "coerces", "direct", "metric", "path", "quality", "special", "time", "unit", "unit_in_text")

    def __init__(
        self, path: str, metric: Getter | str | None, unit: Getter | str | None, coerce: Coerce, *, direct: bool
    ) -> None:
        self.path = path
        self.metric = metric
        self.unit = unit
        self.coerce = coerce
        self.direct = direct  # whether a float is stored as it is
        self.coerces: _ByMetric | None = None  # when the metric decides the scale and the record the metric
        self.special = False
        self.time: TimeReader | None = None
        self.quality: QualityReader | None = None
        self.unit_in_text = False

    def coerce_for(self, metric: str) -> Coerce:
        """The coercion for a metric that the record named."""
        return self.coerce if self.coerces is None else self.coerces.of(metric)


class _ByMetric:
    """Coercions by metric, remembered; a sender that invents names must not fill the memory."""

    def __init__(self, targets: "Targets", text: TextRule) -> None:
        self._targets, self._text = targets, text
        self._known: dict[str, Coerce] = {}

    def of(self, metric: str) -> Coerce:
        found = self._known.get(metric)
        if found is None:
            if len(self._known) >= 10_000:
                self._known.clear()
            found = self._known[metric] = self._targets.coerce(self._text, metric)
        return found


class Targets:
    """Makes the targets of one mapping for one topic."""

    def __init__(self, mapping: Mapping, known: Captures) -> None:
        self._mapping = mapping
        self._known = known
        self._names = MetricNames(mapping)
        self._unit_of = unit_finder(mapping.model_copy(update={"unit": None}), known)
        self._otherwise = bind_unit(mapping.unit, known)
        leaves = mapping.leaves
        self.own_times = any(rule.timestamp for rule in mapping.values) or bool(leaves and leaves.timestamp)

    def value(self, rule: ValueRule) -> Target:
        """The target of an explicit value."""
        path = parse_path(rule.path).dotted
        own = bind_unit(rule.unit, self._known)
        target = self._target(path, path, rule.text or TextRule.REJECT, rule=rule, own=own)
        target.time = bind_own_time([_place(text) for text in rule.timestamp], self._mapping.timestamp)
        self._quality(target, None if rule.quality is None else _place(rule.quality))
        return target

    def leaf(self, path: str, leaf: str, steps: tuple[Step, ...], under: int) -> Target:
        """The target of the leaf at `steps`; its path below `leaves.under`, of `under` steps, is `leaf`."""
        rule = self._mapping.leaves
        if rule is None:
            raise ValueError("a mapping without leaves has no targets for them")
        target = self._target(path, leaf, rule.text)
        time, quality, unit = (_beside(text, steps, under) for text in (rule.timestamp, rule.quality, rule.unit))
        target.time = bind_own_time([] if time is None else [time], self._mapping.timestamp)
        self._quality(target, quality)
        if unit is not None:
            target.unit = _first_text(unit, target.unit)
        return target

    def coerce(self, text: TextRule, metric: str | None, rule: ValueRule | None = None) -> Coerce:
        """The coercion of values of a metric; None when only a record can name it."""
        mapping = self._mapping
        linear = self._names.scale(metric) if metric is not None else None
        scale = 1.0 if linear is None else linear.scale
        offset = 0.0 if linear is None else linear.offset
        if rule is not None and (rule.scale is not None or rule.offset is not None):
            scale = 1.0 if rule.scale is None else rule.scale
            offset = rule.offset or 0.0
        own_words = rule is not None and rule.words is not None
        own_nothing = rule is not None and rule.no_value is not None
        return compile_coerce(
            (rule.words if own_words and rule is not None else None) or ({} if own_words else mapping.words),
            numeric_text=mapping.numeric_text,
            text_rule=text,
            decimal_comma=mapping.decimal_comma,
            no_value=(rule.no_value if own_nothing and rule is not None else None)
            or (() if own_nothing else mapping.no_value),
            scale=scale,
            offset=offset,
        )

    def _target(
        self, path: str, leaf: str, text: TextRule, *, rule: ValueRule | None = None, own: Getter | str | None = None
    ) -> Target:
        mapping = self._mapping
        template = mapping.metric if rule is None or rule.metric is None else rule.metric
        known = {**self._known, "path": path, "leaf": leaf}
        metric, unit = self._names.bind(template, known, self._unit_of(path))
        unit = own if own is not None else _or_else(unit, self._otherwise)
        name = metric if isinstance(metric, str) else None
        scaled_rule = rule is not None and (rule.scale is not None or rule.offset is not None)
        no_value = mapping.no_value if rule is None or rule.no_value is None else rule.no_value
        target = Target(
            path,
            metric,
            unit,
            self.coerce(text, name, rule),
            direct=not (no_value or scaled_rule or self._names.scales),
        )
        if self._names.scales and name is None and not scaled_rule:
            target.coerces = _ByMetric(self, text)
        target.unit_in_text = mapping.unit_in_text
        target.special = target.coerces is not None or mapping.unit_in_text or self.own_times
        return target

    def _quality(self, target: Target, place: Getter | None) -> None:
        if place is not None and self._mapping.quality is not None:
            target.quality = quality_reader(self._mapping.quality, place)
            target.special = True


def _place(text: str) -> Getter:
    return compile_path(parse_path(text))


def _beside(text: str | None, steps: tuple[Step, ...], under: int) -> Getter | None:
    path = None if text is None else beside_path(text, steps, under)
    return None if path is None else compile_path(path)


def _or_else(unit: Getter | str | None, otherwise: Getter | str | None) -> Getter | str | None:
    if unit is None or not callable(unit) or otherwise is None:
        return otherwise if unit is None else unit
    return _first_text(unit, otherwise)


def _first_text(first: Getter, otherwise: Getter | str | None) -> Getter:
    def unit(record: Json, root: Json, key: Key) -> str | None:
        return resolve(first, record, root, key) or resolve(otherwise, record, root, key)

    return unit
