"""What is older than the minute window: late readings, landing minutes that nobody took in time, retention."""

from dataclasses import dataclass
from datetime import timedelta

import dagster as dg
import polars as pl
import pytest

from iot_pipeline.clock import DAY, MINUTE, day_key, utc_now
from iot_pipeline.landing.layout import landing_file
from iot_pipeline.readings.build import intake_tree
from iot_pipeline.retained import Level, kept_since
from iot_pipeline.stats.published import days_with_readings
from tests.pipeline.conftest import NewWorld
from tests.pipeline.world import TEN, Span, World, made, spans, weather

# Before the minute window of these worlds, which begins a day before TEN.
OLD = TEN - 3 * DAY
OLDER = TEN - 12 * DAY


@dataclass(frozen=True)
class LateForOldDays:
    minutes: list[dg.RunRequest]
    days: set[Span]
    made: set[tuple[str, str]]
    after: list[dg.RunRequest]


@pytest.fixture(scope="module")
def world(new_world: NewWorld) -> World:
    """One minute, decoded, built and sealed."""
    world = new_world()
    world.land(
        [weather(TEN + timedelta(seconds=20 + second), TEN + timedelta(seconds=20 + second)) for second in (0, 1)]
    )
    world.close_through(TEN)
    world.settle("landed_minutes", "late_minutes", "late_days")
    return world


@pytest.fixture(scope="module")
def late(world: World) -> LateForOldDays:
    """In the next minute come readings of two days before the window, out of order."""
    received = TEN + timedelta(seconds=80)
    world.land([weather(event, received) for event in (OLD, OLDER + MINUTE, OLD - MINUTE, OLDER)])
    world.close_through(TEN + MINUTE)
    for request in world.tick("landed_minutes"):
        world.run(request, "minute_chain")
    minutes = world.tick("late_minutes")
    days = world.tick("late_days")
    built = {one for request in days for one in made(world.run(request, "day_chain"))}
    return LateForOldDays(minutes, spans(days), built, [*world.tick("late_minutes"), *world.tick("late_days")])


def test_late_readings_before_the_window_make_exactly_their_days(late: LateForOldDays) -> None:
    days = {day_key(OLD), day_key(OLDER)}
    assert late.minutes == []
    assert late.days == {(None, day, day) for day in days}
    assert {partition for _, partition in late.made} == days
    assert late.after == []


@dataclass(frozen=True)
class Backlog:
    asked_before: list[dg.RunRequest]
    asked: list[dg.RunRequest]
    failed: dg.ExecuteInProcessResult
    days: set[Span]
    mended: dg.ExecuteInProcessResult
    after: list[dg.RunRequest]


@pytest.fixture(scope="module")
def backlog(world: World, late: LateForOldDays) -> Backlog:
    """Messages landed while nobody decoded, and the window moved on; one file is broken."""
    before = world.scheduled("old_landing_hourly")
    for start in (OLD, OLDER):
        world.land([weather(at, at) for at in (start + index * MINUTE + timedelta(seconds=30) for index in range(3))])
    broken = landing_file(world.settings.paths, OLDER + MINUTE, "collector-9", 1)
    pl.DataFrame({"payload": [b"of whom?"]}).write_parquet(broken)
    asked = world.scheduled("old_landing_hourly")
    failed = world.run(asked[0], "old_landing", fails=True)
    broken.unlink()
    days = world.tick("late_days")
    for request in days:
        world.run(request, "day_chain")
    mended = world.run(world.scheduled("old_landing_hourly")[0], "old_landing")
    world.settle("late_days")
    return Backlog(before, asked, failed, spans(days), mended, world.scheduled("old_landing_hourly"))


def test_nothing_is_asked_for_while_all_is_decoded(backlog: Backlog) -> None:
    assert backlog.asked_before == []
    assert backlog.after == []


def test_what_landed_before_the_window_is_decoded_and_its_days_follow(world: World, backlog: Backlog) -> None:
    assert len(backlog.asked) == 1
    assert backlog.days == {(None, day, day) for day in (day_key(OLD), day_key(OLDER))}
    counts = [mart["count"].sum() for mart in (world.day_mart("device_day", day.date()) for day in (OLDER, OLD))]
    assert counts == [5, 5]


def test_a_file_that_cannot_be_read_keeps_its_own_minute_waiting_and_no_other(world: World, backlog: Backlog) -> None:
    assert not backlog.failed.success
    decoded = intake_tree(world.settings.paths).read(OLDER, OLDER + 2 * MINUTE)
    assert decoded["messages"].to_list() == [1, 1, 1]


@dataclass(frozen=True)
class Trimmed:
    asked: list[dg.RunRequest]
    repair: list[dg.RunRequest]
    quarantined: int


@pytest.fixture(scope="module")
def trimmed(world: World, backlog: Backlog) -> Trimmed:
    """Readings are kept for ten days from now on; after a night comes one more reading of a day that is gone."""
    kept = (utc_now().date() - OLD.date()).days + 1
    tight = world.with_settings(minute_window_days=2, retention_readings_days=kept)
    result = tight.definitions.resolve_job_def("housekeeping").execute_in_process(instance=tight.instance)
    assert result.success
    received = TEN + timedelta(seconds=140)
    tight.land([weather(OLDER + timedelta(seconds=7), received), weather(OLD + timedelta(seconds=7), received)])
    tight.close_through(TEN + 2 * MINUTE)
    for request in tight.tick("landed_minutes"):
        tight.run(request, "minute_chain")
    asked = tight.tick("late_days")
    for request in asked:
        tight.run(request, "day_chain")
    account = intake_tree(tight.settings.paths).read(TEN + 2 * MINUTE, TEN + 2 * MINUTE)
    return Trimmed(asked, tight.scheduled("repair_days"), int(account["quarantined"].sum()))


def test_a_day_whose_readings_are_gone_is_final(world: World, trimmed: Trimmed) -> None:
    assert kept_since(world.settings.paths, Level.READINGS) == OLDER.date() + DAY
    assert days_with_readings(world.settings.paths) == [OLD.date(), TEN.date()]
    assert world.day_mart("device_day", OLDER.date())["count"].to_list() == [5]
    assert spans(trimmed.asked) == {(None, day_key(OLD), day_key(OLD))}
    assert world.day_mart("device_day", OLD.date())["count"].to_list() == [6]
    assert trimmed.quarantined == 1
    assert trimmed.repair == []


def test_runs_that_made_a_day_last_are_not_forgotten(world: World, trimmed: Trimmed) -> None:
    """Forgetting them would make the repair build all of history again."""
    from iot_pipeline.operations.jobs import forgettable_runs  # noqa: PLC0415  # dbt's warning, see `world.define`

    everything = forgettable_runs(world.instance, utc_now() + MINUTE)
    total = len(world.instance.get_run_ids())
    assert 0 < len(everything) < total
    for run_id in everything:
        world.instance.delete_run(run_id)
    assert world.scheduled("repair_days") == []
