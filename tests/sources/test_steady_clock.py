"""Receive times of a collector never go back, whatever the machine's clock does."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.landing.message import Message
from iot_pipeline.sources.source import Received
from iot_pipeline.sources.steady_clock import SteadyClock

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def received(at: datetime) -> Received:
    return Received(Message(at, "mqtt", "a", b"", 1), None)


@given(st.lists(st.tuples(st.booleans(), st.integers(-600, 600)), max_size=30))
def test_no_message_gets_a_time_before_an_instant_that_was_told(steps: list[tuple[bool, int]]) -> None:
    machine = [NOON]
    clock = SteadyClock(lambda: machine[0])
    given_out = [clock.now()]
    for told, seconds in steps:
        machine[0] += timedelta(seconds=seconds)
        if told:
            given_out.append(clock.now())
        else:
            given_out += [one.message.received_at for one in clock.in_order([received(machine[0])] * 2)]
    assert all(earlier <= later for earlier, later in pairwise(given_out))


def test_a_clock_that_goes_on_is_followed_and_not_complained_about() -> None:
    machine = [NOON]
    clock = SteadyClock(lambda: machine[0])
    machine[0] += timedelta(hours=1)
    assert clock.in_order([received(machine[0])])[0].message.received_at == machine[0]
    assert clock.now() == machine[0]
    assert clock.problem is None


def test_a_clock_that_was_set_back_is_told_until_it_has_caught_up() -> None:
    machine = [NOON]
    clock = SteadyClock(lambda: machine[0])
    machine[0] -= timedelta(minutes=5)
    assert clock.now() == NOON
    assert "2026-11-22 12:00:00" in (clock.problem or "")
    machine[0] += timedelta(minutes=6)
    clock.now()
    assert clock.problem is None
