"""A correction and its removal make exactly the minutes, flags and days again that hold the corrected readings."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.clock import DAY, MINUTE, day_key, minute_key
from iot_pipeline.stats.correction_effect import record
from iot_pipeline.stats.corrections.correction import Action, new_correction, removed
from iot_pipeline.stats.corrections.store import store
from iot_pipeline.stats.relations import sealed_readings
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import STATION, TEN, Span, World, made, spans, weather

OTHER = "weather-2"
SPIKE = 55.0
SPIKE_AT = TEN + 3 * MINUTE + timedelta(seconds=30.5)
LAST = TEN + 5 * MINUTE
# Before the minute window of these worlds: there are days only.
OLD = TEN - 2 * DAY
MINUTES = ("landed_minutes", "late_minutes")


def key(index: int) -> str:
    return minute_key(TEN + index * MINUTE)


def both(at: datetime) -> list[tuple[datetime, str]]:
    return [(at, STATION), (at, OTHER)]


@pytest.fixture(scope="module")
def world(new_world: NewWorld) -> World:
    """Two stations for six minutes, one of them with a spike; and a little of a day before the minute window."""
    world = new_world()
    start = TEN + timedelta(seconds=10)
    regular = [event for second in range(350) for event in both(start + timedelta(seconds=second))]
    old = [event for second in range(3) for event in both(OLD + timedelta(seconds=second))]
    messages = [weather(at, max(at, start), station=station) for at, station in regular + old]
    messages.append(weather(SPIKE_AT, SPIKE_AT + timedelta(seconds=0.1), SPIKE))
    world.land(sorted(messages, key=lambda message: message.received_at))
    world.close_through(LAST)
    world.settle(*MINUTES, "late_days")
    return world


@dataclass(frozen=True)
class Told:
    """What followed a change of a correction."""

    minutes: set[Span]
    days: set[Span]
    made: set[tuple[str, str]]
    after: list[dg.RunRequest]


@dataclass(frozen=True)
class Marts:
    device_minute: pl.DataFrame
    device_day: pl.DataFrame
    device_month: pl.DataFrame
    flags: pl.DataFrame
    events: pl.DataFrame

    @classmethod
    def of(cls, world: World) -> "Marts":
        month = pl.read_parquet(next((world.settings.paths.marts / "device_month").glob(f"dt={TEN:%Y-%m}-01/*")))
        return cls(world.device_minute(), world.day_mart("device_day"), month, world.flags(), world.events())


def follow(world: World) -> Told:
    """Do what the sensors ask for."""
    built: set[tuple[str, str]] = set()
    minutes = world.tick("late_minutes")
    for request in minutes:
        built |= set(made(world.run(request, "late_minutes")))
    days = world.tick("late_days")
    for request in days:
        built |= set(made(world.run(request, "day_chain")))
    return Told(spans(minutes), spans(days), built, [*world.tick("late_minutes"), *world.tick("late_days")])


@pytest.fixture(scope="module")
def before(world: World) -> Marts:
    return Marts.of(world)


@dataclass(frozen=True)
class Story:
    told: Told
    marts: Marts
    removal: Told
    restored: Marts
    recovered: Told


@pytest.fixture(scope="module")
def story(world: World, before: Marts) -> Story:
    """The spike is dropped with what lies around it, here and in the old day; then it is taken back."""
    assert sealed_readings(world.settings.paths).current(TEN.date()) is not None
    one = new_correction(
        device_id=STATION,
        metric="temperature",
        unit=None,
        from_ts=OLD,
        to_ts=TEN + 4 * MINUTE,
        action=Action.SCALE,
        factor=0.1,
        addend=0.0,
        author="ann",
        reason="sent tenths",
    )
    narrow = new_correction(
        device_id=STATION,
        metric="temperature",
        unit=None,
        from_ts=SPIKE_AT,
        to_ts=SPIKE_AT + timedelta(seconds=0.1),
        action=Action.DROP,
        author="ann",
        reason="someone sat on it",
    )
    record(world.settings, narrow)
    told, marts = follow(world), Marts.of(world)
    record(world.settings, removed(narrow, author="bob", reason="it was summer"))
    removal, restored = follow(world), Marts.of(world)
    store(world.settings.paths, one)  # The process died before it could tell.
    recovered = follow(world)
    return Story(told, marts, removal, restored, recovered)


def test_one_minute_and_what_looks_back_at_it_is_made_again(story: Story) -> None:
    statistics = {("late_minutes", key(3), key(3)), ("late_flags", key(3), key(5))}
    assert story.told.minutes == statistics
    assert story.told.days == {(None, day_key(TEN), day_key(TEN))}
    assert {partition for asset, partition in story.told.made if asset == "device_minute"} == {key(3)}
    assert {partition for asset, partition in story.told.made if asset == "anomaly_flags"} == {key(3), key(4), key(5)}
    assert {partition for asset, partition in story.told.made if asset == "device_day"} == {day_key(TEN)}
    assert story.told.after == []


def test_minutes_days_months_and_flags_follow(before: Marts, story: Story) -> None:
    assert (STATION, SPIKE) in before.flags.select("device_id", "value").rows()
    assert story.marts.flags.is_empty()
    assert (STATION, SPIKE) in before.events.select("device_id", "value").rows()
    assert story.marts.events.is_empty()
    for mart in ("device_minute", "device_day", "device_month"):
        assert getattr(before, mart)["max"].max() == SPIKE
        assert getattr(story.marts, mart)["max"].max() == 9.5


def test_removing_it_restores_everything(before: Marts, story: Story) -> None:
    assert (story.removal.minutes, story.removal.days) == (story.told.minutes, story.told.days)
    for mart in ("device_minute", "device_day", "device_month", "flags", "events"):
        assert_frame_equal(getattr(story.restored, mart), getattr(before, mart))


def test_a_correction_that_was_recorded_and_not_told_is_found_by_the_sensors(story: Story) -> None:
    """Its range reaches before the minute window: minutes of the window, and days before it."""
    assert story.recovered.minutes == {("late_minutes", key(0), key(3)), ("late_flags", key(0), key(5))}
    days = {day_key(OLD), day_key(TEN)}
    assert {partition for asset, partition in story.recovered.made if asset == "device_day"} == days
    assert story.recovered.days == {(None, day, day) for day in days}
    assert story.recovered.after == []


def test_raw_readings_stay(world: World, story: Story) -> None:
    [path] = sealed_readings(world.settings.paths).files(TEN.date())
    assert pl.read_parquet(path)["value"].max() == SPIKE
