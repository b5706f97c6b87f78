import json
import random
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.clock import MINUTE, minute_key
from iot_pipeline.paths import DBT_PROJECT
from iot_pipeline.readings.schema import DEVICE_SCHEMA
from iot_pipeline.readings.store import event_minute_files
from iot_pipeline.settings import Settings
from iot_pipeline.stats import dbt_build
from iot_pipeline.stats.build import StatisticsError, build_minutes_stats
from iot_pipeline.stats.dbt_build import DbtProjectError
from iot_pipeline.stats.relations import (
    DEVICE_MINUTE_SCHEMA,
    device_minute_tree,
    dim_device_file,
    minute_trees,
)
from iot_pipeline.stats.sealing import seal_day, seal_minutes
from tests.readings.stored import read_event_minutes, read_files
from tests.stats.world import Row, file_readings

TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return TEN + timedelta(seconds=seconds)


def noisy_rows(minutes: int) -> list[Row]:
    """Several series with gaps, text, bad quality, null units, infinities, and copies from two landing minutes."""
    chance = random.Random(7)
    rows = []
    for second in range(minutes * 60):
        for device in ("a", "b", "c"):
            if chance.random() < 0.4:
                continue
            row = Row(
                at(second + chance.random()),
                chance.gauss(20, 5),
                device,
                chance.choice(["t", "p"]),
                chance.choice(["C", None]),
                chance.choice(["good", "good", "uncertain", "bad"]),
            )
            if chance.random() < 0.05:
                row = Row(row.event_ts, chance.choice([None, float("inf"), float("nan"), 1e200]), device, "t", "C")
            rows.append(row)
            if chance.random() < 0.2:
                rows.append(row.late(timedelta(minutes=3)))
    return rows


def expected(settings: Settings, first: datetime, last: datetime) -> pl.DataFrame:
    value = pl.col("value")
    return (
        read_event_minutes(settings.paths, first, last)
        .filter(value.abs() < 1e140, pl.col("quality") != "bad")
        .sort("event_ts")
        .group_by(pl.col("event_ts").dt.truncate("1m").alias("minute"), "device_id", "metric", "unit")
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            value.min().alias("min"),
            value.max().alias("max"),
            value.mean().alias("mean"),
            value.std().alias("stddev"),
            value.first().alias("first"),
            value.last().alias("last"),
            value.quantile(0.5, "linear").alias("p50"),
            value.quantile(0.95, "linear").alias("p95"),
        )
        .select(*DEVICE_MINUTE_SCHEMA)
        .sort("minute", "device_id", "metric", "unit", nulls_last=True)
    )


def test_minutes_equal_what_polars_computes(settings: Settings) -> None:
    file_readings(settings, noisy_rows(4))
    last = TEN + 5 * MINUTE
    report = build_minutes_stats(settings, TEN, last, "test")
    built = device_minute_tree(settings.paths).read(TEN, last)
    assert_frame_equal(built, expected(settings, TEN, last), rel_tol=1e-9, abs_tol=1e-9)
    assert report.rows["device_minute"] == built.height
    # Minutes without readings are partitions without rows.
    assert device_minute_tree(settings.paths).file(last).exists()
    assert report.partitions["device_minute"][minute_key(last)] == 0


def test_building_again_writes_the_same_bytes(settings: Settings) -> None:
    file_readings(settings, noisy_rows(2))
    build_minutes_stats(settings, TEN, TEN + MINUTE, "test")
    tree = device_minute_tree(settings.paths)
    before = [tree.file(minute).read_bytes() for minute in (TEN, TEN + MINUTE)]
    build_minutes_stats(settings, TEN, TEN + MINUTE, "test")
    assert [tree.file(minute).read_bytes() for minute in (TEN, TEN + MINUTE)] == before


def test_a_late_reading_changes_its_minute_and_no_other(settings: Settings) -> None:
    file_readings(settings, [Row(at(1)), Row(at(61))])
    build_minutes_stats(settings, TEN, TEN + MINUTE, "test")
    tree = device_minute_tree(settings.paths)
    untouched = tree.file(TEN + MINUTE).stat()
    file_readings(settings, [Row(at(2), 3.0).late(timedelta(hours=2))])
    build_minutes_stats(settings, TEN, TEN, "late")
    assert tree.read(TEN, TEN + MINUTE)["count"].to_list() == [2, 1]
    assert tree.file(TEN + MINUTE).stat().st_mtime_ns == untouched.st_mtime_ns


@pytest.mark.parametrize("settled", [True, False])
def test_a_late_reading_of_a_sealed_day_changes_its_minute(settings: Settings, settled: bool) -> None:
    file_readings(settings, [Row(at(1)), Row(at(61))])
    build_minutes_stats(settings, TEN, TEN + MINUTE, "test")
    seal_day(settings, TEN.date())
    seal_minutes(settings.paths, before=TEN.date() + timedelta(days=1))
    file_readings(settings, [Row(at(2), 3.0).late(timedelta(hours=2))])
    if settled:
        seal_day(settings, TEN.date())
    build_minutes_stats(settings, TEN, TEN, "late")
    built = device_minute_tree(settings.paths).read(TEN, TEN + MINUTE)
    assert built["count"].to_list() == [2, 1]
    assert built["max"].to_list() == [3.0, 1.0]


def test_a_minute_that_lost_its_readings_becomes_empty(settings: Settings) -> None:
    row = Row(at(1))
    file_readings(settings, [row])
    build_minutes_stats(settings, TEN, TEN, "test")
    for path in event_minute_files(settings.paths, [TEN]):
        read_files([path]).clear().write_parquet(path)
    build_minutes_stats(settings, TEN, TEN, "test")
    assert device_minute_tree(settings.paths).read(TEN, TEN).is_empty()


def sighting(minute: datetime, state: str | None = None, **attributes: str) -> pl.DataFrame:
    told = json.dumps(attributes, sort_keys=True)
    values = ("a", "f", told, minute, minute, minute + timedelta(seconds=20), 1, state, state and minute, 0)
    return pl.DataFrame([values], schema=DEVICE_SCHEMA, orient="row")


def test_devices_merge_in_any_order_and_twice(settings: Settings) -> None:
    devices = minute_trees(settings.paths)["devices"]
    devices.write(TEN, sighting(TEN, "online", region="north", type="pump"))
    devices.write(TEN + MINUTE, sighting(TEN + MINUTE, "offline", region="south"))
    seen = []
    for order in ([0, 1], [1, 0], [1, 0, 0, 1]):
        dim_device_file(settings.paths).unlink(missing_ok=True)
        for step in order:
            build_minutes_stats(settings, TEN + step * MINUTE, TEN + step * MINUTE, "test")
        seen.append(pl.read_parquet(dim_device_file(settings.paths)))
    assert seen[0].row(0, named=True)["attributes"] == '{"region":"south","type":"pump"}'
    assert seen[0].row(0, named=True)["last_seen"] == TEN + MINUTE
    assert seen[0].select("state", "state_since").row(0) == ("offline", TEN + MINUTE)
    assert_frame_equal(seen[0], seen[1])
    assert_frame_equal(seen[0], seen[2])


def project_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: str) -> None:
    """Work on a copy of the dbt project that has one more test."""
    project = tmp_path / "project"
    shutil.copytree(DBT_PROJECT, project)
    (project / "tests" / "one_more.sql").write_text(test)
    monkeypatch.setattr(dbt_build, "DBT_PROJECT", project)


def test_a_failed_test_publishes_nothing_and_says_which(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_readings(settings, [Row(at(1))])
    build_minutes_stats(settings, TEN, TEN, "good")
    before = device_minute_tree(settings.paths).file(TEN).read_bytes()
    file_readings(settings, [Row(at(2), 5.0)])
    project_with(
        tmp_path,
        monkeypatch,
        "{{ config(tags=['minute']) }}\nselect * from {{ ref('device_minute') }} where count > 1 or max > 4",
    )
    with pytest.raises(StatisticsError, match="one_more") as failure:
        build_minutes_stats(settings, TEN, TEN, "bad")
    assert "were not published" in str(failure.value)
    assert device_minute_tree(settings.paths).file(TEN).read_bytes() == before
    [kept] = (settings.paths.tmp / "dbt" / "failed").iterdir()
    assert str(kept / "warehouse.duckdb") in str(failure.value)
    assert (kept / "warehouse.duckdb").exists()
    assert not list((settings.paths.tmp / "dbt" / "runs").iterdir())


def test_a_broken_contract_publishes_nothing(settings: Settings) -> None:
    minute_trees(settings.paths)["devices"].write(TEN, sighting(TEN).with_columns(device_id=pl.lit(None, pl.String)))
    with pytest.raises(StatisticsError, match="dim_device"):
        build_minutes_stats(settings, TEN, TEN, "bad")
    assert not device_minute_tree(settings.paths).file(TEN).exists()


def test_a_project_that_cannot_be_parsed_says_why(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_with(tmp_path, monkeypatch, "select {{ no closing")
    with pytest.raises(DbtProjectError, match="one_more"):
        build_minutes_stats(settings, TEN, TEN, "bad")


def test_events_are_dbts_json_log_lines(settings: Settings) -> None:
    events: list[dict[str, object]] = []
    build_minutes_stats(settings, TEN, TEN, "test", lambda event: events.append(dict(event)))
    results = [event for event in events if event["info"]["name"] == "LogModelResult"]  # type: ignore[index]
    names = {event["data"]["node_info"]["node_name"] for event in results}  # type: ignore[index]
    assert names == {"stg_readings", "stg_devices", "device_minute", "dim_device", "state_minute"}
    json.dumps(events)


@pytest.mark.parametrize("last", [TEN - MINUTE, TEN + 1440 * MINUTE])
def test_windows_are_bounded(settings: Settings, last: datetime) -> None:
    with pytest.raises(ValueError, match="1 to 1440 minutes"):
        build_minutes_stats(settings, TEN, last, "test")
