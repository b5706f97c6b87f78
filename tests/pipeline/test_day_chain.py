"""Closed days, late readings of sealed days, and the present day so far."""

from dataclasses import dataclass
from datetime import date, timedelta

import dagster as dg
import polars as pl
import pytest

from iot_pipeline.clock import MINUTE, day_key, day_start, minute_key, utc_now
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.readings.store import event_day_files
from iot_pipeline.stats.relations import DAY_MODELS, minute_trees, sealed_readings
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import TEN, Span, World, checks, made, spans, weather

DAY = TEN.date()
KEY = day_key(DAY)
LAST = TEN + 2 * MINUTE
DELAY = timedelta(seconds=10)
DAY_CHAIN = {"readings_day", *(model.name for model in DAY_MODELS), "anomaly_model", "anomaly_day_flags"}
SPIKE = 55.0
SERIES = ["device_id", "metric", "unit"]


@pytest.fixture(scope="module")
def world(new_world: NewWorld) -> World:
    """Three built minutes of one station, across the hour."""
    world = new_world()
    start = TEN + DELAY
    world.land([weather(start + timedelta(seconds=second), start + timedelta(seconds=second)) for second in range(180)])
    world.close_through(LAST)
    for request in world.tick("landed_minutes"):
        world.run(request, "minute_chain")
    # The last seconds belong to the next event minute.
    world.close_through(LAST + MINUTE)
    for request in world.tick("landed_minutes"):
        world.run(request, "minute_chain")
    return world


@dataclass(frozen=True)
class Sealed:
    asked: set[Span]
    result: dg.ExecuteInProcessResult
    after: list[dg.RunRequest]


@pytest.fixture(scope="module")
def sealed(world: World) -> Sealed:
    asked = world.tick("late_days")
    result = world.run(asked[0], "day_chain")
    return Sealed(spans(asked), result, world.tick("late_days"))


def test_a_past_day_with_new_readings_is_asked_for_once(sealed: Sealed) -> None:
    assert sealed.asked == {(None, KEY, KEY)}
    assert sealed.after == []


def test_the_day_chain_makes_everything_of_the_day(sealed: Sealed) -> None:
    assert set(made(sealed.result)) == {(asset, KEY) for asset in DAY_CHAIN}
    found = checks(sealed.result)
    assert {"device_day_counts_every_reading", "device_day_is_the_sum_of_its_hours"} <= set(found)
    assert {name for name, passed in found.items() if not passed} == set()


def test_a_closed_day_is_sealed_with_its_minutes(world: World, sealed: Sealed) -> None:
    assert sealed_readings(world.settings.paths).current(DAY) is not None
    assert made(sealed.result)["readings_day", KEY].metadata["dagster/row_count"].value == 180
    trees = minute_trees(world.settings.paths)
    assert {name for name, tree in trees.items() if tree.sealed.current(DAY) is None} == set()


def test_a_day_is_the_sum_of_its_hours_and_of_its_minutes(world: World, sealed: Sealed) -> None:
    day, hours, minutes = world.day_mart("device_day"), world.day_mart("device_hour"), world.device_minute()
    assert totals(day).rows() == totals(hours).rows() == totals(minutes).rows()
    assert totals(day)["count"].to_list() == [180]


@dataclass(frozen=True)
class LateAfterSealing:
    minutes: set[Span]
    minutes_after: list[dg.RunRequest]
    days: set[Span]
    days_after: list[dg.RunRequest]


@pytest.fixture(scope="module")
def late(world: World, sealed: Sealed) -> LateAfterSealing:
    """The day is long over when more readings of two of its minutes come, one of them a spike."""
    front = LAST + 2 * MINUTE
    received = front + timedelta(seconds=30)
    world.land(
        [
            weather(TEN + timedelta(seconds=30.5), received),
            weather(TEN + 2 * MINUTE + timedelta(seconds=30.5), received, SPIKE),
        ]
    )
    world.close_through(front)
    for request in world.tick("landed_minutes"):
        world.run(request, "minute_chain")
    minutes = world.tick("late_minutes")
    for request in minutes:
        world.run(request, "late_minutes")
    days = world.tick("late_days")
    for request in days:
        world.run(request, "day_chain")
    return LateAfterSealing(spans(minutes), world.tick("late_minutes"), spans(days), world.tick("late_days"))


def test_late_minutes_of_a_sealed_day_are_made_again(world: World, late: LateAfterSealing) -> None:
    statistics = {("late_minutes", key(0), key(0)), ("late_minutes", key(2), key(2))}
    assert late.minutes == statistics | {("late_flags", key(0), key(4))}
    assert late.minutes_after == []


def test_a_sealed_day_is_sealed_again_with_late_readings(world: World, late: LateAfterSealing) -> None:
    assert late.days == {(None, KEY, KEY)}
    assert late.days_after == []
    assert totals(world.day_mart("device_day")).rows() == totals(world.device_minute()).rows()
    assert totals(world.day_mart("device_day"))["count"].to_list() == [182]


def test_a_late_spike_of_a_sealed_day_is_flagged(world: World, late: LateAfterSealing) -> None:
    flagged = sorted(world.flags().select("detector", "value").rows())
    assert flagged == [("kmeans_minute", SPIKE), ("rolling_z", SPIKE)]


@dataclass(frozen=True)
class Today:
    today: date
    asked: set[Span]
    result: dg.ExecuteInProcessResult
    within_the_hour: list[dg.RunRequest]


@pytest.fixture(scope="module")
def today(world: World, late: LateAfterSealing) -> Today:
    """Readings of the first minutes of the present day, decoded without waiting for these minutes to close."""
    today = utc_now().date()
    minutes = [day_start(today) + index * MINUTE for index in (0, 1)]
    asked: list[list[dg.RunRequest]] = []
    results = []
    for minute in minutes:
        at = minute + timedelta(seconds=30)
        world.land([weather(at, at)])
        build_minutes(world.settings, load_mappings(None), [minute])
        requests = world.tick("late_days")
        results += [world.run(request, "day_chain") for request in requests]
        asked.append(requests)
    return Today(today, spans(asked[0]), results[0], asked[1])


def test_the_present_day_is_built_so_far_and_stays_open(world: World, today: Today) -> None:
    built = day_key(today.today)
    assert today.asked == {(None, built, built)}
    assert made(today.result)["readings_day", built].metadata["days_open"].value == 1
    assert sealed_readings(world.settings.paths).current(today.today) is None
    assert event_day_files(world.settings.paths, today.today)


def test_the_present_day_is_built_once_an_hour_only(today: Today) -> None:
    assert today.within_the_hour == []


def key(index: int) -> str:
    return minute_key(TEN + index * MINUTE)


def totals(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.group_by(SERIES).agg(pl.col("count").sum()).sort(SERIES)
