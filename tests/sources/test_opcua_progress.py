"""Marks: what may be remembered of a node once it is landed, and that no gap is ever passed over."""

import time
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.sources.opcua.changes import Item
from iot_pipeline.sources.opcua.gaps import Filled
from iot_pipeline.sources.opcua.positions import Landed, mark_of
from iot_pipeline.sources.opcua.progress import LOOK_BACK, Progress

# Not long ago: what is asked for is bounded by the present clock.
START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
A = Item("a", ua.NodeId("a", 2), "plant", "a", history=True)
B = Item("b", ua.NodeId("b", 2), "plant", "b", history=False)


def change(item: Item, second: int) -> tuple[Item, ua.DataValue]:
    return item, ua.DataValue(ua.Variant(float(second)), SourceTimestamp=START + timedelta(seconds=second))


def mark(second: int) -> int:
    return (int(START.timestamp()) + second) * 1_000_000


def begun(landed: Landed | None, items: list[Item], lag: float = 60) -> Progress:
    progress = Progress(landed, lag=lag)
    progress.begin(items)
    return progress


def asked(progress: Progress, after: float = 0) -> dict[Item, int]:
    """What is asked of the history so many seconds from now."""
    now = time.monotonic() + after
    due = progress.gaps.due(now)
    progress.gaps.asked(due, now)
    return due


def answered(progress: Progress, *seconds: int) -> None:
    progress.told(A, [change(A, second)[1] for second in seconds])


def test_a_node_that_was_never_heard_has_no_gap() -> None:
    progress = begun(None, [A, B])
    assert not progress.gaps
    assert progress.without_history([A, B]) is None


def test_a_gap_begins_where_the_node_was_landed_and_not_long_before_the_server_was_heard() -> None:
    heard = START + timedelta(days=30)
    progress = begun(Landed({"a": mark(5), "b": mark(7)}, heard), [A, B])
    assert asked(progress) == {A: mark_of(heard - LOOK_BACK)}
    assert progress.without_history([A, B]) == (1, START + timedelta(seconds=7))
    assert asked(begun(Landed({"a": mark(5)}, START), [A])) == {A: mark(5)}


def test_a_gap_ends_where_history_has_reached_what_was_heard_first_after_it() -> None:
    progress = begun(Landed({"a": mark(1)}, START), [A])
    progress.live([change(A, 9)])
    asked(progress)
    answered(progress, 3, 8)
    assert progress.close_gaps() is None
    progress.live([change(A, 20)])
    assert asked(progress) == {}
    assert asked(progress, after=2) == {A: mark(8)}
    answered(progress, 8, 9)
    assert progress.close_gaps() == Filled(since=mark(1), nodes=1, values=4)
    assert progress.live([change(B, 21)])[0] == {"a": mark(20), "b": mark(21)}


def test_a_node_that_did_not_change_has_no_gap_once_it_was_asked_for() -> None:
    progress = begun(Landed({"a": mark(1)}, START), [A])
    asked(progress)
    assert progress.close_gaps() is None
    progress.live([change(A, 1)])
    assert asked(progress, after=2) == {}
    assert progress.close_gaps() == Filled(since=mark(1), nodes=1)


@pytest.mark.parametrize(("heard", "short"), [([], []), ([9], [(mark(4), mark(9))])])
def test_a_gap_is_given_up_when_the_history_was_asked_late_enough(
    heard: list[int], short: list[tuple[int, int]]
) -> None:
    progress = begun(Landed({"a": mark(1)}, START), [A], lag=10)
    progress.live([change(A, second) for second in heard])
    asked(progress)
    answered(progress, 4)
    assert progress.close_gaps() is None
    assert asked(progress, after=11) == {A: mark(4)}
    assert progress.close_gaps() == Filled(since=mark(1), nodes=1, values=1, short=short)


def test_history_that_is_refused_is_asked_no_more() -> None:
    progress = begun(Landed({"a": mark(1)}, START), [A])
    asked(progress)
    progress.gaps.refused(A, "BadUserAccessDenied")
    assert progress.close_gaps() == Filled(since=mark(1), nodes=1, refused=Counter(BadUserAccessDenied=1))
    assert progress.close_gaps() is None


def test_a_second_gap_while_the_first_is_read_is_not_forgotten() -> None:
    progress = begun(Landed({"a": mark(1)}, START), [A])
    progress.live([change(A, 5)])
    asked(progress)
    progress.read_again(A)
    answered(progress, 5)
    assert progress.close_gaps() is None
    assert progress.live([change(A, 9)]) == ({}, None)
    assert asked(progress) == {A: mark(5)}


def test_a_clock_that_was_never_set_moves_nothing() -> None:
    value = ua.DataValue(ua.Variant(1.0), SourceTimestamp=datetime(1601, 1, 1, tzinfo=UTC))
    assert begun(None, [A]).live([(A, value)])[0] == {}


steps = st.lists(
    st.one_of(
        st.just(("heard", 1)),
        st.tuples(st.sampled_from(["overflow", "reconnect"]), st.integers(1, 5)),
        st.tuples(st.just("history"), st.integers(0, 10)),
    ),
    max_size=40,
)


@given(steps)
def test_what_may_be_remembered_never_passes_a_value_that_was_not_handed_over(taken: list[tuple[str, int]]) -> None:
    """A node changes each second. Changes are heard or lost; history knows those up to some seconds ago."""
    progress = Progress(None, lag=1e9)
    progress.live([change(A, 1)])
    now, handed = 1, {1}
    for step, number in taken:
        if step == "history":
            for since in asked(progress, after=1e6).values():
                known = [second for second in range(1, now - number + 1) if mark(second) >= since]
                handed.update(known)
                answered(progress, *known)
            progress.close_gaps()
            continue
        if step == "overflow":
            progress.read_again(A)
        elif step == "reconnect":
            progress.begin([A])
        now += number
        handed.add(now)
        marks, _ = progress.live([change(A, now)])
        if marks:
            assert handed >= set(range(1, now + 1))
            assert marks == {"a": mark(now)}
