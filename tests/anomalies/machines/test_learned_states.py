"""What is learned of machines from their days, how it is kept, and readings scored with it."""

from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.machines import (
    CHANGES_LEARNED_SCHEMA,
    STARTS_LEARNED_SCHEMA,
    STATES_LEARNED_SCHEMA,
    STROKES_LEARNED_SCHEMA,
    MachineTables,
    learn_machines,
    nothing_learned,
    read_machines,
)
from iot_pipeline.anomalies.models.scoring.states import LearnedStates
from iot_pipeline.anomalies.models.store import Verdict, keep, load, promote
from iot_pipeline.clock import MINUTE
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import minute_folder
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats import fleet_schemas as fleet
from iot_pipeline.stats.relations import device_minute_tree, flags_tree, published_file
from tests.anomalies.frames import device_minutes, readings
from tests.anomalies.machines.press import BEGIN, PHASES, PRESS, changed, cycles, machine, window

DAY = BEGIN.date()
VALVE = "line/valve"
TODAY = machine(cycles(4), seed=9)


def write_readings(settings: Settings, frame: pl.DataFrame) -> None:
    """Readings and their statistics by minute."""
    for (minute,), part in frame.group_by(pl.col("event_ts").dt.truncate("1m")):
        assert isinstance(minute, datetime)
        write_parquet(part, minute_folder(open_root(settings.paths), minute) / landed_name(minute))
    statistics = device_minutes(frame)
    device_minute_tree(settings.paths).write_many(
        {minute: statistics.filter(pl.col("minute") == minute) for minute in statistics["minute"].unique()}
    )


def write_day(settings: Settings, frame: pl.DataFrame) -> None:
    """The same, and the marts that name the machines and their starts."""
    write_readings(settings, frame)
    told = [{"hour": BEGIN, "device_id": PRESS, "state": "running", "seconds": 2400.0, "entries": 4}]
    held = pl.DataFrame(told, schema=fleet.MACHINE_STATE_SCHEMA)
    write_parquet(held, published_file(settings.paths, "machine_state_hour", DAY))
    starts = [
        {"started_at": BEGIN, "device_id": PRESS, "load_a": 30.0, "peak_ratio": 6.0 + 0.1 * n, "inrush_seconds": 2.0}
        for n in range(-5, 6)
    ]
    write_parquet(
        pl.DataFrame(starts, schema=fleet.MACHINE_START_SCHEMA), published_file(settings.paths, "machine_start", DAY)
    )
    write_strokes(settings, DAY, 420.0)


def write_strokes(settings: Settings, day: date, median: float) -> None:
    """The mart of a day on which a valve opened and closed five hundred times."""
    told = [
        {"day": day, "device_id": VALVE, "direction": direction, "unit": "ms", "strokes": 500, "p50": p50, "p95": p95}
        for direction, p50, p95 in (("open", median, median + 16.449), ("close", 300.0, 300.0))
    ]
    frame = pl.DataFrame(told, schema=fleet.VALVE_TRAVEL_SCHEMA)
    write_parquet(frame, published_file(settings.paths, "valve_travel_day", day))


@pytest.fixture(name="settings", scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """An hour of a machine and of a sensor beside it."""
    settings = load_settings(data=tmp_path_factory.mktemp("machines"))
    write_day(settings, pl.concat([machine(cycles(6)), readings([20.0] * 60, start=BEGIN, step=60)]))
    return settings


@pytest.fixture(name="tables", scope="module")
def learned(settings: Settings) -> MachineTables:
    return learn_machines(settings, [DAY])


def test_levels_are_learned_by_state_and_moment(tables: MachineTables) -> None:
    assert tables.states.schema == pl.Schema(STATES_LEARNED_SCHEMA)
    assert set(tables.states["device_id"]) == {PRESS}
    one = tables.states.filter(pl.col("metric") == "current_l1").select("state", "phase", "usual", "stays")
    usual = {(state, phase): round(value) for state, phase, value, _ in one.rows()}
    assert usual["idle", "steady"] == 1
    assert usual["setup", "steady"] == 4
    assert usual["running", "steady"] == 30
    assert set(usual) == {(state, phase) for state in ("idle", "setup", "running") for phase in ("steady", "entering")}
    assert one["stays"].min() == 6


def test_starts_and_changes_are_learned(tables: MachineTables) -> None:
    assert tables.starts.schema == pl.Schema(STARTS_LEARNED_SCHEMA)
    [start] = tables.starts.rows(named=True)
    assert (start["device_id"], start["load_a"], start["peak_ratio_usual"]) == (PRESS, 30.0, 6.0)
    assert start["peak_ratio_spread"] == pytest.approx(0.3 * 1.4826)
    assert (start["peak_ratio_support"], start["inrush_seconds_spread"]) == (11, 0.0)
    assert tables.changes.schema == pl.Schema(CHANGES_LEARNED_SCHEMA)
    assert tables.changes.drop("class").rows() == [
        ("idle", "setup", 6),
        ("running", "idle", 5),
        ("setup", "running", 6),
    ]


def test_strokes_are_learned_by_valve_and_direction(tables: MachineTables) -> None:
    assert tables.strokes.schema == pl.Schema(STROKES_LEARNED_SCHEMA)
    closing, opening = tables.strokes.rows()
    assert closing == (VALVE, "travel_time_close", "ms", 500, 300.0, 0.0)
    assert opening[:5] == (VALVE, "travel_time_open", "ms", 500, 420.0)
    assert opening[5] == pytest.approx(10.0)


def test_days_that_differ_make_the_spread_of_strokes_wider(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    days = [DAY + timedelta(days=n) for n in range(4)]
    for day, median in zip(days, (990.0, 410.0, 420.0, 430.0), strict=True):
        write_strokes(settings, day, median)
    opening = learn_machines(settings, days).strokes.row(1, named=True)
    assert (opening["support"], opening["usual"]) == (1500, 420.0)
    assert opening["spread"] == pytest.approx(200**0.5)


def test_the_same_days_teach_the_same(settings: Settings, tables: MachineTables) -> None:
    for name, table in learn_machines(settings, [DAY]).tables().items():
        assert_frame_equal(table, tables.tables()[name], check_exact=True)


def test_a_plant_without_machines_learns_nothing(tmp_path: Path) -> None:
    found = learn_machines(load_settings(data=tmp_path), [DAY])
    for name, table in found.tables().items():
        assert_frame_equal(table, nothing_learned().tables()[name])


def test_models_of_before_have_no_machines(tmp_path: Path, tables: MachineTables) -> None:
    for name, table in read_machines(tmp_path).tables().items():
        assert_frame_equal(table, nothing_learned().tables()[name])
    for name, table in tables.tables().items():
        write_parquet(table, tmp_path / f"{name}.parquet")
    for name, table in read_machines(tmp_path).tables().items():
        assert_frame_equal(table, tables.tables()[name])
    (tmp_path / "strokes.parquet").unlink()
    assert read_machines(tmp_path).strokes.is_empty()


def test_what_is_usual_in_a_state_is_not_flagged_even_if_it_is_new_today(tables: MachineTables) -> None:
    scorer = LearnedStates(tables.states, "2-abc")
    assert scorer.score(window(TODAY, BEGIN, BEGIN + 39 * MINUTE)).is_empty()


def test_what_is_unusual_in_a_short_state_is_flagged(tables: MachineTables) -> None:
    # Set up is twenty seconds: no minute of the look-back is held by it.
    at = BEGIN + timedelta(seconds=195)
    odd = changed(TODAY, at, at + timedelta(seconds=1), pl.lit(6.0), PHASES[:1])
    found = LearnedStates(tables.states, "2-abc").score(window(odd, BEGIN + 3 * MINUTE))
    assert found.select("event_ts", "metric", "detector", "detector_version").rows() == [
        (at, "current_l1", "state_level", "2-abc")
    ]
    assert found["reason"][0].startswith("6 A is above the ")
    assert found["reason"][0].endswith("times in state setup")
    assert with_type(found)["type"].to_list() == ["spike"]


def test_a_machine_that_stops_telling_its_state_is_not_scored_by_it(tables: MachineTables) -> None:
    silent = TODAY.filter(pl.col("metric") != "state").with_columns(pl.col("value") * 3)
    assert LearnedStates(tables.states, "2-abc").score(window(silent, BEGIN + 5 * MINUTE)).is_empty()


def test_minutes_in_files_are_scored_with_what_was_kept(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    write_day(settings, machine(cycles(6)))
    tomorrow = BEGIN + timedelta(days=1)
    fitted = fit_day(settings, tomorrow.date())
    assert fitted is not None
    keep(settings.paths, fitted.model, fitted.manifest)
    promote(settings.paths, fitted.manifest, (Verdict(name="any", passed=True, said="it may"),))
    kept = load(settings.paths, tomorrow.date(), fitted.manifest.version).machines
    for name, table in fitted.model.machines.tables().items():
        assert_frame_equal(kept.tables()[name], table, check_exact=True)
    at = tomorrow + timedelta(seconds=195)
    frame = machine(cycles(2), begin=tomorrow, seed=9)
    slow = readings([420.0, 546.0, 420.0], start=at, step=20, device=VALVE, metric="travel_time_open", unit="ms")
    odd = changed(frame, at, at + timedelta(seconds=1), pl.lit(6.0), PHASES[:1])
    write_readings(settings, pl.concat([odd, slow]))

    report = score_minutes(settings, tomorrow, tomorrow + 19 * MINUTE)

    assert {name: count for name, count in report.by_detector.items() if count} == {"state_level": 1, "stroke": 1}
    whole = flags_tree(settings.paths).read(tomorrow, tomorrow + 19 * MINUTE)
    for minute in (3, 4, 12):
        score_minutes(settings, tomorrow + minute * MINUTE, tomorrow + minute * MINUTE)
    assert_frame_equal(flags_tree(settings.paths).read(tomorrow, tomorrow + 19 * MINUTE), whole, check_exact=True)
