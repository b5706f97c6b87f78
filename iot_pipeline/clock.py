"""Minutes and days in UTC: keys, flooring, ranges and the landing minute of a message.

No Dagster partitions here (see `partitions.py`) and no local time zones anywhere:
a `datetime` in this project is timezone-aware and in UTC.
"""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
MINUTE_FORMAT = "%Y-%m-%dT%H:%M"
DAY_FORMAT = "%Y-%m-%d"
MinuteRange = tuple[datetime, datetime]


def utc_now() -> datetime:
    """The present instant, timezone-aware, in UTC."""
    return datetime.now(UTC)


def floor_minute(instant: datetime) -> datetime:
    """The minute that holds `instant`. Raises ValueError for a naive datetime."""
    if instant.tzinfo is None:
        raise ValueError(f"naive datetime {instant!r}: times are timezone-aware here")
    return instant.astimezone(UTC).replace(second=0, microsecond=0)


def landing_minute(received_at: datetime, intake_delay: timedelta) -> datetime:
    """The landing minute of a message: minute m holds what was received in [m + D, m + 1 min + D).

    Shifting by the intake delay D lets minute m close when every reading that happened in m and
    took no longer than D is in, so that the statistics of m are built once in the normal course.
    """
    return floor_minute(received_at - intake_delay)


def minute_key(minute: datetime) -> str:
    """Partition key of a minute, e.g. `2026-11-22T10:42`."""
    return minute.astimezone(UTC).strftime(MINUTE_FORMAT)


def parse_minute(key: str) -> datetime:
    """Inverse of `minute_key`. Raises ValueError for anything else."""
    return datetime.strptime(key, MINUTE_FORMAT).replace(tzinfo=UTC)


def parse_minute_range(text: str) -> MinuteRange:
    """First and last minute of `A..B`, or of a single `A`, like `2026-11-22T10:00..2026-11-22T11:00`.

    Raises ValueError for anything else, and for a range that ends before it begins.
    """
    first_key, dots, last_key = text.partition("..")
    first = parse_minute(first_key)
    last = parse_minute(last_key) if dots else first
    if last < first:
        raise ValueError(f"{text}: ends before it begins")
    return first, last


def day_key(day: date | datetime) -> str:
    """Partition key of a day, e.g. `2026-11-22`; a datetime counts as its UTC day."""
    if isinstance(day, datetime):
        day = day.astimezone(UTC).date()
    return day.strftime(DAY_FORMAT)


def parse_day(key: str) -> date:
    """Inverse of `day_key`. Raises ValueError for anything else."""
    return datetime.strptime(key, DAY_FORMAT).replace(tzinfo=UTC).date()


def day_start(day: date) -> datetime:
    """Midnight in UTC at which `day` begins."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def minutes_between(first: datetime, last: datetime) -> list[datetime]:
    """All minutes from `first` to `last`, both included; empty when `last` is earlier."""
    first, last = floor_minute(first), floor_minute(last)
    count = int((last - first) / MINUTE) + 1
    return [first + index * MINUTE for index in range(max(count, 0))]


def contiguous_ranges(minutes: Iterable[datetime], longest: int | None = None) -> list[MinuteRange]:
    """Group minutes into (first, last) ranges without holes, each at most `longest` minutes."""
    ranges: list[MinuteRange] = []
    for minute in sorted(set(minutes)):
        if ranges:
            first, last = ranges[-1]
            length = int((minute - first) / MINUTE) + 1
            if minute - last == MINUTE and (longest is None or length <= longest):
                ranges[-1] = (first, minute)
                continue
        ranges.append((minute, minute))
    return ranges
