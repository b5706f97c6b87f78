"""Events are those that all flags make, however often and in whatever order minutes were looked at."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.event import FARTHEST, KEY, RULES, EventStatus
from iot_pipeline.anomalies.events.store import EventReport, read_events, update_events
from iot_pipeline.clock import DAY, MINUTE, floor_minute, minutes_between
from iot_pipeline.files import write_parquet
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import DEVICE_DAY_SCHEMA, EVENT_SCHEMA, FLAGS_SCHEMA, flags_tree, published_file

# The stretch passes midnight, where events end.
FIRST = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)
LAST = FIRST + 89 * MINUTE
SETTLED_DAY = FIRST.date() - 2 * DAY
Flag = tuple[datetime, str, str, float]


def flags_frame(flags: Sequence[Flag]) -> pl.DataFrame:
    rows = [
        {
            "minute": floor_minute(at),
            "event_ts": at,
            "device_id": device,
            "metric": "pressure",
            "unit": None if device == "p0" else "bar",
            "value": score * 2,
            "detector": detector,
            "detector_version": "1-abc",
            "score": score,
            "expected_low": 1.0,
            "expected_high": 2.0,
            "reason": f"{score} is strange",
        }
        for at, device, detector, score in flags
    ]
    return pl.DataFrame(rows, schema=FLAGS_SCHEMA).unique(["event_ts", "device_id", "detector"], maintain_order=True)


def keep(world: Settings, flags: pl.DataFrame, minutes: Sequence[datetime]) -> None:
    tree = flags_tree(world.paths)
    tree.write_many(
        {
            minute: rows
            for minute in minutes
            if (rows := flags.filter(pl.col("minute") == minute)).height or tree.file(minute).exists()
        }
    )


def speak(world: Settings, device: str, *, every: timedelta, on: date = SETTLED_DAY) -> None:
    """Statistics of a day on which the device spoke so often."""
    path = published_file(world.paths, "device_day", on)
    row = {"day": on, "device_id": device, "metric": "pressure", "unit": None if device == "p0" else "bar"}
    rows = pl.DataFrame([row | {"count": DAY // every}], schema=DEVICE_DAY_SCHEMA)
    write_parquet(pl.concat([pl.read_parquet(path), rows]) if path.exists() else rows, path)


def told(world: Settings) -> pl.DataFrame:
    """Events that stand, without what earlier looks left in them."""
    events = read_events(world.paths, FIRST.date(), LAST.date())
    return events.filter(pl.col("status") != EventStatus.WITHDRAWN.value).drop("event_id", "revision")


some_flags = st.lists(
    st.tuples(
        st.integers(0, 90 * 60 - 1).map(lambda second: FIRST + timedelta(seconds=second)),
        st.sampled_from(["p0", "p1"]),
        st.sampled_from(["rolling_z", "drift", "step", "kmeans_minute"]),
        st.sampled_from([1.0, 1.1, 1.5, 3.0]),
    ),
    max_size=25,
)


some_intervals = st.sampled_from([None, 10, 4 * 60, 15 * 60, 60 * 60])


@settings(max_examples=12, deadline=None)
@given(
    some_flags,
    st.tuples(some_intervals, some_intervals),
    st.lists(st.tuples(st.integers(0, 89), st.integers(1, 30)), max_size=4),
    st.data(),
)
def test_any_order_of_looks_gives_what_one_look_at_everything_gives(
    flags: list[Flag], intervals: tuple[int | None, int | None], looks: list[tuple[int, int]], data: st.DataObject
) -> None:
    frame = flags_frame(flags)
    minutes = minutes_between(FIRST, LAST)
    with TemporaryDirectory() as folder:
        once, often = (load_settings(data=Path(folder) / name) for name in ("once", "often"))
        for device, seconds in zip(("p0", "p1"), intervals, strict=True):
            for world in (once, often):
                for day in (FIRST.date(), LAST.date()) if seconds is not None else ():
                    speak(world, device, every=timedelta(seconds=seconds or 0), on=day - 2 * DAY)
        keep(once, frame, minutes)
        update_events(once, FIRST, LAST)

        for start, length in looks:
            first, last = minutes[start], minutes[min(start + length, 89)]
            # What was flagged at that time: some of the flags, and some that nothing is left of later.
            now = minutes_between(first, last)
            seen = frame.filter(
                pl.Series(
                    data.draw(st.lists(st.booleans(), min_size=frame.height, max_size=frame.height)), dtype=pl.Boolean
                )
            )
            keep(often, seen, now)
            update_events(often, first, last)
        order = data.draw(st.permutations(range(0, 90, 10)))
        for start in order:
            first, last = minutes[start], minutes[start + 9]
            keep(often, frame, minutes_between(first, last))
            update_events(often, first, last, front=LAST)

        assert_frame_equal(told(often), told(once))
        names = read_events(often.paths, FIRST.date(), LAST.date())
        assert names["event_id"].n_unique() == names.height
        assert names.schema == pl.Schema(EVENT_SCHEMA)
        again = update_events(often, FIRST, LAST)
        assert (again.opened, again.revised) == (0, 0)
        assert_frame_equal(read_events(often.paths, FIRST.date(), LAST.date()), names)


def test_key_names_columns_of_events() -> None:
    assert set(KEY) < set(EVENT_SCHEMA)


def test_every_type_of_flag_has_its_rules() -> None:
    assert set(RULES) == set(FlagType)
    assert all(rules.recovery + rules.least_duration <= FARTHEST for rules in RULES.values())


def look(world: Settings, flags: Sequence[Flag], first: int, last: int, *, front: int = 0) -> EventReport:
    """Keep `flags` as all there are and look at the minutes `first` to `last` of the stretch, scored up to `front`."""
    minutes = minutes_between(FIRST, LAST)
    keep(world, flags_frame(flags), minutes)
    return update_events(world, minutes[first], minutes[last], front=minutes[max(front, last)])


@pytest.fixture(name="world")
def empty_world(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path)


def at(minute: float, score: float = 2.0, detector: str = "rolling_z") -> Flag:
    return (FIRST + timedelta(minutes=minute), "p1", detector, score)


def events(world: Settings) -> pl.DataFrame:
    return read_events(world.paths, FIRST.date(), LAST.date())


def test_flags_within_the_recovery_time_are_one_event_with_its_strangest_reading(world: Settings) -> None:
    look(world, [at(1), at(3, 6.0), at(5), at(20)], 0, 40)

    first, second = events(world).iter_rows(named=True)
    assert (first["opened_at"], first["last_flag_at"], first["flags"]) == (at(1)[0], at(5)[0], 3)
    assert (first["peak_at"], first["score"], first["severity"]) == (at(3)[0], 6.0, "critical")
    assert first["sentence"] == "p1 pressure: 6.0 is strange; 3 readings in 4 min"
    assert (first["status"], first["closed_at"]) == ("closed", at(10)[0])
    assert second["sentence"] == "p1 pressure: 2.0 is strange"


def test_an_event_that_goes_on_keeps_its_name_and_is_no_revision(world: Settings) -> None:
    look(world, [at(1)], 0, 1)
    (before,) = events(world).iter_rows(named=True)
    look(world, [at(1), at(3), at(5)], 2, 5)

    (after,) = events(world).iter_rows(named=True)
    assert (before["status"], after["status"], after["flags"]) == ("open", "open", 3)
    assert (after["event_id"], after["revision"]) == (before["event_id"], 1)


def test_late_flags_revise_an_event_and_keep_its_name(world: Settings) -> None:
    look(world, [at(3)], 0, 20)
    (before,) = events(world).iter_rows(named=True)
    report = look(world, [at(1, 5.0), at(3)], 1, 1)

    (after,) = events(world).iter_rows(named=True)
    assert (report.opened, report.revised) == (0, 1)
    assert (after["event_id"], after["revision"], after["opened_at"]) == (before["event_id"], 2, at(1)[0])


def test_an_event_of_which_nothing_is_left_is_withdrawn_and_comes_back_under_its_name(world: Settings) -> None:
    look(world, [at(3)], 0, 20)
    (before,) = events(world).iter_rows(named=True)
    look(world, [], 3, 3, front=20)
    (gone,) = events(world).iter_rows(named=True)
    look(world, [at(3)], 3, 3, front=20)
    (again,) = events(world).iter_rows(named=True)

    assert (gone["event_id"], gone["status"], gone["revision"]) == (before["event_id"], "withdrawn", 2)
    assert (again["event_id"], again["status"], again["revision"]) == (before["event_id"], "closed", 3)


def test_late_data_that_moves_all_flags_to_readings_beside_them_leaves_the_event_its_name(world: Settings) -> None:
    look(world, [at(3), at(4)], 0, 20)
    (before,) = events(world).iter_rows(named=True)
    look(world, [at(1)], 1, 4, front=20)

    (after,) = events(world).iter_rows(named=True)
    assert (after["event_id"], after["revision"], after["opened_at"]) == (before["event_id"], 2, at(1)[0])


def test_what_is_farther_than_the_recovery_time_from_an_event_that_is_gone_is_another_one(world: Settings) -> None:
    look(world, [at(9)], 0, 20)
    look(world, [at(1)], 1, 9, front=20)

    assert sorted(events(world)["status"]) == ["closed", "withdrawn"]


def test_two_events_that_turn_out_to_be_one_leave_the_name_of_the_earlier(world: Settings) -> None:
    look(world, [at(1), at(9)], 0, 20)
    first, second = events(world)["event_id"]
    look(world, [at(1), at(5), at(9)], 5, 5, front=20)

    assert events(world).select("event_id", "status").rows() == [(first, "closed"), (second, "withdrawn")]


def test_a_weak_and_short_drift_is_no_event_and_a_longer_one_is(world: Settings) -> None:
    look(world, [at(1, 1.05, "drift"), at(2, 1.05, "drift")], 0, 20)
    assert events(world).is_empty()

    look(world, [at(1, 1.05, "drift"), at(2, 1.05, "drift"), at(21, 1.05, "drift")], 21, 21)
    assert events(world)["opened_at"].to_list() == [at(1)[0]]


def test_flags_of_each_reading_of_a_slow_device_are_one_event(world: Settings) -> None:
    speak(world, "p1", every=15 * MINUTE)
    look(world, [at(0), at(15), at(29)], 0, 89)

    (event,) = events(world).iter_rows(named=True)
    assert (event["flags"], event["closed_at"]) == (3, at(30)[0])
    assert event["sentence"].endswith("3 readings in 29 min")


def test_a_slow_device_recovers_after_two_and_a_half_of_its_intervals(world: Settings) -> None:
    speak(world, "p1", every=4 * MINUTE)
    look(world, [at(1), at(11), at(21.1)], 0, 40)

    assert events(world).select("flags", "closed_at").rows() == [(2, at(21)[0]), (1, at(30)[0])]


def test_what_has_to_last_is_flagged_in_three_readings_of_a_slow_device(world: Settings) -> None:
    speak(world, "p1", every=10 * MINUTE)
    look(world, [at(1, 1.05, "drift"), at(11, 1.05, "drift")], 0, 20)
    assert events(world).is_empty()

    look(world, [at(1, 1.05, "drift"), at(11, 1.05, "drift"), at(21, 1.05, "drift")], 21, 21)
    assert events(world)["flags"].to_list() == [3]


@pytest.mark.parametrize("days", [0, 1, 9])
def test_only_days_that_are_settled_and_of_the_last_week_tell_a_pace(world: Settings, days: int) -> None:
    speak(world, "p1", every=15 * MINUTE, on=FIRST.date() - days * DAY)
    look(world, [at(0), at(15)], 0, 29)
    assert events(world).height == 2


def test_the_busiest_day_tells_the_pace(world: Settings) -> None:
    speak(world, "p1", every=timedelta(seconds=10), on=FIRST.date() - 8 * DAY)
    speak(world, "p1", every=15 * MINUTE)
    look(world, [at(0), at(15)], 0, 29)
    assert events(world).height == 2


def test_flags_of_a_baseline_open_nothing(world: Settings) -> None:
    look(world, [at(1, 9.0, "kmeans_minute")], 0, 5)
    assert events(world).is_empty()


def test_what_lasts_over_midnight_is_two_events_and_the_second_says_so(world: Settings) -> None:
    look(world, [at(minute) for minute in range(25, 36)], 0, 89)

    assert events(world).select("opened_at", "continues").rows() == [(at(25)[0], False), (at(30)[0], True)]
    assert events(world)["closed_at"][0] == at(30)[0]


def test_names_from_outside_are_text(world: Settings) -> None:
    hostile = "{}'\"; drop table x --<b>"
    look(world, [(at(1)[0], hostile, "rolling_z", 3.0)], 0, 5)
    assert events(world)["sentence"].to_list() == [f"{hostile} pressure: 3.0 is strange"]
