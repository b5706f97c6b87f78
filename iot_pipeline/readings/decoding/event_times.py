"""When a record happened: the first usable of the times that it tells, or why there is none.

How a time is written is in `language/times.py`; what is allowed, in `binding.Limits`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from iot_pipeline.readings.decoding.binding import Captures, Limits, bind_text
from iot_pipeline.readings.language.fields import Getter, Json, Key, Level, Missing, compile_path, parse_path
from iot_pipeline.readings.language.model import TimeCandidate, TimeRule, TimeShift
from iot_pipeline.readings.language.times import compile_time, load_zone, parse_as, parse_span
from iot_pipeline.readings.schema import QuarantineReason

TimeReader = Callable[[Json, Json, Key], "int | None"]


class NoTime(NamedTuple):
    """Why a record has no event time."""

    reason: QuarantineReason
    detail: str


# (record, root, key, received µs) -> µs since 1970 UTC, or why there is none
EventTime = Callable[[Json, Json, Key, int], "int | NoTime"]
_NO_TIME = NoTime(QuarantineReason.NO_TIMESTAMP, "no usable event time")


def bind_event_time(rule: TimeRule, known: Captures, limits: Limits) -> EventTime:
    """A function that gives the event time of a record."""
    readers = [_reader(place, rule, known) for place in rule.paths]
    otherwise = rule.fallback == "received"
    refused_received = rule.refused == "received"
    refuse = limits.refuse
    if rule.shift is not None:
        return _shifted(readers, rule, rule.shift, limits)
    if not readers:
        return lambda _record, _root, _key, received_us: received_us if otherwise else _NO_TIME
    if len(readers) == 1:
        return _only(readers[0], rule, limits)

    def event_time(record: Json, root: Json, key: Key, received_us: int) -> int | NoTime:
        refused = None
        for read in readers:
            found = read(record, root, key)
            # 0 is what a clock says that was never set.
            if found is not None and found > 0:
                problem = refuse(found, received_us)
                if problem is None:
                    return found
                refused = refused or problem
        if refused is None:
            return received_us if otherwise else _NO_TIME
        return received_us if refused_received else NoTime(QuarantineReason.CLOCK, refused)

    return event_time


def _only(read: TimeReader, rule: TimeRule, limits: Limits) -> EventTime:
    """As below, for the one place where most mappings look."""
    otherwise, refused_received, refuse = rule.fallback == "received", rule.refused == "received", limits.refuse

    def event_time(record: Json, root: Json, key: Key, received_us: int) -> int | NoTime:
        found = read(record, root, key)
        if found is None or found <= 0:
            return received_us if otherwise else _NO_TIME
        problem = refuse(found, received_us)
        if problem is None:
            return found
        return received_us if refused_received else NoTime(QuarantineReason.CLOCK, problem)

    return event_time


def bind_own_time(places: Sequence[Getter], rule: TimeRule) -> TimeReader | None:
    """A reader of the time of one value, written as `rule` says; None when there is none to read."""
    if not places:
        return None
    parse = compile_time(rule.unit, load_zone(rule.zone))

    def read(record: Json, root: Json, key: Key) -> int | None:
        for get in places:
            found = parse(get(record, root, key))
            if found is not None and found > 0:
                return found
        return None

    return read


def _reader(place: str | TimeCandidate, rule: TimeRule, known: Captures) -> TimeReader:
    candidate = place if isinstance(place, TimeCandidate) else TimeCandidate(path=place)
    zone = load_zone(candidate.zone or rule.zone)
    get = _getter(candidate, known)
    if candidate.format is None:
        parse = compile_time(candidate.unit or rule.unit, zone)
        return lambda record, root, key: parse(get(record, root, key))
    pattern = candidate.format

    def formatted(record: Json, root: Json, key: Key) -> int | None:
        text = get(record, root, key)
        return parse_as(text, pattern, zone) if type(text) is str else None

    return formatted


def _getter(candidate: TimeCandidate, known: Captures) -> Getter:
    if candidate.path is not None:
        return compile_path(parse_path(candidate.path))
    bound = bind_text(candidate.template or "", known)
    return bound if callable(bound) else lambda _record, _root, _key: bound


def _shifted(readers: list[TimeReader], rule: TimeRule, shift: TimeShift, limits: Limits) -> EventTime:
    """The time plus or minus a length: of a series at intervals, or of a reading that tells its age."""
    length = _length(shift)

    def event_time(record: Json, root: Json, key: Key, received_us: int) -> int | NoTime:
        added = length(record, root, key)
        if added is None:
            return _NO_TIME
        refused = None
        for read in readers:
            found = read(record, root, key)
            if found is not None and found > 0:
                problem = limits.refuse(found + added, received_us)
                if problem is None:
                    return found + added
                refused = refused or problem
        if refused is not None and rule.refused == "reject":
            return NoTime(QuarantineReason.CLOCK, refused)
        if refused is None and rule.fallback == "reject":
            return _NO_TIME
        problem = limits.refuse(received_us + added, received_us)
        return received_us + added if problem is None else NoTime(QuarantineReason.CLOCK, problem)

    return event_time


def _length(shift: TimeShift) -> TimeReader:
    sign = -1 if shift.subtract else 1
    get: Getter = (
        (lambda _record, _root, _key: shift.value) if shift.path is None else compile_path(parse_path(shift.path))
    )

    def length(record: Json, root: Json, key: Key) -> int | None:
        told: Json | Missing = get(record, root, key)
        span = parse_span(told, shift.unit)
        if span is None:
            return None
        if not shift.per_index:
            return sign * span
        index = key.key if isinstance(key, Level) else key
        return sign * span * index if isinstance(index, int) else None

    return length
