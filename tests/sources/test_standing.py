"""When a connection is made again, and when two clients of one id are told from a bad line."""

import pytest

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.sources import standing
from iot_pipeline.sources.standing import STABLE_SECONDS, TURNS, Standing


class Time:
    """Monotonic seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    clock = Time()
    monkeypatch.setattr(standing, "time", clock)
    return clock


@pytest.fixture
def connection(time: Time) -> Standing:
    return Standing("broker:1883", "collector-1")


def stand(connection: Standing, time: Time, seconds: float) -> None:
    """Connect at the first attempt, stand for some seconds and be thrown out."""
    time.now += connection.pause
    connection.begin()
    connection.up()
    time.now += seconds
    connection.lost("closed")


def test_pauses_grow_until_a_connection_stood(connection: Standing, time: Time) -> None:
    assert connection.pause == 0
    pauses = []
    for _ in range(7):
        connection.begin()
        connection.refused("no")
        pauses.append(connection.pause)
        time.now += connection.pause
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    stand(connection, time, STABLE_SECONDS)
    assert connection.pause == 1
    ended_with = connection.problem
    connection.begin()
    connection.up()
    assert (ended_with, connection.online, connection.problem) == ("closed", True, None)


def test_taking_turns_with_another_client_ends(connection: Standing, time: Time) -> None:
    for _ in range(TURNS):
        connection.require_uncontested()
        stand(connection, time, 2)
    with pytest.raises(ConfigurationError, match=r"'collector-1' at broker:1883.*IOT_COLLECTOR_ID"):
        connection.require_uncontested()


@pytest.mark.parametrize("between", ["refused", "stood"])
def test_a_bad_line_or_a_restarting_broker_is_no_other_client(connection: Standing, time: Time, between: str) -> None:
    for _ in range(5 * TURNS):
        stand(connection, time, 2)
        if between == "stood":
            stand(connection, time, STABLE_SECONDS)
        else:
            connection.begin()
            connection.refused("no route to host")
        connection.require_uncontested()


def test_one_word_of_the_broker_is_enough(connection: Standing, time: Time) -> None:
    connection.begin()
    connection.up()
    time.now += 3600
    connection.lost("Session taken over", taken_over=True)
    with pytest.raises(ConfigurationError):
        connection.require_uncontested()


def test_a_broker_that_does_not_answer_is_noticed(connection: Standing, time: Time) -> None:
    connection.begin()
    time.now += 9
    assert not connection.overdue
    connection.progress()
    time.now += 9
    assert not connection.overdue
    time.now += 2
    assert connection.overdue
