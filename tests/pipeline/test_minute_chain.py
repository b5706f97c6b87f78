"""From landed batches to statistics and flags, through the sensors and jobs that do it in operation.

One world and one story: fixtures are its steps, in the order in which they build on each other;
tests look at what a step saw.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.clock import MINUTE, minute_key, minutes_between
from iot_pipeline.landing.message import Message
from iot_pipeline.partitions import CHAIN_TAG
from iot_pipeline.readings.build import IntakeMinute, intake_tree, quarantine_tree
from iot_pipeline.stats.checks import DATA_TIME_CHECKS, MINUTES_CURRENT
from iot_pipeline.stats.relations import dim_device_file
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import STATION, TEN, Span, World, checks, fleet_messages, made, spans, weather

LAST = TEN + 5 * MINUTE
MINUTES = [minute_key(minute) for minute in minutes_between(TEN, LAST)]
DELAY = timedelta(seconds=10)
CHAIN = {
    "readings",
    "quarantine",
    "devices",
    "device_minute",
    "dim_device",
    "state_minute",
    "anomaly_flags",
    "anomaly_events",
}
BROKEN = weather(TEN, TEN + timedelta(minutes=2))
MALFORMED = [
    Message(BROKEN.received_at, "mqtt", BROKEN.topic, b'{"deviceid": "x", "temperature"', 1, False),
    Message(BROKEN.received_at, "mqtt", "nobody/knows/this", b"17", 1, False),
]


@dataclass(frozen=True)
class Marts:
    """What is published at some instant."""

    device_minute: pl.DataFrame
    dim_device: pl.DataFrame
    flags: pl.DataFrame
    journal_bytes: int

    @classmethod
    def of(cls, world: World) -> "Marts":
        return cls(
            world.device_minute(),
            pl.read_parquet(dim_device_file(world.settings.paths), hive_partitioning=False),
            world.flags(),
            world.journal_size(),
        )


@dataclass(frozen=True)
class FirstRun:
    before: list[dg.RunRequest]
    repeated: list[dg.RunRequest]
    while_in_flight: str
    result: dg.ExecuteInProcessResult
    after: list[dg.RunRequest]
    late_after: list[dg.RunRequest]
    marts: Marts


@pytest.fixture(scope="module")
def world(new_world: NewWorld) -> World:
    """Six closed minutes of the five fleets, a spike, two malformed messages and a minute that is still open."""
    world = new_world(takes_lineage_over=False)
    regular = fleet_messages(TEN + DELAY, LAST + MINUTE + DELAY)
    spike = weather(LAST + timedelta(seconds=30.5), LAST + timedelta(seconds=31), 55.0)
    still_open = weather(LAST + timedelta(seconds=70), LAST + timedelta(seconds=71))
    world.land(sorted([*regular, *MALFORMED, spike, still_open], key=lambda message: message.received_at))
    world.close_through(LAST)
    return world


@pytest.fixture(scope="module")
def first(world: World) -> FirstRun:
    repeated = list(world.evaluate("landed_minutes").run_requests or [])
    before = world.tick("landed_minutes")
    job = world.definitions.resolve_job_def("minute_chain")
    queued = world.instance.create_run_for_job(job, tags={CHAIN_TAG: "minute"})
    while_in_flight = world.evaluate("landed_minutes")
    assert not while_in_flight.run_requests
    world.instance.report_run_canceled(queued)
    result = world.run(before[0], "minute_chain")
    after, late_after = world.tick("landed_minutes"), world.tick("late_minutes")
    return FirstRun(before, repeated, while_in_flight.skip_message or "", result, after, late_after, Marts.of(world))


def test_the_sensor_asks_for_the_closed_minutes_in_one_range(first: FirstRun) -> None:
    assert spans(first.before) == {(None, MINUTES[0], MINUTES[-1])}


def test_a_tick_that_was_lost_asks_again_under_the_same_key(first: FirstRun) -> None:
    assert [request.run_key for request in first.before] == [request.run_key for request in first.repeated]


def test_nothing_is_asked_for_while_a_run_is_in_flight(first: FirstRun) -> None:
    assert "in flight" in first.while_in_flight


def test_nothing_is_left_to_ask_for(first: FirstRun) -> None:
    assert first.after == []
    assert first.late_after == []


def test_every_asset_of_the_chain_is_made_for_every_minute(first: FirstRun) -> None:
    assert set(made(first.result)) == {(asset, key) for asset in CHAIN for key in MINUTES}


def test_all_checks_passed(first: FirstRun) -> None:
    found = checks(first.result)
    assert {"messages_conserved", "device_minute_counts_every_reading", "dim_device_has_one_row_per_device"} <= set(
        found
    )
    assert {name for name, passed in found.items() if not passed} == set()


def test_checks_on_data_time_are_no_part_of_the_run_and_can_be_executed_by_hand(world: World, first: FirstRun) -> None:
    names = {key.name for key in DATA_TIME_CHECKS}
    assert names.isdisjoint(checks(first.result))
    everything = world.definitions.resolve_implicit_global_asset_job_def()
    only_them = everything.get_subset(asset_selection=set(), asset_check_selection=set(DATA_TIME_CHECKS))
    found = checks(only_them.execute_in_process(instance=world.instance))
    assert set(found) == names
    # The world is two days old.
    assert not found[MINUTES_CURRENT]


def test_each_partition_tells_its_own_rows(world: World, first: FirstRun) -> None:
    found = made(first.result)
    readings = dict(intake_tree(world.settings.paths).read(TEN, LAST).select("minute", "readings").iter_rows())
    rows = dict(first.marts.device_minute.group_by("minute").len().iter_rows())
    flags = dict(first.marts.flags.group_by("minute").len().iter_rows())
    for minute in minutes_between(TEN, LAST):
        key = minute_key(minute)
        assert row_count(found["readings", key]) == readings[minute]
        assert row_count(found["device_minute", key]) == rows[minute]
        assert row_count(found["anomaly_flags", key]) == flags.get(minute, 0)


@pytest.mark.parametrize(("mart", "source"), [("device_minute", "readings"), ("dim_device", "devices")])
def test_every_column_of_a_mart_tells_where_it_comes_from(first: FirstRun, mart: str, source: str) -> None:
    lineage = made(first.result)[mart, MINUTES[0]].metadata["dagster/column_lineage"].value
    assert isinstance(lineage, dg.TableColumnLineage)
    assert {dep.asset_key.to_user_string() for deps in lineage.deps_by_column.values() for dep in deps} >= {source}
    assert [dep.column_name for dep in lineage.deps_by_column["device_id"]][:1] == ["device_id"]


def test_the_spike_is_flagged(first: FirstRun) -> None:
    assert (STATION, 55.0) in first.marts.flags.select("device_id", "value").rows()


def test_malformed_messages_end_in_quarantine(world: World) -> None:
    rows = quarantine_tree(world.settings.paths).read(TEN, LAST)
    assert sorted(rows.select("topic", "payload", "reason").rows()) == sorted(
        [(BROKEN.topic, MALFORMED[0].payload, "bad_json"), ("nobody/knows/this", b"17", "no_mapping")]
    )


def test_a_minute_that_does_not_add_up_fails_the_check() -> None:
    from iot_pipeline.readings.assets import _conservation  # noqa: PLC0415

    intake = IntakeMinute(TEN, 3, 1, 1, 0, 1, 5, 0, 0, 0, None, None, TEN, {})
    assert _conservation([intake]).passed
    object.__setattr__(intake, "messages", 4)  # A minute refuses to be made like that.
    broken = _conservation([intake])
    assert not broken.passed
    assert broken.metadata["minutes_broken"].value == [minute_key(TEN)]


@pytest.fixture(scope="module")
def again(world: World, first: FirstRun) -> Marts:
    """The same minutes once more."""
    world.run(first.before[0], "minute_chain")
    return Marts.of(world)


def test_executing_again_changes_nothing(first: FirstRun, again: Marts) -> None:
    assert_frame_equal(again.device_minute, first.marts.device_minute)
    assert_frame_equal(again.dim_device, first.marts.dim_device)
    assert_frame_equal(again.flags, first.marts.flags)


def test_executing_again_announces_nothing(first: FirstRun, again: Marts) -> None:
    assert again.journal_bytes == first.marts.journal_bytes


@dataclass(frozen=True)
class Late:
    landed: set[Span]
    asked: set[Span]
    after: list[dg.RunRequest]
    counts: Mapping[int, int]


@pytest.fixture(scope="module")
def late(world: World, again: Marts) -> Late:
    """A minute later come readings that happened in two scattered minutes."""
    received = LAST + timedelta(seconds=80)
    world.land([weather(TEN + index * MINUTE + timedelta(seconds=30.5), received) for index in (1, 3)])
    world.close_through(LAST + MINUTE)
    landed = world.tick("landed_minutes")
    for request in landed:
        world.run(request, "minute_chain")
    asked = world.tick("late_minutes")
    for request in asked:
        world.run(request, "late_minutes")
    before, now = station_counts(again.device_minute), station_counts(world.device_minute())
    counts = {index: now[index] - before.get(index, 0) for index in now if index <= 5}
    return Late(spans(landed), spans(asked), world.tick("late_minutes"), counts)


def test_late_readings_land_on_the_front(late: Late) -> None:
    front = minute_key(LAST + MINUTE)
    assert late.landed == {(None, front, front)}


def test_exactly_the_touched_minutes_and_the_flags_behind_them_are_made_again(late: Late) -> None:
    touched = {("late_minutes", MINUTES[index], MINUTES[index]) for index in (1, 3)}
    assert late.asked == touched | {("late_flags", MINUTES[1], minute_key(LAST + MINUTE))}


def test_late_readings_are_counted_in_the_minute_they_happened(late: Late) -> None:
    assert late.counts == {0: 0, 1: 1, 2: 0, 3: 1, 4: 0, 5: 0}


def test_after_that_nothing_is_late(late: Late) -> None:
    assert late.after == []


def station_counts(frame: pl.DataFrame) -> dict[int, int]:
    rows = frame.filter(pl.col("device_id") == STATION).select("minute", "count").rows()
    return {int((minute - TEN) / MINUTE): count for minute, count in rows}


def row_count(event: dg.AssetMaterialization) -> object:
    return event.metadata["dagster/row_count"].value
