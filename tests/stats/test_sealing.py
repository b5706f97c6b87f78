from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import DataError
from iot_pipeline.files import write_parquet
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import event_day_files
from iot_pipeline.settings import Settings
from iot_pipeline.stats.inputs import day_input_files
from iot_pipeline.stats.relations import sealed_readings
from iot_pipeline.stats.sealing import remove_superseded, seal_day
from iot_pipeline.stats.warehouse import connect
from tests.readings.stored import read_files
from tests.stats.world import Row, file_readings

DAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
ORDER = ["device_id", "metric", "event_ts", "unit"]


def sealed(settings: Settings) -> pl.DataFrame:
    return read_files(sealed_readings(settings.paths).files(DAY)).select(list(READING_SCHEMA))


def seen(settings: Settings) -> pl.DataFrame:
    with connect(settings.paths) as connection:
        found: pl.DataFrame = connection.sql("select * exclude (dt) from readings_raw").pl()
    return found.with_columns(pl.col(pl.Datetime).dt.convert_time_zone("UTC")).sort(ORDER)


def later() -> datetime:
    return utc_now() + timedelta(days=1)


def test_a_sealed_day_is_sorted_and_has_each_reading_once(settings: Settings) -> None:
    first, second = Row(TEN, 1.0), Row(TEN + timedelta(seconds=1), 2.0, "compressor", unit=None)
    copies = [first.late(timedelta(minutes=5)), second.late(timedelta(minutes=5))]
    file_readings(settings, [first, second, *copies])
    file_readings(settings, [Row(TEN + timedelta(hours=1), 3.0).late(timedelta(days=20))], by_day=True)
    report = seal_day(settings, DAY)
    assert (report.rows, report.changed, report.open_files) == (3, True, 3)
    rows = sealed(settings)
    assert rows["device_id"].to_list() == ["compressor", "pump", "pump"]
    assert rows["received_at"].to_list()[:2] == [second.received, first.received]


def test_sealing_again_changes_nothing(settings: Settings) -> None:
    file_readings(settings, [Row(TEN)])
    version = seal_day(settings, DAY).version
    again = seal_day(settings, DAY)
    assert (again.version, again.changed, again.rows) == (version, False, 1)


def test_a_rebuilt_landing_minute_replaces_its_readings_and_no_others(settings: Settings) -> None:
    kept, wrong = Row(TEN, 1.0), Row(TEN, 5.0, "valve").late(timedelta(minutes=3))
    file_readings(settings, [kept, wrong])
    seal_day(settings, DAY)
    remove_superseded(settings.paths, now=later())
    assert event_day_files(settings.paths, DAY) == []
    file_readings(settings, [Row(TEN, 6.0, "valve").late(timedelta(minutes=3))])
    seal_day(settings, DAY)
    assert sealed(settings)["value"].to_list() == [1.0, 6.0]


@pytest.mark.parametrize("by_day", [True, False])
def test_a_tombstone_removes_readings_of_the_sealed_day(settings: Settings, by_day: bool) -> None:
    file_readings(settings, [Row(TEN), Row(TEN, 5.0, "valve").late(timedelta(minutes=3))], by_day=by_day)
    [*_, late] = event_day_files(settings.paths, DAY)
    seal_day(settings, DAY)
    remove_superseded(settings.paths, now=later())
    write_parquet(pl.DataFrame(schema=READING_SCHEMA), late)
    seal_day(settings, DAY)
    assert sealed(settings)["device_id"].to_list() == ["pump"]


def test_the_view_shows_late_readings_once_the_day_is_sealed_again(settings: Settings) -> None:
    file_readings(settings, [Row(TEN)])
    seal_day(settings, DAY)
    file_readings(settings, [Row(TEN + timedelta(seconds=5)).late(timedelta(hours=1))])
    assert seen(settings).height == 1
    assert len(day_input_files(settings.paths, DAY).open) == 1
    seal_day(settings, DAY)
    assert seen(settings).height == 2
    assert day_input_files(settings.paths, DAY).settled


def test_a_file_that_changed_after_sealing_is_not_deleted(settings: Settings) -> None:
    file_readings(settings, [Row(TEN)])
    seal_day(settings, DAY)
    file_readings(settings, [Row(TEN, 9.0)])
    remove_superseded(settings.paths, now=later())
    assert len(event_day_files(settings.paths, DAY)) == 1
    seal_day(settings, DAY)
    assert sealed(settings)["value"].to_list() == [9.0]


def test_a_file_that_cannot_be_read_leaves_the_day_as_it_was(settings: Settings) -> None:
    file_readings(settings, [Row(TEN)])
    [broken] = event_day_files(settings.paths, DAY)
    broken.write_bytes(b"no parquet")
    with pytest.raises(DataError, match="as it was before"):
        seal_day(settings, DAY)
    assert sealed_readings(settings.paths).current(DAY) is None


readings = st.builds(
    lambda second, device, delay, value: Row(TEN + timedelta(seconds=second), float(value), device).late(
        timedelta(seconds=delay)
    ),
    st.integers(0, 90),
    st.sampled_from("ab"),
    st.sampled_from([1, 100, 4000]),
    st.integers(0, 3),
)
steps = st.lists(st.one_of(st.lists(readings, min_size=1, max_size=4), st.sampled_from(["seal", "clean"])), max_size=8)


@given(steps=steps)
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_reading_is_seen_once_whatever_was_sealed_when(
    settings: Settings, steps: list[list[Row] | str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Landing minutes file and file again, days are sealed, files are cleaned: the end is what was filed last."""
    world = settings.model_copy(update={"data": tmp_path_factory.mktemp("law")})
    model: dict[tuple[datetime, datetime], list[Row]] = {}
    for step in [*steps, "seal"]:
        if step == "seal":
            seal_day(world, DAY)
        elif step == "clean":
            remove_superseded(world.paths, now=later())
        elif isinstance(step, list):
            unique = list({(row.device_id, row.event_ts, row.received): row for row in step}.values())
            for row in unique:
                model[_place(row)] = [other for other in unique if _place(other) == _place(row)]
            file_readings(world, unique)
    expected = _first_copies([row for rows in model.values() for row in rows])
    assert sorted((row.device_id, row.event_ts, row.value) for row in expected) == sorted(
        seen(world).select("device_id", "event_ts", "value").rows()
    )
    if steps:
        assert_frame_equal(seen(world).sort(ORDER), sealed(world).sort(ORDER))


def _place(row: Row) -> tuple[datetime, datetime]:
    return row.event_ts.replace(second=0), (row.received - timedelta(seconds=10)).replace(second=0, microsecond=0)


def _first_copies(rows: list[Row]) -> list[Row]:
    first: dict[tuple[str, datetime], Row] = {}
    for row in sorted(rows, key=lambda row: row.received):
        first.setdefault((row.device_id, row.event_ts), row)
    return list(first.values())


def test_seal_leaves_no_temporary_files(settings: Settings, tmp_path: Path) -> None:
    file_readings(settings, [Row(TEN)])
    seal_day(settings, DAY)
    assert not list(tmp_path.rglob("building-*"))
    assert not list(tmp_path.rglob("spill/*"))


def test_a_copy_counts_again_when_what_was_told_first_is_gone(settings: Settings) -> None:
    first = Row(TEN, 1.0)
    file_readings(settings, [first, Row(TEN, 1.0).late(timedelta(minutes=3))])
    told_first, _ = event_day_files(settings.paths, DAY)
    seal_day(settings, DAY)
    remove_superseded(settings.paths, now=later())
    write_parquet(pl.DataFrame(schema=READING_SCHEMA), told_first)
    seal_day(settings, DAY)
    assert sealed(settings)["received_at"].to_list() == [TEN + timedelta(minutes=3)]


def test_the_intake_delay_may_change_after_a_day_was_sealed(settings: Settings) -> None:
    """A sealed row belongs to the landing minute that it came by, whatever the setting says by now."""
    early = Row(TEN + timedelta(minutes=3, seconds=5), 1.0).late(timedelta(seconds=30))
    file_readings(settings, [early, Row(TEN, 2.0)])
    seal_day(settings, DAY)
    remove_superseded(settings.paths, now=later())
    file_readings(settings, [replace(early, value=7.0)])
    changed = settings.model_copy(update={"intake_delay_seconds": 50})
    seal_day(changed, DAY)
    assert sealed(changed)["value"].to_list() == [2.0, 7.0]
