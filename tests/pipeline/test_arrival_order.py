"""The same messages in another order, in other batches and taken in other ranges end in the same statistics."""

from datetime import timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.clock import MINUTE
from iot_pipeline.landing.message import Message
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import TEN, World, delayed, fleet_messages, weather

DELAY = timedelta(seconds=10)
LONGEST = timedelta(minutes=2)
LAST = TEN + 5 * MINUTE
KEY = ["device_id", "metric", "unit"]
MINUTES = ("landed_minutes", "late_minutes")


@pytest.fixture(scope="module")
def messages() -> list[Message]:
    """Two minutes, with a spike in the second."""
    spike = TEN + timedelta(seconds=90.5)
    regular = fleet_messages(TEN + DELAY, TEN + 2 * MINUTE)
    return sorted([*regular, weather(spike, spike, 55.0)], key=lambda message: message.received_at)


@pytest.fixture(scope="module")
def in_order(new_world: NewWorld, messages: list[Message]) -> World:
    """All at once, as sent."""
    world = new_world()
    world.land(messages)
    world.close_through(LAST)
    world.settle(*MINUTES, "late_days")
    return world


@pytest.fixture(scope="module")
def out_of_order(new_world: NewWorld, messages: list[Message]) -> World:
    """As they arrive on ways of different length, two minutes a run at most, what is late in between."""
    world = new_world(catch_up_minutes=2)
    late = delayed(messages, LONGEST)
    for start in (TEN, TEN + 3 * MINUTE):
        end = start + 3 * MINUTE
        world.land([message for message in late if start + DELAY <= message.received_at < end + DELAY], batch=700)
        world.close_through(end - MINUTE)
        world.settle(*MINUTES)
    world.settle("late_days")
    return world


@pytest.mark.parametrize("mart", ["device_minute", "device_day", "flags"])
def test_statistics_and_flags_do_not_depend_on_the_order_of_arrival(
    in_order: World, out_of_order: World, mart: str
) -> None:
    expected = of(in_order, mart)
    assert expected.height > 0
    assert_frame_equal(of(out_of_order, mart), expected, check_exact=True)


def of(world: World, mart: str) -> pl.DataFrame:
    frame = {
        "device_minute": world.device_minute,
        "device_day": lambda: world.day_mart("device_day"),
        "flags": world.flags,
    }[mart]()
    return frame.sort([column for column in ("minute", "event_ts", *KEY, "detector") if column in frame.columns])
