"""Marks: what may be remembered of a node once it is landed, and that no gap is ever passed over."""

from datetime import UTC, datetime, timedelta

from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.sources.opcua.changes import Item
from iot_pipeline.sources.opcua.positions import Landed
from iot_pipeline.sources.opcua.progress import LOOK_BACK, Progress

# Not long ago: what is asked for is bounded by the present clock.
START = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
A = Item("a", ua.NodeId("a", 2), "plant", "a", history=True)
B = Item("b", ua.NodeId("b", 2), "plant", "b", history=False)


def change(item: Item, second: int) -> tuple[Item, ua.DataValue]:
    return item, ua.DataValue(ua.Variant(float(second)), SourceTimestamp=START + timedelta(seconds=second))


def mark(second: int) -> int:
    return (int(START.timestamp()) + second) * 1_000_000


def test_a_node_that_was_never_heard_has_no_gap() -> None:
    assert Progress(None).gaps([A, B]) == {}
    assert Progress(None).without_history([A, B]) is None


def test_a_gap_begins_where_the_node_was_landed_and_not_long_before_the_server_was_heard() -> None:
    heard = START + timedelta(days=30)
    progress = Progress(Landed({"a": mark(5), "b": mark(7)}, heard))
    assert progress.gaps([A, B]) == {A: heard - LOOK_BACK}
    assert progress.without_history([A, B]) == (1, START + timedelta(seconds=7))
    assert Progress(Landed({"a": mark(5)}, START)).gaps([A]) == {A: START + timedelta(seconds=5)}


def test_a_second_gap_while_the_first_is_read_is_not_forgotten() -> None:
    progress = Progress(Landed({"a": mark(1)}, START))
    progress.read_again(A)
    progress.asked(progress.to_read_again)
    progress.read_again(A)
    progress.filled()
    assert progress.live([change(A, 9)]) == ({}, None)
    assert progress.to_read_again == {A: START + timedelta(seconds=1)}


def test_a_clock_that_was_never_set_moves_nothing() -> None:
    value = ua.DataValue(ua.Variant(1.0), SourceTimestamp=datetime(1601, 1, 1, tzinfo=UTC))
    assert Progress(None).live([(A, value)])[0] == {}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("live"), st.integers(1, 50)),
        st.sampled_from([("again", 0), ("ask", 0), ("filled", 0), ("reconnect", 0)]),
    ),
    max_size=30,
)


@given(steps)
def test_what_may_be_remembered_never_passes_a_gap(taken: list[tuple[str, int]]) -> None:
    progress = Progress(None)
    open_gap = asked = False
    gap_from = 0
    newest = 0
    for step, second in taken:
        if step == "live":
            marks, _ = progress.live([change(A, second)])
            if open_gap:
                assert marks == {}
            else:
                newest = max(newest, second)
                assert marks["a"] <= mark(newest)
        elif step == "again" and newest:
            progress.read_again(A)
            gap_from = newest if not open_gap else gap_from
            open_gap, asked = True, False
        elif step == "ask" and open_gap:
            assert progress.gaps([A])[A] <= START + timedelta(seconds=gap_from)
            progress.asked([A])
            asked = True
        elif step == "filled" and asked:
            progress.filled()
            open_gap = asked = False
            newest = 50
        elif step == "reconnect":
            gaps = progress.gaps([A])
            progress.hold(on=bool(gaps))
            open_gap = asked = bool(gaps)
            if gaps:
                gap_from = int((gaps[A] - START).total_seconds())
