"""States of machines and valves: time in them, changes between them, and strokes."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from iot_pipeline.anomalies.signals.states import (
    LEAST_EXITS,
    LEAST_SEEN,
    illegal,
    time_in_state,
    transitions,
    with_state,
)
from iot_pipeline.anomalies.signals.strokes import travel_times

START = datetime(2026, 11, 22, 10, tzinfo=UTC)
SECOND = timedelta(seconds=1)
BY = ["device_id"]
TS = pl.Datetime("us", "UTC")


def told(*points: tuple[float, str | None], start: datetime = START) -> pl.DataFrame:
    return pl.DataFrame(
        [("p", start + at * SECOND, state) for at, state in points],
        schema={"device_id": pl.String, "ts": TS, "state": pl.String},
        orient="row",
    )


def test_a_state_holds_until_the_next_one_and_at_most_a_minute() -> None:
    found = time_in_state(told((0, "idle"), (40, "running"), (70, "running")), by=BY, window=timedelta(hours=1))
    assert found.select("state", "seconds", "entries").rows() == [("idle", 40.0, 0), ("running", 90.0, 1)]


def test_a_state_ends_at_midnight() -> None:
    late = told((0, "idle"), start=START.replace(hour=23, minute=59, second=50))
    assert time_in_state(late, by=BY, window=timedelta(hours=1))["seconds"].to_list() == [10.0]


def test_windows_that_do_not_divide_a_day_are_refused() -> None:
    with pytest.raises(ValueError, match="divide a day"):
        time_in_state(told(), by=BY, window=timedelta(hours=7))


def test_changes_with_the_time_in_the_former_state() -> None:
    found = transitions(
        told((0, "idle"), (30, "idle"), (40, "setup"), (60, "running"), (130, "idle"), (140, None)), by=BY
    )
    rows = found.select("from_state", "to_state", "seconds").rows()
    assert rows == [("idle", "setup", 40.0), ("setup", "running", 20.0)]  # the one after a silence is not known


def changes_seen(*, idle_to_running: int) -> pl.DataFrame:
    pairs = (("idle", "setup"), ("setup", "running"), ("running", "idle"))
    rows = [("p", before, after, LEAST_EXITS) for before, after in pairs]
    return pl.DataFrame(
        [*rows, ("p", "idle", "running", idle_to_running)],
        ["device_id", "from_state", "to_state", "seen"],
        orient="row",
    )


def test_a_change_that_hardly_ever_came_is_illegal_and_a_new_state_is_news() -> None:
    changes = transitions(told((0, "idle"), (10, "running"), (20, "idle"), (30, "service"), (40, "idle")), by=BY)
    found = illegal(changes, changes_seen(idle_to_running=LEAST_SEEN - 1), by=BY)
    rows = found.select("from_state", "to_state", "exits").rows()
    assert rows == [("idle", "running", LEAST_EXITS + LEAST_SEEN - 1)]
    assert illegal(changes, changes_seen(idle_to_running=LEAST_SEEN), by=BY).is_empty()


def test_readings_get_the_state_they_were_made_in() -> None:
    readings = told((5, None), (15, None), (100, None)).select("device_id", "ts")
    found = with_state(readings, told((0, "idle"), (10, "running")), by=BY)
    assert found.select("state", "state_age").rows() == [("idle", 5.0), ("running", 5.0), (None, None)]


def moves(*points: tuple[float, str]) -> pl.DataFrame:
    return pl.DataFrame(
        [("v", direction, START + at * SECOND) for at, direction in points],
        schema={"device_id": pl.String, "direction": pl.String, "ts": TS},
        orient="row",
    )


def test_a_stroke_lasts_from_the_command_to_its_end_switch() -> None:
    commands, ends = moves((0, "open"), (10, "close"), (20, "open")), moves((0.4, "open"), (10.5, "close"))
    found = travel_times(commands, ends, by=BY, timeout=2 * SECOND)
    assert found["travel_seconds"].round(9).to_list() == [0.4, 0.5, None]
    assert found["is_missing"].to_list() == [False, False, True]


def test_an_end_too_late_or_after_the_next_command_is_missing() -> None:
    late = travel_times(moves((0, "open")), moves((3, "open")), by=BY, timeout=2 * SECOND)
    assert late["is_missing"].to_list() == [True]
    turned = travel_times(
        moves((0, "open"), (0.5, "close")), moves((1, "open"), (1.2, "close")), by=BY, timeout=2 * SECOND
    )
    assert turned["travel_seconds"].to_list() == [None, 0.7]
    assert travel_times(moves(), moves(), by=BY, timeout=SECOND).is_empty()
