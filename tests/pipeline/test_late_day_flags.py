"""Days that look back at a day which changed are flagged again, at night; a day whose flags failed, by the repair."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.daily.flags import score_day
from iot_pipeline.anomalies.daily.store import read_day_flags
from iot_pipeline.clock import DAY, MINUTE, day_key, day_start, utc_now
from iot_pipeline.files import write_parquet
from iot_pipeline.landing.message import Message
from iot_pipeline.stats.relations import day_flags_file
from tests.anomalies.daily.weeks import frame, hours_file
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import STATION, TEN, THE_DAY, Span, World, made, spans, weather

# Over, and older than the minute window of this world: there are days only.
ODD = THE_DAY - DAY
BETWEEN = ODD - DAY
LATE = ODD - 2 * DAY
WEEKS = 4


def hours_of(day: date) -> np.ndarray:
    """A wave with noise that is the same each time; ODD grows warmer and warmer from four on, LATE is all warm."""
    hour = np.arange(24)
    noise = np.random.default_rng(day.toordinal()).normal(0, 0.2, 24)
    odd = np.maximum(hour - 3, 0) if day == ODD else 5 * (day == LATE)
    return 10 + 3 * np.sin(hour / 12 * np.pi) + noise + odd


def told(day: date, landing_minute: int) -> list[Message]:
    """One reading an hour, received all at once in that minute after TEN."""
    received_at = TEN + landing_minute * MINUTE + timedelta(seconds=20)
    return [
        weather(day_start(day) + number * 60 * MINUTE, received_at, float(value))
        for number, value in enumerate(hours_of(day))
    ]


def arrive(world: World, messages: list[Message], landing_minute: int) -> list[Span]:
    """Land them and build what the sensors ask for; the days that were asked for."""
    world.land(messages)
    world.close_through(TEN + landing_minute * MINUTE)
    world.settle("landed_minutes")
    asked = world.tick("late_days")
    for request in asked:
        world.run(request, "day_chain")
    return sorted(spans(asked))


@pytest.fixture(scope="module")
def world(new_world: NewWorld) -> World:
    """Weeks of one station by hours; of the last three days, the first has not come yet."""
    world = new_world(minute_start=THE_DAY)
    for offset in range(1, 7 * WEEKS):
        day = LATE - offset * DAY
        hours = frame(day, {STATION: hours_of(day)}, metric="temperature", unit="°C")
        write_parquet(hours, hours_file(world.settings.paths, day))
    arrive(world, [*told(BETWEEN, 0), *told(ODD, 0)], 0)
    return world


def flags(world: World, day: date) -> pl.DataFrame:
    return read_day_flags(world.settings.paths, day_start(day), day_start(day) + DAY - MINUTE)


def nightly(world: World) -> set[Span]:
    return spans(world.scheduled("late_day_flags_nightly"))


@dataclass(frozen=True)
class Story:
    asked_before: set[Span]
    flags_before: pl.DataFrame
    days: list[Span]
    flags_after_late_day: pl.DataFrame
    asked: set[Span]
    made: set[tuple[str, str]]
    asked_after: set[Span]


@pytest.fixture(scope="module")
def story(world: World) -> Story:
    """The missing day comes, and a night passes."""
    asked_before, flags_before = nightly(world), flags(world, ODD)
    days = arrive(world, told(LATE, 1), 1)
    flags_after_late_day = flags(world, ODD)
    requests = world.scheduled("late_day_flags_nightly")
    results = [set(made(world.run(request, "late_day_flags"))) for request in requests]
    return Story(
        asked_before, flags_before, days, flags_after_late_day, spans(requests), set().union(*results), nightly(world)
    )


def test_a_late_day_makes_itself_at_once(story: Story) -> None:
    assert story.days == [(None, day_key(LATE), day_key(LATE))]
    assert story.flags_after_late_day.equals(story.flags_before)


def test_days_that_look_back_at_it_are_flagged_again_at_night(story: Story) -> None:
    assert story.asked_before == set()
    assert story.asked == {(None, day_key(BETWEEN), day_key(ODD))}
    assert story.made == {("anomaly_day_flags", day_key(day)) for day in (BETWEEN, ODD)}
    assert story.asked_after == set()


def test_flags_are_then_those_of_the_day_made_alone(world: World, story: Story) -> None:
    after = flags(world, ODD)
    assert not after.equals(story.flags_before)
    file = day_flags_file(world.settings.paths, ODD)
    stored = file.read_bytes()
    score_day(world.settings, ODD)
    assert file.read_bytes() == stored


def test_the_run_that_flagged_a_day_last_is_not_forgotten(world: World, story: Story) -> None:
    """Forgetting it would make the day look behind again."""
    from iot_pipeline.operations.jobs import forgettable_runs  # noqa: PLC0415  # dbt's warning, see `world.define`

    for run_id in forgettable_runs(world.instance, utc_now() + MINUTE):
        world.instance.delete_run(run_id)
    assert nightly(world) == story.asked_after


def test_a_day_whose_flags_failed_is_repaired(world: World, story: Story) -> None:
    flags_before = flags(world, ODD)
    folder = day_flags_file(world.settings.paths, ODD).parent
    folder.rename(folder.with_name("away"))
    folder.write_text("in the way")
    world.run_range("late_day_flags", day_key(ODD), day_key(ODD), fails=True)
    folder.unlink()
    asked = world.scheduled("repair_days")
    assert spans(asked) == {(None, day_key(ODD), day_key(ODD))}
    world.run(asked[0], "day_chain")
    assert world.scheduled("repair_days") == []
    assert nightly(world) == story.asked_after
    assert_frame_equal(flags(world, ODD), flags_before)
