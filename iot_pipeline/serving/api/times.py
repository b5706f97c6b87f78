"""Times and ranges as callers write them, and how long a range may be. Pure functions; no HTTP here.

An instant is ISO 8601 with an offset, `now`, or relative to now: `-90s`, `-15m`, `-24h`, `-7d`.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from iot_pipeline.clock import DAY, MINUTE

_RELATIVE = re.compile(r"-(\d{1,6})([smhd])")
_UNITS = {"s": timedelta(seconds=1), "m": MINUTE, "h": timedelta(hours=1), "d": DAY}
# An unescaped `+` of an offset arrives as a blank.
_LOST_PLUS = re.compile(r"(T[0-9:.]+) (\d\d:?\d\d)$")
INSTANT_PATTERN = r"^(now|-\d{1,6}[smhd]|\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[-+ ]\d\d:\d\d))$"
EXPECTED = "an instant such as 2026-11-22T10:00:00Z, `now`, or a relative one such as -90s, -15m, -24h or -7d"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RangeError(ValueError):
    """A time or a range that cannot be answered; the text says what is allowed."""


class Resolution(StrEnum):
    """How wide the windows of a history are."""

    minute = "minute"
    hour = "hour"
    day = "day"
    month = "month"
    year = "year"


# What a range may span, bounded by the files that have to be opened (one a minute, or one a day).
LONGEST: dict[Resolution, timedelta] = {
    Resolution.minute: 2 * DAY,
    Resolution.hour: 31 * DAY,
    Resolution.day: 366 * DAY,
    Resolution.month: 3_660 * DAY,
    Resolution.year: 36_600 * DAY,
}
USUAL: dict[Resolution, timedelta] = {
    Resolution.minute: timedelta(hours=1),
    Resolution.hour: DAY,
    Resolution.day: 30 * DAY,
    Resolution.month: 366 * DAY,
    Resolution.year: 3_660 * DAY,
}


@dataclass(frozen=True, slots=True)
class TimeRange:
    """[since, until) in UTC, not empty."""

    since: datetime
    until: datetime


def parse_instant(text: str, now: datetime) -> datetime:
    """The instant that a caller wrote, in UTC. Raises RangeError."""
    if text == "now":
        return now
    if found := _RELATIVE.fullmatch(text):
        return now - min(int(found[1]) * _UNITS[found[2]], now - EPOCH)
    try:
        instant = datetime.fromisoformat(_LOST_PLUS.sub(r"\1+\2", text))
    except ValueError as error:
        raise RangeError(f"expected {EXPECTED}") from error
    if instant.tzinfo is None:
        raise RangeError(f"the time has no offset: write it with Z or, say, +01:00; expected {EXPECTED}")
    try:
        return instant.astimezone(UTC)
    except OverflowError as error:
        raise RangeError("the time is outside the years 1 to 9999 in UTC") from error


def time_range(
    since: str | None,
    until: str | None,
    *,
    now: datetime,
    usual: timedelta,
    longest: timedelta,
    step: timedelta = timedelta(microseconds=1),
) -> TimeRange:
    """The range that a caller asks for; widened to whole `step`s, so that equal questions get equal answers.

    Args:
        since: begin, included; default: `usual` before the end.
        until: end, not included; default: now.
        now: the present instant.
        usual: length without `since`.
        longest: most that is allowed.
        step: a divisor of a day.

    Raises:
        RangeError: it is empty, reversed, in the future or too long; the text says what is allowed.
    """
    end = parse_instant(until, now) if until is not None else now
    begin = parse_instant(since, now) if since is not None else end - min(usual, end - EPOCH)
    if begin > now:
        raise RangeError(f"`since` is in the future: {_text(begin)}; it is {_text(now)} now")
    if begin == end:
        raise RangeError(f"the range is empty: it begins and ends at {_text(begin)}; `until` is not included")
    if begin > end:
        raise RangeError(f"the range is reversed: `since` {_text(begin)} is after `until` {_text(end)}")
    if end - begin > longest:
        raise RangeError(f"the range spans {_span(end - begin)}; at most {_span(longest)} are allowed here")
    since_start = begin - (begin - datetime.min.replace(tzinfo=UTC)) % step
    over = (end - datetime.min.replace(tzinfo=UTC)) % step
    try:
        return TimeRange(since_start, end + (step - over) if over else end)
    except OverflowError as error:
        raise RangeError("`until` is outside the years 1 to 9999 in UTC") from error


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds").replace("+00:00", "Z")


def _span(span: timedelta) -> str:
    """Whole days, hours or minutes where it is that, for people."""
    for unit, name in ((DAY, "days"), (timedelta(hours=1), "hours"), (MINUTE, "minutes")):
        if span >= unit:
            return f"{span / unit:.4g} {name}"
    return f"{span.total_seconds():g} seconds"
