"""Times and cursors as callers write them: what is understood is exact, all else is refused in words."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.serving.api.paging import CursorError, decode_cursor, encode_cursor
from iot_pipeline.serving.api.times import EPOCH, INSTANT_PATTERN, RangeError, parse_instant, time_range

NOW = datetime(2026, 11, 22, 12, 34, 56, 789, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", NOW),
        ("-90s", NOW - timedelta(seconds=90)),
        ("-24h", NOW - timedelta(hours=24)),
        ("-999999d", EPOCH),
        ("2026-11-22T10:00:00Z", datetime(2026, 11, 22, 10, tzinfo=UTC)),
        ("2026-11-22T10:00:00+01:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
        ("2026-11-22T10:00:00 01:00", datetime(2026, 11, 22, 9, tzinfo=UTC)),
    ],
)
def test_instants_are_understood(text: str, instant: datetime) -> None:
    assert re.match(INSTANT_PATTERN, text)
    assert parse_instant(text, NOW) == instant


# Offsets are whole minutes, in ISO 8601 and in INSTANT_PATTERN.
offsets = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(timezones=offsets))
def test_every_instant_is_understood_or_refused(instant: datetime) -> None:
    try:
        expected = instant.astimezone(UTC)
    except OverflowError:
        with pytest.raises(RangeError):
            parse_instant(instant.isoformat(), NOW)
    else:
        assert parse_instant(instant.isoformat(), NOW) == expected


@given(st.from_regex(INSTANT_PATTERN, fullmatch=True), st.from_regex(INSTANT_PATTERN, fullmatch=True))
def test_a_range_is_whole_steps_around_what_was_asked_for_or_refused(since: str, until: str) -> None:
    try:
        span = time_range(since, until, now=NOW, usual=HOUR, longest=10_000 * HOUR, step=HOUR)
    except RangeError:
        return
    begin, end = parse_instant(since, NOW), parse_instant(until, NOW)
    assert span.since <= begin < end <= span.until
    assert begin - span.since < HOUR
    assert span.until - end < HOUR
    assert (span.since.minute, span.since.second, span.until.minute, span.until.second) == (0, 0, 0, 0)


@given(st.lists(st.none() | st.text(), min_size=1, max_size=5))
def test_a_cursor_gives_its_key_back(parts: list[str | None]) -> None:
    assert decode_cursor(encode_cursor(tuple(parts)), len(parts)) == tuple(parts)


@given(st.text())
def test_any_other_text_is_no_cursor(text: str) -> None:
    try:
        key = decode_cursor(text, 2)
    except CursorError:
        return
    assert decode_cursor(encode_cursor(key), 2) == key
