"""Which minutes and days are built again."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from iot_pipeline.clock import MINUTE
from iot_pipeline.files import append_line
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.lateness import (
    Touch,
    due_days,
    flags_behind,
    journal_path,
    note_days,
    read_touches,
    stale_minutes,
)

T = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
LINE = (
    '{"minute":"2026-11-22T10:05","built_at":"2026-11-22T10:06:20+00:00",'
    '"touched_minutes":["2026-11-22T10:05","2026-11-22T10:02"],"touched_days":["2026-11-22"]}'
)


def touch(*minutes: datetime, built_at: datetime = T) -> Touch:
    return Touch(T, built_at, minutes, ())


def stale(touches: list[Touch], published: dict[datetime, datetime], front: datetime = T) -> set[datetime]:
    return stale_minutes(touches, published.get, first_minute=T - 24 * HOUR, front=front)


def test_a_minute_is_stale_when_its_readings_are_newer_than_its_statistics() -> None:
    published = {T - MINUTE: T - HOUR, T - 2 * MINUTE: T + HOUR}
    assert stale([touch(T - MINUTE, T - 2 * MINUTE)], published) == {T - MINUTE}


def test_a_minute_that_was_never_built_is_stale_behind_the_front_only() -> None:
    assert stale([touch(T - MINUTE, T + MINUTE)], {}) == {T - MINUTE}


def test_a_minute_before_the_window_has_no_partition() -> None:
    assert stale([touch(T - 25 * HOUR)], {}) == set()


def test_flags_follow_as_far_as_detectors_look_back_but_not_past_the_front() -> None:
    assert flags_behind({T - 3 * MINUTE}, 2 * MINUTE, T) == {T - 3 * MINUTE, T - 2 * MINUTE, T - MINUTE}
    assert flags_behind({T}, 30 * MINUTE, T) == {T}


def test_the_journal_is_read_by_offset_and_a_torn_line_waits(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    append_line(journal_path(paths), LINE)
    with journal_path(paths).open("a") as journal:
        journal.write('{"minute":"2026-11-22T10:0')
    touches, offset = read_touches(journal_path(paths), 0)
    assert [item.minutes for item in touches] == [(T + 5 * MINUTE, T + 2 * MINUTE)]
    assert touches[0].days == (date(2026, 11, 22),)
    assert read_touches(journal_path(paths), offset) == ([], offset)
    append_line(journal_path(paths), LINE)
    again, _ = read_touches(journal_path(paths), offset)
    assert again == touches


def test_a_journal_that_was_removed_is_read_from_its_beginning(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    append_line(journal_path(paths), LINE)
    touches, offset = read_touches(journal_path(paths), 10_000)
    assert len(touches) == 1
    assert offset == len(LINE) + 1


def due(pending: dict[date, datetime], published: dict[date, datetime], now: datetime) -> set[date]:
    return due_days(pending, published.get, now, today_every=HOUR, closing=timedelta(minutes=25))[0]


def test_the_present_day_is_built_at_once_and_then_once_an_hour() -> None:
    today = T.date()
    assert due({today: T}, {}, T) == {today}
    assert due({today: T}, {today: T - timedelta(minutes=59)}, T) == set()
    assert due({today: T}, {today: T - HOUR}, T) == {today}


def test_yesterday_waits_for_its_schedule_and_older_days_do_not() -> None:
    midnight = datetime(2026, 11, 22, tzinfo=UTC)
    yesterday, older = date(2026, 11, 21), date(2013, 1, 5)
    assert due({yesterday: midnight, older: midnight}, {}, midnight + timedelta(minutes=5)) == {older}
    assert due({yesterday: midnight}, {}, midnight + timedelta(minutes=30)) == {yesterday}


def test_a_day_that_was_published_after_its_last_change_is_done() -> None:
    day = date(2026, 11, 20)
    touches = [Touch(T, T, (), (day,)), Touch(T, T - HOUR, (), (day,))]
    pending = note_days({}, touches)
    assert pending == {day: T}
    done, waiting = due_days(pending, {day: T + MINUTE}.get, T + HOUR, today_every=HOUR, closing=HOUR)
    assert (done, waiting) == (set(), {})
