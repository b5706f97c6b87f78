"""Which landing minutes are asked for, and when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE, minutes_between
from iot_pipeline.landing.closing import IntakeCursor, closed_through, next_request, note_landed
from iot_pipeline.landing.heartbeat import CollectorHeartbeat
from iot_pipeline.landing.ledger import LedgerCursor

T = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
DELAY = timedelta(seconds=10)
WINDOW = T - timedelta(days=13)


def beat(written_at: datetime, landed_through: datetime) -> CollectorHeartbeat:
    return CollectorHeartbeat(
        collector="c",
        pid=1,
        started_at=T,
        written_at=written_at,
        connected=True,
        messages=0,
        payload_bytes=0,
        batches=0,
        duplicates_flagged=0,
        unacked=0,
        pending_rows=0,
        last_received_at=None,
        landed_through=landed_through,
        reconnects=0,
        last_error=None,
        broker="127.0.0.1:1883",
        cpu_seconds=0.0,
        rss_bytes=0,
    )


def closed(now: datetime, *beats: CollectorHeartbeat) -> datetime | None:
    return closed_through(now, beats, intake_delay=DELAY)


def cursor(**values: object) -> IntakeCursor:
    return IntakeCursor(ledger=LedgerCursor(), **values)  # type: ignore[arg-type]


def test_a_minute_closes_an_intake_delay_after_its_end() -> None:
    just_before, just_after = T + timedelta(seconds=69), T + timedelta(seconds=70)
    assert closed(just_before, beat(just_before, just_before)) == T - MINUTE
    assert closed(just_after, beat(just_after, just_after)) == T


def test_the_slowest_living_collector_decides() -> None:
    now = T + timedelta(minutes=5)
    assert closed(now, beat(now, now), beat(now, T + timedelta(seconds=75))) == T


def test_without_a_living_collector_nothing_closes() -> None:
    now = T + timedelta(minutes=5)
    assert closed(now) is None
    assert closed(now, beat(now - timedelta(seconds=16), now)) is None


def test_a_collector_that_stopped_or_fell_silent_holds_nothing_up() -> None:
    now, old = T + timedelta(minutes=5), T - timedelta(minutes=5)
    living = beat(now, T + timedelta(seconds=75))
    assert closed(now, living, replace(beat(now, old), stopped=True)) == T
    assert closed(now, living, beat(now - timedelta(seconds=16), old)) == T


def test_the_first_landed_minute_begins_the_front() -> None:
    noted = note_landed(cursor(), [T + MINUTE, T], LedgerCursor())
    request, after = next_request(noted, T, WINDOW, 120)
    assert request is not None
    assert (request.first, request.last) == (T, T)
    assert after.next_minute == T + MINUTE
    assert after.pending == (T + MINUTE,)


def test_an_empty_minute_is_asked_for_like_any_other() -> None:
    request, _ = next_request(cursor(next_minute=T), T + 3 * MINUTE, WINDOW, 120)
    assert request is not None
    assert (request.first, request.last) == (T, T + 3 * MINUTE)


def test_a_backlog_is_taken_in_long_ranges() -> None:
    state, runs = cursor(next_minute=T), 0
    while True:
        request, state = next_request(state, T + 599 * MINUTE, WINDOW, 120)
        if request is None:
            break
        runs += 1
    assert runs == 5
    assert state.next_minute == T + 600 * MINUTE


def test_files_that_land_behind_the_front_are_taken_again() -> None:
    state = note_landed(cursor(next_minute=T + 10 * MINUTE), [T, T + MINUTE, T + 4 * MINUTE], LedgerCursor())
    first, state = next_request(state, T + 9 * MINUTE, WINDOW, 120)
    second, state = next_request(state, T + 9 * MINUTE, WINDOW, 120)
    nothing, _ = next_request(state, T + 9 * MINUTE, WINDOW, 120)
    assert first is not None
    assert second is not None
    assert (first.first, first.last, second.first) == (T, T + MINUTE, T + 4 * MINUTE)
    assert nothing is None


def test_minutes_before_the_window_are_not_asked_for() -> None:
    state = note_landed(cursor(next_minute=T), [WINDOW - MINUTE], LedgerCursor())
    request, _ = next_request(state, T - MINUTE, WINDOW, 120)
    assert request is None


def test_a_cursor_survives_its_text() -> None:
    state = cursor(next_minute=T, pending=(T, T + MINUTE))
    assert IntakeCursor.load(state.dump()) == state
    assert IntakeCursor.load(None) == cursor()


@given(
    landed=st.lists(st.integers(min_value=-20, max_value=60), max_size=30),
    closes=st.lists(st.integers(min_value=0, max_value=60), min_size=1, max_size=10).map(sorted),
    longest=st.integers(min_value=1, max_value=30),
)
def test_every_closed_minute_since_the_first_is_asked_for_and_none_in_the_future(
    landed: list[int], closes: list[int], longest: int
) -> None:
    state = note_landed(cursor(next_minute=T), [T + offset * MINUTE for offset in landed], LedgerCursor())
    asked: set[datetime] = set()
    for offset in closes:
        while True:
            request, state = next_request(state, T + offset * MINUTE, WINDOW, longest)
            if request is None:
                break
            span = minutes_between(request.first, request.last)
            assert len(span) <= longest
            assert span[-1] <= T + offset * MINUTE
            asked.update(span)
    expected = set(minutes_between(T, T + closes[-1] * MINUTE))
    behind = {T + offset * MINUTE for offset in landed if offset < 0}
    assert asked == expected | behind
