"""What the hourly repair finds: minutes that nobody built and minutes that failed, and nothing else."""

from dataclasses import dataclass
from datetime import timedelta

import polars as pl
import pytest

from iot_pipeline.clock import MINUTE, minute_key
from iot_pipeline.landing.layout import landing_file
from iot_pipeline.settings import Settings
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import TEN, Span, World, spans, weather


def key(index: int) -> str:
    return minute_key(TEN + index * MINUTE)


def unreadable(settings: Settings, index: int) -> None:
    """A file that no collector writes; one that is merely torn would be passed over."""
    path = landing_file(settings.paths, TEN + index * MINUTE, "collector-9", 1)
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame({"payload": [b"of whom?"]}).write_parquet(path)


def mend(settings: Settings, index: int) -> None:
    landing_file(settings.paths, TEN + index * MINUTE, "collector-9", 1).unlink()


@dataclass(frozen=True)
class Story:
    before: set[Span]
    asked: set[Span]
    after: set[Span]
    days_asked: set[Span]
    days_after: set[Span]


@pytest.fixture(scope="module")
def story(new_world: NewWorld) -> Story:
    """Minutes 0 and 5 cannot be read, 1 and 2 are built, 3 is left out, 4 and 6 are built."""
    world: World = new_world()
    before = spans(world.scheduled("repair_minutes"))
    world.land([weather(at, at) for at in (TEN + index * MINUTE + timedelta(seconds=30) for index in range(7))])
    for broken in (0, 5):
        unreadable(world.settings, broken)
        world.run_range("minute_chain", key(broken), key(broken), fails=True)
    for first, last in ((1, 2), (4, 4), (6, 6)):
        world.run_range("minute_chain", key(first), key(last))
    asked = world.scheduled("repair_minutes")
    for broken in (0, 5):
        mend(world.settings, broken)
    for request in asked:
        world.run(request, "minute_chain")
    days = world.scheduled("repair_days")
    for request in days:
        world.run(request, "day_chain")
    return Story(
        before,
        spans(asked),
        spans(world.scheduled("repair_minutes")),
        spans(days),
        spans(world.scheduled("repair_days")),
    )


def test_nothing_is_missing_before_anything_was_built(story: Story) -> None:
    assert story.before == set()


def test_holes_and_failed_minutes_are_asked_for_and_nothing_else(story: Story) -> None:
    assert story.asked == {(None, key(index), key(index)) for index in (0, 3, 5)}


def test_nothing_is_missing_after_the_repair(story: Story) -> None:
    assert story.after == set()


def test_closed_days_with_readings_are_asked_for_until_they_are_built(story: Story) -> None:
    day = key(0)[:10]
    assert story.days_asked == {(None, day, day)}
    assert story.days_after == set()
