"""Named reports: the questions of the older systems, asked of what five simulated fleets sent, and hostile input."""

import math
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE, minutes_between
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.serving.reports.catalog import REPORTS
from iot_pipeline.serving.reports.run import (
    BadParameter,
    BadRange,
    ReportError,
    UnknownName,
    UnknownParameter,
    UnknownReport,
    WarehouseUnavailable,
    run_report,
)
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.build import build_days, build_minutes_stats
from iot_pipeline.stats.current import read_current
from iot_pipeline.stats.relations import FLAGS_SCHEMA, dim_device_file, minute_trees, prepare_relations, published_file
from sensors_sim.ice_plant import DEVICES
from sensors_sim.us_states import state_of
from sensors_sim.weather import STATIONS
from tests.pipeline.world import fleet_messages
from tests.readings.landed import BUILT_IN, land

BEGIN = datetime(2026, 11, 20, 10, 58, tzinfo=UTC)
END = BEGIN + 4 * MINUTE
NOW = END + MINUTE
THE_DAY = BEGIN.date()
STATION = STATIONS[0].device_id
DOCUMENT = PROJECT_ROOT / "docs" / "reports.md"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, parsed_dbt: Path) -> Settings:
    """Four minutes of all fleets, across the hour, decoded and built; and two flags of one reading."""
    settings = load_settings(data=tmp_path_factory.mktemp("reports"), minute_start=date(2026, 11, 15))
    kept = settings.paths.tmp / "dbt"
    kept.mkdir(parents=True)
    for path in parsed_dbt.glob("manifest.*"):
        (kept / path.name).write_bytes(path.read_bytes())
    landed = land(settings, [(sent.received_at, sent.topic, sent.payload) for sent in fleet_messages(BEGIN, END)])
    minutes = minutes_between(landed[0], landed[-1])
    build_minutes(settings, BUILT_IN, minutes)
    build_minutes_stats(settings, minutes[0], minutes[-1], "test")
    build_days(settings, THE_DAY, THE_DAY, "test")
    flags = [
        (BEGIN, BEGIN + timedelta(seconds=5), STATION, "temperature", "°C", 55.0, name, "1", score, 1.0, 9.0, name)
        for name, score in (("weak", 1.5), ("strong", 4.0))
    ]
    minute_trees(settings.paths)["anomaly_flags"].write(BEGIN, pl.DataFrame(flags, schema=FLAGS_SCHEMA, orient="row"))
    return settings


@pytest.fixture(scope="module")
def readings(world: Settings) -> pl.DataFrame:
    return read_current(world, BEGIN, END)


def ask(world: Settings, name: str, /, **parameters: object) -> pl.DataFrame:
    return run_report(world.paths, name, {key.rstrip("_"): value for key, value in parameters.items()}, now=NOW)


REQUIRED = {"customer-usage": {"customer": "c-0000001"}}
VARIANTS = [(name, period) for name, report in REPORTS.items() for period in report.queries]


@pytest.mark.parametrize(("name", "period"), VARIANTS)
def test_every_report_has_the_columns_that_it_promises(world: Settings, name: str, period: str) -> None:
    asked = {**REQUIRED.get(name, {}), **({"period": period} if period else {})}
    found = run_report(world.paths, name, asked, now=NOW)
    assert found.columns == [column.name for column in REPORTS[name].columns]
    assert not found.is_empty() or name == "usage-corrections"


@pytest.mark.parametrize(("name", "period"), VARIANTS)
def test_every_report_is_empty_where_nothing_was_built(settings: Settings, name: str, period: str) -> None:
    prepare_relations(settings.paths)
    asked = {"period": period} if period else {}
    taken = {"fleet", "customer"} & set(REPORTS[name].takes)
    if taken:
        # Its fleet never sent anything, and it says so.
        with pytest.raises(BadParameter):
            run_report(settings.paths, name, {**asked, **dict.fromkeys(taken, "nobody")}, now=NOW)
        return
    found = run_report(settings.paths, name, asked, now=NOW)
    assert found.is_empty() or found.row(0) == (0,)


@pytest.mark.parametrize(
    ("period", "every"),
    [("hour", "1h"), ("day", "1d"), ("month", "1mo"), ("year", "1y"), ("minute", "1m"), ("second", "1s")],
)
def test_the_ice_plant_by_any_period(world: Settings, readings: pl.DataFrame, period: str, every: str) -> None:
    value = pl.col("value")
    expected = (
        readings.filter(pl.col("device_id").str.starts_with("ice_plant/"), pl.col("event_ts") < END)
        .group_by(pl.col("event_ts").dt.truncate(every).alias("time"), "device_id", "unit")
        .agg(value.max().alias("max"), value.mean().alias("mean"), value.min().alias("min"))
        .sort("time", "device_id")
    )
    begin = BEGIN if period in ("minute", "second") else BEGIN.replace(month=1, day=1, hour=0, minute=0)
    if period == "hour":
        begin = BEGIN.replace(hour=0, minute=0)
    found = ask(world, "ice-plant", period=period, from_=begin, to=END)
    assert found["TIMESTAMP_RX"].to_list() == expected["time"].to_list()
    assert found["DEVICE_NAME"].to_list() == expected["device_id"].to_list()
    for column, name in (("MAXIMUM_MEASURE", "max"), ("MEAN_MEASURE", "mean"), ("MINIMUM_MEASURE", "min")):
        assert found[column].to_list() == pytest.approx(expected[name].to_list(), abs=0.000501)
        assert all(round(one, 3) == one for one in found[column])
    by_name = {device.name: device for device in DEVICES}
    for row in found.iter_rows(named=True):
        device = by_name[row["DEVICE_NAME"].rpartition("/")[2]]
        assert (row["DEVICE_TYPE"], row["DESCRIPTION"], row["UNIT"]) == (device.kind, device.description, device.unit)
        assert row["BATCH"] == period


def test_the_weather_reports(world: Settings, readings: pl.DataFrame) -> None:
    expected = (
        readings.filter(pl.col("device_id").is_in([station.device_id for station in STATIONS]))
        .group_by("device_id")
        .agg(pl.col("value").max().alias("max"), pl.len().alias("count"))
        .sort("device_id")
    )
    maximum = ask(world, "weather-maximum", day=THE_DAY)
    assert maximum.rows() == [
        (device, value, "°C") for device, value in expected.select("device_id", "max").iter_rows()
    ]
    assert ask(world, "weather-count").rows() == expected.select("device_id", "count").rows()
    by_month = ask(world, "weather-by-day", period="month", device=STATION)
    [(_, value, count)] = expected.filter(device_id=STATION).rows()
    assert by_month.rows() == [(date(2026, 11, 1), STATION, value, "°C", count)]
    assert ask(world, "weather-by-day", day="2026-11-19").is_empty()


def test_anomalies_per_device_count_a_reading_once(world: Settings) -> None:
    [row] = ask(world, "anomalies", fleet="weather").iter_rows(named=True)
    assert (row["deviceid"], row["anomalies"], row["flags"], row["reason"]) == (STATION, 1, 2, "strong")
    assert (row["latest"], row["value"], row["unit"]) == (BEGIN + timedelta(seconds=5), 55.0, "°C")
    assert ask(world, "anomalies", from_=BEGIN + MINUTE).is_empty()


def test_a_customer_and_the_country(world: Settings, readings: pl.DataFrame) -> None:
    registers = readings.filter(metric="register").sort("event_ts")
    used = dict(registers.group_by("device_id").agg(pl.col("value").last() - pl.col("value").first()).iter_rows())
    found = ask(world, "customer-usage", customer="c-0000001", period="day")
    assert found["utility"].to_list() == ["electricity", "gas", "water"]
    own = [used[f"m-{number:07d}"] for number in (1, 2, 3)]
    assert found["usage"].to_list() == pytest.approx(own, abs=5e-5)
    for period in ("hour", "minute"):
        part = ask(world, "customer-usage", customer="c-0000001", period=period, from_=BEGIN - MINUTE * 58, to=END)
        assert part["usage"].sum() == pytest.approx(math.fsum(own), abs=5e-4)
        assert part["time"].n_unique() == {"hour": 2, "minute": 4}[period]
    country = ask(world, "country-usage", period="day")
    units = dict(registers.select("device_id", "unit").unique().iter_rows())
    for unit in ("kWh", "m3"):
        whole = math.fsum(value for meter, value in used.items() if units[meter] == unit)
        assert country.filter(unit=unit)["usage"].sum() == pytest.approx(whole, abs=1e-2)
    north = ask(world, "country-usage", period="month", region="north")
    assert set(north["region"]) == {"north"}
    assert north["usage"].to_list() == country.filter(region="north")["usage"].to_list()


def test_corrections_are_those_that_differ(world: Settings) -> None:
    differing = ask(world, "usage-corrections")
    every = ask(world, "usage-corrections", rows="all")
    assert len(every) == 360
    assert set(differing["difference"]) == set(every["difference"]) - {0.0}
    for row in every.iter_rows(named=True):
        assert row["difference"] == pytest.approx(row["usage"] - row["minute_usage"], abs=2e-4)


def test_the_four_figures_of_the_states(world: Settings, readings: pl.DataFrame) -> None:
    told = readings.filter(unit="°F").with_columns(
        pl.col("device_id").map_elements(state_of, return_dtype=pl.String).alias("state")
    )
    between = {"from_": BEGIN, "to": END}
    by_state = told.group_by("state").agg(pl.col("value").mean(), pl.col("device_id").n_unique()).sort("state")
    warm = ask(world, "states-temperature", **between)
    assert dict(warm.select("state", "mean_temperature").iter_rows()) == pytest.approx(
        dict(by_state.select("state", "value").iter_rows())
    )
    assert warm["mean_temperature"].is_sorted(descending=True)
    assert ask(world, "states-messages", **between).rows() == [(len(told),)]
    assert ask(world, "states-sensors", **between).rows() == by_state.select("state", "device_id").rows()
    assert ask(world, "states-total", **between).rows() == [(told["device_id"].n_unique(),)]


def test_the_states_by_windows_of_three_seconds(world: Settings, readings: pl.DataFrame) -> None:
    told = readings.filter(unit="°F")
    found = ask(world, "states-windows", from_=BEGIN, to=END)
    assert found["messages"].sum() == len(told)
    assert found["window_start"].n_unique() == 80
    assert {start.second % 3 for start in found["window_start"]} == {0}
    for _, window in found.group_by("window_start"):
        assert window["mean_temperature"].is_sorted(descending=True)


def test_the_line_by_hour_and_by_day(world: Settings, readings: pl.DataFrame) -> None:
    hours = ask(world, "line-currents", period="hour", from_=THE_DAY)
    days = ask(world, "line-currents", period="day")
    assert hours["charge_l1"].sum() == pytest.approx(days["charge_l1"].sum(), abs=0.01)
    assert set(days["machine"]) == {"line_1/press_1", "line_1/conveyor_1", "line_1/mixer_1"}
    assert days["coverage"].to_list() == pytest.approx([100 * 239 / 86400] * 3, abs=0.01)
    states = ask(world, "line-states", period="day", device="line_1/press_1")
    assert states["duration"].sum() == pytest.approx(240, abs=70)
    valves = ask(world, "line-valves")
    assert valves["strokes"].sum() == readings.filter(unit="ms").height
    assert valves["trend"].null_count() == len(valves)
    vibration = ask(world, "line-vibration", period="day")
    for row in vibration.iter_rows(named=True):
        assert sum(row[f"zone_{zone}"] for zone in "abcd") == pytest.approx(100, abs=0.02)


@pytest.mark.parametrize(
    ("name", "asked", "error", "says"),
    [
        ("nothing", {}, UnknownReport, "there are: ice-plant, weather-maximum"),
        ("ice-plant", {"customer": "c-1"}, UnknownParameter, "it takes: period, fleet, device, from, to, day"),
        ("ice-plant", {"period": "week"}, BadParameter, "valid values are: hour, day, month"),
        ("customer-usage", {}, BadParameter, "customer: is needed"),
        ("customer-usage", {"customer": "' or 1=1 --"}, UnknownName, "never sent|ever sent"),
        ("ice-plant", {"device": "x" * 513}, BadParameter, "longer than 512"),
        ("ice-plant", {"device": "nobody"}, UnknownName, "'nobody'"),
        ("states-windows", {"seconds": "0"}, BadParameter, "expected 1 to 60"),
        ("states-windows", {"seconds": "three"}, BadParameter, "whole number"),
        ("weather-count", {"from": "yesterday"}, BadRange, "expected 2026-11-22"),
        ("weather-count", {"from": "2026-11-20", "to": "2026-11-20"}, BadRange, "not before"),
        ("weather-count", {"from": "2026-11-21", "to": "2026-11-20"}, BadRange, "not before"),
        ("weather-count", {"from": "2027-01-01", "to": "2027-01-02"}, BadRange, "in the future"),
        ("weather-count", {"day": "2027-01-01"}, BadRange, "in the future"),
        ("weather-count", {"from": "1999-01-01"}, BadRange, "longer than the 732 days allowed"),
        ("weather-count", {"from": "0001-01-01", "to": "9999-12-31"}, BadRange, "years 1970 to 9000"),
        ("weather-count", {"day": "2026-11-20", "from": "2026-11-20"}, BadRange, "excludes"),
        ("weather-count", {"day": "2026-11-20T10:00"}, BadRange, "expected a day"),
        ("ice-plant", {"period": "second", "day": "2026-11-20"}, BadRange, "longer than the 10 minutes allowed"),
    ],
)
def test_what_cannot_be_answered_says_what_can(
    world: Settings, name: str, asked: dict[str, str], error: type[ReportError], says: str
) -> None:
    with pytest.raises(error, match=says):
        run_report(world.paths, name, asked, now=NOW)


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["ice-plant", "customer-usage", "country-usage", "weather-by-day"]),
    st.dictionaries(
        st.sampled_from(["device", "customer", "region", "period", "from", "to", "day", "fleet"]), st.text()
    ),
)
def test_hostile_values_are_refused_or_find_nothing(world: Settings, name: str, asked: dict[str, str]) -> None:
    try:
        run_report(world.paths, name, asked, now=NOW)
    except ReportError as error:
        assert str(error)  # noqa: PT017  # any other error is a failure


def test_times_with_an_offset_are_taken_as_they_say(world: Settings) -> None:
    there = ask(world, "ice-plant", period="minute", from_="2026-11-20T11:58+01:00", to="2026-11-20T12:00+01:00")
    here = ask(world, "ice-plant", period="minute", from_="2026-11-20T10:58", to="2026-11-20T11:00")
    assert there.equals(here)
    assert not here.is_empty()


def test_without_a_warehouse_it_says_so_and_makes_nothing(tmp_path: Path) -> None:
    with pytest.raises(WarehouseUnavailable, match="nothing is published"):
        run_report(DataPaths(tmp_path / "nowhere"), "states-messages")
    assert not (tmp_path / "nowhere").exists()


def test_a_folder_of_an_earlier_release_lacks_a_mart(settings: Settings) -> None:
    prepare_relations(settings.paths)
    for path in (settings.paths.marts / "machine_start").rglob("*.parquet"):
        path.unlink()
    assert run_report(settings.paths, "line-starts", now=NOW).is_empty()


def test_devices_of_an_earlier_release_lack_columns_and_are_read_all_the_same(settings: Settings) -> None:
    prepare_relations(settings.paths)
    path = dim_device_file(settings.paths)
    old = pl.DataFrame({"device_id": ["pump"], "fleet": ["weather"], "attributes": ["{}"]})
    write_parquet(old, path)
    assert run_report(settings.paths, "weather-maximum", {"day": "2026-11-20"}, now=NOW).is_empty()
    with pytest.raises(UnknownName):
        run_report(settings.paths, "customer-usage", {"customer": "c-1", "day": "2026-11-20"}, now=NOW)


def test_published_files_without_a_column_that_a_report_needs_are_told(settings: Settings) -> None:
    prepare_relations(settings.paths)
    write_parquet(pl.DataFrame({"device_id": ["pump"]}), published_file(settings.paths, "device_day", THE_DAY))
    with pytest.raises(WarehouseUnavailable, match="earlier"):
        run_report(settings.paths, "weather-maximum", {"day": f"{THE_DAY}"}, now=NOW)


def test_files_of_other_days_are_not_opened(world: Settings) -> None:
    """A broken partition of another day harms nobody: `dt` reaches the files."""
    marts = world.paths.marts
    for model in ("device_hour", "customer_usage_hour", "machine_current_hour"):
        broken = marts / model / "dt=2026-10-01" / "part-000.parquet"
        write_parquet(pl.DataFrame({"nothing": [1]}), broken)
        broken.write_bytes(b"PAR1 not any more PAR1")
    try:
        assert not ask(world, "ice-plant", from_=THE_DAY).is_empty()
        assert not ask(world, "customer-usage", customer="c-0000001", from_=THE_DAY).is_empty()
        assert not ask(world, "line-currents", from_=THE_DAY).is_empty()
    finally:
        for model in ("device_hour", "customer_usage_hour", "machine_current_hour"):
            (marts / model / "dt=2026-10-01" / "part-000.parquet").unlink()


def _documented(document: str) -> dict[str, str]:
    sections = document.split("\n## `")[1:]
    return {section.partition("`")[0]: section for section in sections}


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_is_documented_with_its_question_and_columns(name: str) -> None:
    section = _documented(DOCUMENT.read_text())[name]
    report = REPORTS[name]
    assert report.question in section
    assert all(f"`{column.name}`" in section and column.description in section for column in report.columns)
    assert all(f"`{parameter}`" in section for parameter in report.takes)


def test_only_reports_that_exist_are_documented() -> None:
    assert list(_documented(DOCUMENT.read_text())) == list(REPORTS)
