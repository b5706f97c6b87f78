"""Event times: from what a message says to microseconds since 1970 UTC.

Rules that hold everywhere: more than six fractional digits are cut; a local time that the clocks
skipped in spring counts as if they had not yet been moved; one that happened twice in autumn is
the first. Both follow Python's `fold=0` and give the same answer every time.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from zoneinfo import ZoneInfo

from iot_pipeline.readings.language.fields import Json, Missing

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[+-]?\d{1,25}(\.\d{1,25})?", re.ASCII)
_LARGEST = 1e19  # in any unit: far outside every calendar, and small enough for the arithmetic below


class TimeUnit(StrEnum):
    """How a time is written."""

    ISO = "iso"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"
    MAGNITUDE = "magnitude"  # a number; its size tells seconds, ms, us or ns
    AUTO = "auto"  # ISO text, or a number by magnitude


class SpanUnit(StrEnum):
    """How a length of time is written."""

    HOURS = "h"
    MINUTES = "min"
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


def microseconds(instant: datetime) -> int:
    """An aware datetime as microseconds since 1970 UTC, exactly."""
    since = instant - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def load_zone(name: str) -> tzinfo:
    """The time zone called `name`. Raises ValueError when there is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no IANA time zone; examples: UTC, Europe/Berlin, America/New_York") from error


def parse_iso(text: str, zone: tzinfo) -> int | None:
    """Microseconds of an ISO 8601 date, or date and time; naive ones are in `zone`. None when it is none."""
    # `fromisoformat` takes any character between date and time and the forms without dashes,
    # in which a plain number can look like a date: neither is accepted here.
    if len(text) < 10 or text[4] != "-" or text[7] != "-" or (len(text) > 10 and text[10] not in "Tt "):
        return None
    try:
        instant = datetime.fromisoformat(text)
        return microseconds(instant if instant.tzinfo is not None else instant.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        return None


def parse_as(text: str, pattern: str, zone: tzinfo) -> int | None:
    """Microseconds of a text by a `strptime` pattern; naive ones are in `zone`. None when it does not fit."""
    try:
        instant = datetime.strptime(text, pattern)  # noqa: DTZ007  # the zone comes in the next line
        return microseconds(instant if instant.tzinfo is not None else instant.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        return None


_SCALES = {
    TimeUnit.SECONDS: (1_000_000, 1),
    TimeUnit.MILLISECONDS: (1_000, 1),
    TimeUnit.MICROSECONDS: (1, 1),
    TimeUnit.NANOSECONDS: (1, 1_000),
}


def _scale_by_magnitude(number: float) -> tuple[int, int]:
    # Between 1973 and 5138 the four units never overlap.
    size = abs(number)
    if size < 1e11:
        return 1_000_000, 1
    if size < 1e14:
        return 1_000, 1
    return (1, 1) if size < 1e17 else (1, 1_000)


def parse_number(value: Json | Missing, unit: TimeUnit) -> int | None:
    """Microseconds of a number, or of a text that is one. None when it is neither."""
    number: int | float
    if type(value) is int or type(value) is float:
        number = value
    elif type(value) is str and _NUMBER.fullmatch(value):
        number = float(value) if "." in value else int(value)
    else:
        return None
    if not abs(number) < _LARGEST:  # NaN too
        return None
    times, divided = _SCALES.get(unit) or _scale_by_magnitude(number)
    if isinstance(number, int):
        return number * times // divided
    return math.floor(number * times / divided + 0.5)


_SPANS = {
    SpanUnit.HOURS: (3_600_000_000, 1),
    SpanUnit.MINUTES: (60_000_000, 1),
    SpanUnit.SECONDS: (1_000_000, 1),
    SpanUnit.MILLISECONDS: (1_000, 1),
    SpanUnit.MICROSECONDS: (1, 1),
    SpanUnit.NANOSECONDS: (1, 1_000),
}


def parse_span(value: Json | Missing, unit: SpanUnit) -> int | None:
    """Microseconds of a length of time, which may be negative. None when it is none."""
    if type(value) is str and _NUMBER.fullmatch(value):
        value = float(value) if "." in value else int(value)
    if (type(value) is not int and type(value) is not float) or not abs(value) < _LARGEST:
        return None
    times, divided = _SPANS[unit]
    return value * times // divided if type(value) is int else math.floor(value * times / divided + 0.5)


def compile_time(unit: TimeUnit, zone: tzinfo) -> Callable[[Json | Missing], int | None]:
    """A function from what a message says to microseconds since 1970 UTC, or None when unusable."""
    if unit is TimeUnit.ISO:
        return lambda value: parse_iso(value, zone) if type(value) is str else None
    if unit is TimeUnit.AUTO:

        def either(value: Json | Missing) -> int | None:
            found = parse_iso(value, zone) if type(value) is str else None
            return parse_number(value, TimeUnit.MAGNITUDE) if found is None else found

        return either
    return lambda value: parse_number(value, unit)
