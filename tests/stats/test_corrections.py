"""Corrections: recorded, applied in order, taken back; readings stay as they were told."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE
from iot_pipeline.errors import ConfigurationError
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.build import build_days, build_minutes_stats
from iot_pipeline.stats.correction_effect import announce_waiting, effect_of, record
from iot_pipeline.stats.corrections.correction import Action, Correction, new_correction, removed
from iot_pipeline.stats.corrections.store import (
    find_correction,
    pieces_between,
    pieces_file,
    put_in_force,
    read_corrections,
    store,
)
from iot_pipeline.stats.current import read_current
from iot_pipeline.stats.lateness import corrections_journal, read_touches
from iot_pipeline.stats.relations import device_minute_tree, published_file, sealed_readings
from iot_pipeline.stats.sealing import seal_day
from iot_pipeline.stats.warehouse import connect
from tests.stats.world import Row, file_readings

TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
DAY = TEN.date()
HOUR = timedelta(hours=1)


def at(seconds: float) -> datetime:
    return TEN + timedelta(seconds=seconds)


def correction(
    action: Action = Action.DROP,
    *,
    start: datetime = TEN,
    end: datetime = TEN + MINUTE,
    device: str = "pump",
    unit: str | None = None,
    factor: float | None = None,
    addend: float | None = None,
    replacement: float | None = None,
) -> Correction:
    return new_correction(
        device_id=device,
        metric="pressure",
        unit=unit,
        from_ts=start,
        to_ts=end,
        action=action,
        author="ann",
        reason="it was wrong",
        factor=factor,
        addend=addend,
        replacement=replacement,
    )


def scale(factor: float, addend: float = 0.0, *, start: datetime = TEN, end: datetime = TEN + MINUTE) -> Correction:
    return correction(Action.SCALE, factor=factor, addend=addend, start=start, end=end)


def values(settings: Settings) -> list[tuple[str, float | None]]:
    return read_current(settings, TEN, TEN + HOUR).sort("event_ts", "device_id").select("device_id", "value").rows()


def asked(settings: Settings, sql: str) -> list[tuple[object, ...]]:
    with connect(settings.paths) as connection:
        return connection.execute(sql).fetchall()


def test_each_action_changes_what_counts_and_nothing_else(settings: Settings) -> None:
    rows = [Row(at(1), 1.0), Row(at(61), 2.0), Row(at(121), 3.0), Row(at(181), 4.0), Row(at(1), 9.0, "valve")]
    file_readings(settings, rows)
    for one in (
        correction(start=at(0), end=at(60)),
        scale(10.0, 0.5, start=at(60), end=at(120)),
        correction(Action.REPLACE, start=at(120), end=at(180), replacement=7.0),
    ):
        store(settings.paths, one)
    assert values(settings) == [("valve", 9.0), ("pump", 20.5), ("pump", 7.0), ("pump", 4.0)]


def test_a_range_begins_with_its_first_instant_and_ends_before_its_last(settings: Settings) -> None:
    file_readings(settings, [Row(at(second), 1.0) for second in (59, 60, 119, 120)])
    store(settings.paths, scale(2.0, start=at(60), end=at(120)))
    assert [value for _, value in values(settings)] == [1.0, 2.0, 2.0, 1.0]


def test_corrections_of_one_reading_apply_in_the_order_in_which_they_were_recorded(settings: Settings) -> None:
    file_readings(settings, [Row(at(1), 3.0), Row(at(31), 3.0)])
    store(settings.paths, scale(2.0, 1.0))
    store(settings.paths, scale(10.0, start=at(30), end=at(60)))
    assert [value for _, value in values(settings)] == [7.0, 70.0]
    store(settings.paths, correction(Action.REPLACE, replacement=1.0, start=at(30), end=at(60)))
    store(settings.paths, scale(4.0, 0.5, start=at(30), end=at(60)))
    assert [value for _, value in values(settings)] == [7.0, 4.5]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [(None, [2.0, 2.0, 2.0]), ("bar", [2.0, 1.0, 1.0]), ("", [1.0, 1.0, 2.0]), ("K", [1.0, 1.0, 1.0])],
)
def test_a_unit_narrows_a_correction(settings: Settings, unit: str | None, expected: list[float]) -> None:
    file_readings(settings, [Row(at(1), unit="bar"), Row(at(2), unit="psi"), Row(at(3), unit=None)])
    store(settings.paths, correction(Action.SCALE, factor=2.0, addend=0.0, unit=unit))
    assert [value for _, value in values(settings)] == expected


def test_corrections_with_and_without_unit_meet(settings: Settings) -> None:
    file_readings(settings, [Row(at(1), unit="bar"), Row(at(2), unit="psi"), Row(at(3), unit=None)])
    store(settings.paths, correction(Action.SCALE, factor=2.0, addend=0.0))
    store(settings.paths, correction(Action.SCALE, factor=5.0, addend=0.0, unit="bar"))
    assert [value for _, value in values(settings)] == [10.0, 2.0, 2.0]


def test_text_is_dropped_but_never_scaled(settings: Settings) -> None:
    file_readings(settings, [Row(at(1), None, text="on"), Row(at(31), 2.0**60, text=str(2**60))])
    one = scale(2.0)
    assert effect_of(settings, one).readings == 1
    store(settings.paths, one)
    found = read_current(settings, TEN, TEN)
    assert found.select("value", "text").rows() == [(None, "on"), (2.0**61, None)]
    store(settings.paths, correction())
    assert read_current(settings, TEN, TEN).is_empty()


def test_people_see_corrected_and_raw_readings_and_who_corrected(settings: Settings) -> None:
    file_readings(settings, [Row(at(1), 1.0), Row(at(2), 2.0, "valve"), Row(at(61), 3.0)])
    one, other = scale(10.0), correction(start=TEN + MINUTE, end=TEN + 2 * MINUTE)
    for correcting in (one, other):
        store(settings.paths, correcting)
    query = "select value, corrected_by from readings where dt = date '2026-11-20' order by event_ts"
    assert asked(settings, query) == [(10.0, [one.id]), (2.0, None)]
    assert asked(settings, "select value from readings_raw order by event_ts") == [(1.0,), (2.0,), (3.0,)]
    assert asked(settings, "select id, author, action, removed_at from corrections order by created_at") == [
        (one.id, "ann", "scale", None),
        (other.id, "ann", "drop", None),
    ]


@pytest.mark.parametrize("sealed", [True, False])
def test_statistics_follow_and_come_back_when_it_is_removed(settings: Settings, sealed: bool) -> None:
    file_readings(settings, [Row(at(1), 1.0), Row(at(2), 3.0), Row(at(61), 5.0)])
    if sealed:
        seal_day(settings, DAY)

    def built() -> tuple[list[float], list[float]]:
        report = build_minutes_stats(settings, TEN, TEN + MINUTE, "test")
        build_days(settings, DAY, DAY, "test")
        reports.append(report.corrected.readings)
        day = pl.read_parquet(published_file(settings.paths, "device_day", DAY), hive_partitioning=False)
        return device_minute_tree(settings.paths).read(TEN, TEN + MINUTE)["max"].to_list(), day["max"].to_list()

    reports: list[int] = []
    before = built()
    one = scale(100.0)
    record(settings, one)
    assert built() == ([300.0, 5.0], [300.0])
    record(settings, removed(one, author="bob", reason="no"))
    assert built() == before
    assert reports == [0, 2, 0]


def test_sealing_keeps_what_was_told(settings: Settings) -> None:
    file_readings(settings, [Row(at(1), 1.0)])
    store(settings.paths, correction())
    assert seal_day(settings, DAY).rows == 1
    [path] = sealed_readings(settings.paths).files(DAY)
    assert pl.read_parquet(path)["value"].to_list() == [1.0]


def test_late_readings_in_the_range_are_corrected_too(settings: Settings) -> None:
    one = scale(2.0)
    assert record(settings, one).readings == 0
    file_readings(settings, [Row(at(1), 4.0).late(3 * HOUR)])
    assert values(settings) == [("pump", 8.0)]


def test_exactly_the_minutes_and_days_with_readings_of_the_series_are_announced(settings: Settings) -> None:
    recent = settings.model_copy(update={"minute_start": DAY})
    old = TEN - timedelta(days=3)
    file_readings(recent, [Row(at(1)), Row(at(121)), Row(at(61), device_id="valve"), Row(at(301)), Row(old)])
    seal_day(recent, old.date())
    one = correction(start=old, end=at(300))
    effect = record(recent, one)
    assert (effect.readings, effect.days) == (3, (old.date(), DAY))
    [touch], offset = read_touches(corrections_journal(recent.paths), 0)
    assert (touch.minutes, touch.days) == ((TEN, TEN + 2 * MINUTE), (old.date(),))
    record(recent, removed(one, author="bob", reason="no"))
    [again], _ = read_touches(corrections_journal(recent.paths), offset)
    assert (again.minutes, again.days) == (touch.minutes, touch.days)


def test_a_change_that_a_crash_left_untold_is_told_by_the_next_look(settings: Settings) -> None:
    file_readings(settings, [Row(at(1))])
    store(settings.paths, scale(2.0))  # The process died here.
    pieces_file(settings.paths).unlink()
    (settings.paths.corrections / "20261122T000000-dead.unannounced").touch()
    assert [effect.readings for effect in announce_waiting(settings).values()] == [1]
    assert announce_waiting(settings) == {}
    assert values(settings) == [("pump", 2.0)]
    touches, _ = read_touches(corrections_journal(settings.paths), 0)
    assert [touch.days or tuple(minute.date() for minute in touch.minutes) for touch in touches] == [(DAY,)]


def test_pieces_that_were_lost_are_made_again(settings: Settings) -> None:
    file_readings(settings, [Row(at(1))])
    store(settings.paths, scale(2.0))
    pieces_file(settings.paths).unlink()
    assert values(settings) == [("pump", 2.0)]


def test_a_removal_is_recorded_and_the_history_stays(settings: Settings) -> None:
    one = scale(2.0)
    record(settings, one)
    record(settings, removed(one, author="bob", reason="it was right"))
    [kept] = read_corrections(settings.paths)
    assert (kept.reason, kept.removed_by, kept.removal_reason) == ("it was wrong", "bob", "it was right")
    with pytest.raises(ConfigurationError, match=r"was removed on .* by bob"):
        removed(kept, author="bob", reason="again")


@pytest.mark.parametrize("name", ["../../etc/passwd", "20261122T000000-dead", "", "_schema"])
def test_an_id_that_is_none_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(ConfigurationError, match="iot correct list"):
        find_correction(settings.paths, name)


def test_names_are_data(settings: Settings) -> None:
    hostile = "x'); drop table readings; --{{ var }}/../%"
    file_readings(settings, [Row(at(1), 1.0, hostile), Row(at(1), 1.0)])
    record(settings, correction(Action.REPLACE, device=hostile, replacement=5.0))
    assert sorted(values(settings)) == [("pump", 1.0), (hostile, 5.0)]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_are_none_are_refused(number: float) -> None:
    with pytest.raises(ConfigurationError, match="no finite number"):
        correction(Action.REPLACE, replacement=number)


def test_an_empty_range_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is not before"):
        correction(start=TEN, end=TEN)


def test_without_corrections_no_piece_is_looked_for(data_paths: DataPaths) -> None:
    assert pieces_between(data_paths, TEN, TEN + HOUR).is_empty()
    assert not data_paths.corrections.exists()


def test_the_command_records_lists_and_takes_back(settings: Settings) -> None:
    file_readings(settings, [Row(at(1), 1.0), Row(at(61), 2.0)])

    def iot(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "iot_pipeline.cli", "correct", *arguments, "--data", str(settings.data)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    where = ["--device", "pump", "--metric", "pressure", "--from", "2026-11-20T10:00", "--to", "2026-11-20T11:01+01:00"]
    refused = iot(*where, "--drop", "--replace", "3", "--why", "both")
    assert (refused.returncode, refused.stderr.count("say one thing to do")) == (2, 1)
    shown = iot(*where, "--drop", "--why", "wrong", "--preview")
    assert "1 readings of 1 minutes on 1 days" in shown.stdout
    assert read_corrections(settings.paths) == []
    told = iot(*where, "--scale", "-2", "--offset", "0.5", "--why", "wrong sign", "--author", "ann")
    assert told.returncode == 0, told.stderr
    [one] = read_corrections(settings.paths)
    assert values(settings) == [("pump", -1.5), ("pump", 2.0)]
    listed = iot("list").stdout
    assert one.id in listed
    assert "value * -2 + 0.5" in listed
    assert "ann" in listed
    assert iot("remove", one.id).returncode == 2
    assert iot("remove", one.id, "--why", "it was right").returncode == 0
    assert values(settings) == [("pump", 1.0), ("pump", 2.0)]
    assert "it was right" in iot("list").stdout


seconds = st.integers(0, 12).map(lambda five: at(5 * five))
drawn = st.lists(
    st.tuples(
        st.tuples(seconds, seconds).filter(lambda pair: pair[0] < pair[1]),
        st.sampled_from(Action),
        st.sampled_from([None, "bar", ""]),
        st.sampled_from([0.5, 2.0, -1.0]),
        st.booleans(),
    ),
    max_size=6,
)


@given(drawn=drawn)
@hypothesis_settings(max_examples=25, deadline=None)
def test_pieces_do_what_the_corrections_do_one_after_the_other(
    drawn: Sequence[tuple[tuple[datetime, datetime], Action, str | None, float, bool]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    paths = DataPaths(tmp_path_factory.mktemp("law"))
    made = []
    for (start, end), action, unit, number, is_removed in drawn:
        one = correction(
            action,
            start=start,
            end=end,
            unit=unit,
            factor=number if action is Action.SCALE else None,
            addend=1.0 if action is Action.SCALE else None,
            replacement=number if action is Action.REPLACE else None,
        )
        one = removed(one, author="bob", reason="no") if is_removed else one
        store(paths, one)
        made.append(one)
    put_in_force(paths)
    told = [Row(at(second + 0.5), 8.0, unit=unit) for second in range(0, 60, 5) for unit in ("bar", "psi", None)]
    world = load_settings(data=paths.root, minute_start=date(2026, 11, 1))
    file_readings(world, told)
    found = {(event, unit): value for event, unit, value in _read(world).iter_rows()}
    assert found == {(row.event_ts, row.unit): value for row in told if (value := _applied(row, made)) is not None}


def _read(world: Settings) -> pl.DataFrame:
    return read_current(world, TEN, TEN).select("event_ts", "unit", "value")


def _applied(row: Row, corrections: Sequence[Correction]) -> float | None:
    value = row.value
    for one in corrections:
        meets = one.from_ts <= row.event_ts < one.to_ts and one.unit in (None, row.unit or "")
        if one.removed_at is not None or not meets or value is None:
            continue
        if one.action is Action.DROP:
            return None
        value = one.replacement if one.factor is None else value * one.factor + (one.addend or 0.0)
    return value
