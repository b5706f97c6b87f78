"""The same messages in another order, in other batches, twice, and whatever is done in between: the same warehouse.

Each world gets the same messages on its own ways. Between deliveries, days are sealed, what is superseded is deleted
and minutes are made again, as chance says; chance is seeded, so a failure repeats.
"""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta

import polars as pl
import pytest
from msgspec import structs
from polars.testing import assert_frame_equal

from iot_pipeline.clock import MINUTE, day_key, minute_key, utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.stats.correction_effect import record
from iot_pipeline.stats.corrections.correction import Action, new_correction
from iot_pipeline.stats.corrections.store import read_corrections
from iot_pipeline.stats.relations import dim_device_file, sealed_readings
from iot_pipeline.stats.sealing import remove_superseded
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import STATION, TEN, World, delayed, fleet_messages, weather

DELAY = timedelta(seconds=10)
LONGEST = timedelta(minutes=2)
LAST = TEN + 5 * MINUTE
MINUTES = ("landed_minutes", "late_minutes")
MARTS = ("device_minute", "device_hour", "device_day", "device_month", "device_year", "dim_device", "flags", "events")
# Landing minutes at which deliveries end.
DELIVERIES = (TEN + 3 * MINUTE, LAST + MINUTE)
# When a device was heard last, and when it told what, say how its messages came; the rest says what they were.
OF_THE_WAY = ["last_received_at", "attributes_told", "state_told_at"]


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """Two minutes, with a spike in the second, and another one that a correction drops."""
    spikes = [weather(at, at, 55.0) for at in (TEN + timedelta(seconds=at) for at in (70.5, 90.5))]
    regular = fleet_messages(TEN + DELAY, TEN + 2 * MINUTE)
    return sorted([*regular, *spikes], key=lambda message: message.received_at)


@pytest.fixture(scope="module")
def in_order(new_world: NewWorld, messages: list[Message]) -> World:
    """All at once, as sent."""
    world = new_world()
    correct(world)
    world.land(messages)
    world.close_through(LAST)
    world.settle(*MINUTES, "late_days")
    return world


@pytest.fixture(scope="module", params=[1, 2])
def shuffled(request: pytest.FixtureRequest, new_world: NewWorld, messages: list[Message]) -> World:
    """On ways of different length, some twice, some batches landed long after their time; chance acts in between."""
    chance = random.Random(request.param)
    world = new_world(catch_up_minutes=3)
    waiting = delayed(messages, LONGEST, seed=request.param)
    again = [structs.replace(one, received_at=one.received_at + MINUTE) for one in waiting if chance.random() < 0.05]
    waiting = sorted([*waiting, *again], key=lambda message: message.received_at)
    # A collector that was cut off lands what it had later, under its old landing minutes.
    held = [one for one in waiting if not one.topic.startswith("spBv1.0/") and chance.random() < 0.05]
    held_back = set(map(id, held))
    acts: Sequence[Callable[[], None]] = [
        lambda: seal(world),
        lambda: clean(world),
        lambda: make_again(world, chance),
        lambda: correct(world),
    ]
    start = TEN
    for end in DELIVERIES:
        arrived = [one for one in waiting if start <= one.received_at - DELAY < end and id(one) not in held_back]
        world.land(arrived, batch=chance.choice([300, 5000]))
        world.close_through(end - MINUTE)
        world.settle(*MINUTES)
        chance.choice(acts)()
        start = end
    seal(world)
    clean(world)
    correct(world)
    world.land(held)
    world.settle(*MINUTES, "late_days")
    return world


def seal(world: World) -> None:
    """Close the day, whatever is still to come."""
    world.run_range("day_chain", day_key(TEN), day_key(TEN))
    assert sealed_readings(world.settings.paths).current(TEN.date()) is not None


def clean(world: World) -> None:
    """Housekeeping, as if a day had passed."""
    remove_superseded(world.settings.paths, now=utc_now() + timedelta(days=1))


def make_again(world: World, chance: random.Random) -> None:
    """Somebody materialises minutes once more."""
    first = TEN + chance.randrange(2) * MINUTE
    world.run_range("minute_chain", minute_key(first), minute_key(first + MINUTE))


def correct(world: World) -> None:
    """Drop one of the spikes, once."""
    if not read_corrections(world.settings.paths):
        record(
            world.settings,
            new_correction(
                device_id=STATION,
                metric="temperature",
                unit=None,
                from_ts=TEN + timedelta(seconds=70.5),
                to_ts=TEN + timedelta(seconds=70.6),
                action=Action.DROP,
                author="ann",
                reason="not weather",
            ),
        )


@pytest.mark.parametrize("mart", MARTS)
def test_the_warehouse_does_not_depend_on_the_order_of_arrival(in_order: World, shuffled: World, mart: str) -> None:
    expected = of(in_order, mart)
    assert expected.height > 0
    assert_frame_equal(of(shuffled, mart), expected, check_exact=mart not in ("device_month", "device_year"))


def test_the_spike_that_stays_is_flagged_and_the_dropped_one_is_not(shuffled: World) -> None:
    flagged = of(shuffled, "flags").filter(pl.col("value") == 55.0)
    assert flagged["event_ts"].unique().to_list() == [TEN + timedelta(seconds=90.5)]


def of(world: World, mart: str) -> pl.DataFrame:
    if mart == "device_minute":
        frame = world.device_minute()
    elif mart == "flags":
        frame = world.flags()
    elif mart == "events":
        # In another order the same readings came in other batches.
        frame = world.events().drop("first_message_id", "peak_message_id")
    elif mart == "dim_device":
        frame = pl.read_parquet(dim_device_file(world.settings.paths), hive_partitioning=False).drop(OF_THE_WAY)
    else:
        frame = world.day_mart(mart)
    keys = ("minute", "hour", "day", "event_ts", "device_id", "metric", "unit", "detector")
    return frame.sort([column for column in keys if column in frame.columns])
