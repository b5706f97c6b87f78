"""Every named report, timed over thirty days of the five fleets at the simulators' sizes.

Hours and days are there for all of it; minutes for four days and readings for two hours, because reports over them
open the files of the days asked for and no others. The figures are made up; the files are written as the product does.
"""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths, minute_folder
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.serving.reports.catalog import REPORTS
from iot_pipeline.serving.reports.run import run_report
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    DayModel,
    dim_device_file,
    minute_trees,
    prepare_relations,
    published_file,
)
from iot_pipeline.stats.sealing import seal_minutes
from iot_pipeline.trees import UTC_MICROSECONDS, Schema
from sensors_sim.ice_plant import DEVICES
from sensors_sim.us_states import GUIDS, STATES, guid_of, state_of
from sensors_sim.utility import REGIONS, UNITS, Meter
from sensors_sim.weather import STATIONS
from tests.bench.figures import Figure, percentile

DAYS = 30
LAST = date(2026, 10, 30)
NOW = day_start(LAST) + timedelta(hours=23, minutes=59)
MINUTE_DAYS = 4
READING_MINUTES = 120
USERS = 120
LIMIT_MS = 300.0
REPEATS = 5
Series = pl.DataFrame


def reports(folder: Path) -> list[Figure]:
    """Each report and period at its widest range, medians over a few runs."""
    paths = DataPaths(folder / "reports")
    write_world(paths)
    figures = []
    for name, report in REPORTS.items():
        for period, query in report.queries.items():
            asked: dict[str, object] = {"from": NOW - min(query.longest, DAYS * DAY)}
            asked |= {"period": period} if period else {}
            asked |= {"customer": "c-0000060"} if name == "customer-usage" else {}
            rows, spent = 0, []
            for _ in range(REPEATS):
                began = time.perf_counter()
                rows = run_report(paths, name, asked, now=NOW).height
                spent.append((time.perf_counter() - began) * 1000)
            told = f"{rows} rows of {min(query.longest, DAYS * DAY)}"
            figures.append(Figure(f"report {name} {period}".strip(), percentile(spent, 0.5), "ms", LIMIT_MS, told))
    return figures


def write_world(paths: DataPaths) -> None:
    """All files that the reports read."""
    prepare_relations(paths)
    devices = _devices()
    write_parquet(devices.select(*DIM_DEVICE_SCHEMA), dim_device_file(paths))
    series = _series(devices)
    for index in range(DAYS):
        for model in DAY_MODELS:
            day = LAST - index * DAY
            if model.partition(day) == day or index == DAYS - 1:
                rows = _rows(model, series, devices, model.partition(day))
                write_parquet(rows, published_file(paths, model.name, model.partition(day)))
    _minutes(paths, series)
    _readings(paths, series)


def _devices() -> pl.DataFrame:
    told: list[tuple[str, str, dict[str, str]]] = [
        (f"ice_plant/sensors/{one.name}", "ice_plant", {"type": one.kind, "description": one.description})
        for one in DEVICES
    ]
    told += [(station.device_id, "weather", {}) for station in STATIONS]
    told += [(guid_of(number), "us_states", {"state": state_of(guid_of(number))}) for number in range(GUIDS)]
    told += [(f"line_1/{name}", "industrial_line", {}) for name in (*MACHINES, "valve_1", "valve_2")]
    for number in range(1, 3 * USERS + 1):
        meter = Meter(number)
        about = {"customer": f"c-{meter.customer:07d}", "region": meter.region, "utility": meter.utility}
        told.append((meter.meter_id, "utility", about))
    rows = [
        {"device_id": device, "fleet": fleet, "attributes": pl.Series([about]).struct.json_encode()[0], **about}
        if about
        else {"device_id": device, "fleet": fleet, "attributes": "{}"}
        for device, fleet, about in told
    ]
    known = {key: dtype for key, dtype in DIM_DEVICE_SCHEMA.items() if key != "state"}
    frame = pl.DataFrame(rows, schema={**known, "utility": pl.String()})
    return frame.with_columns(pl.lit(None, pl.String).alias("state"))


MACHINES = ("press_1", "conveyor_1", "mixer_1")


def _series(devices: pl.DataFrame) -> Series:
    """device_id, metric and unit of everything that is measured."""
    measured: dict[str, list[tuple[str, str]]] = {
        "ice_plant": [("measure", "V")],
        "weather": [("temperature", "°C")],
        "us_states": [("temperature", "°F")],
        "utility": [("register", "kWh"), ("rate", "kW")],
        "industrial_line": [("current_l1", "A"), ("current_l2", "A"), ("current_l3", "A"), ("v_rms", "mm/s")],
    }
    rows = [
        (device, metric, unit)
        for device, fleet in devices.select("device_id", "fleet").iter_rows()
        for metric, unit in measured[fleet]
    ]
    return pl.DataFrame(rows, schema=["device_id", "metric", "unit"], orient="row").sort("device_id", "metric", "unit")


def _keys(model: DayModel, series: Series, devices: pl.DataFrame) -> pl.DataFrame:  # noqa: PLR0911  # a table
    machines = pl.DataFrame({"device_id": [f"line_1/{name}" for name in MACHINES]})
    meters = devices.filter(fleet="utility")
    if model.name == "machine_state_hour":
        return machines.join(pl.DataFrame({"state": ["idle", "running", "setup"]}), how="cross")
    if model.name == "valve_travel_day":
        valves = pl.DataFrame({"device_id": ["line_1/valve_1", "line_1/valve_2"]})
        return valves.join(pl.DataFrame({"direction": ["open", "close"], "unit": ["ms", "ms"]}), how="cross")
    if model.name.startswith("machine"):
        return machines
    units = pl.DataFrame({"utility": list(UNITS), "unit": list(UNITS.values())})
    if model.name.startswith("region"):
        return pl.DataFrame({"region": list(REGIONS)}).join(units, how="cross")
    if model.name.startswith(("customer", "usage")):
        return meters.select("customer").unique().join(units, how="cross").sort("customer")
    if model.name.startswith("meter"):
        return meters.select("device_id", "customer", "utility", "region").join(units, on="utility")
    return series


def _rows(model: DayModel, series: Series, devices: pl.DataFrame, partition: date) -> pl.DataFrame:
    keys = _keys(model, series, devices)
    start = day_start(partition)
    if model.name == "machine_start":
        times = pl.Series("started_at", [start + index * timedelta(minutes=10) for index in range(144)])
    elif model.period == "hour":
        times = pl.Series(model.time, [start + index * timedelta(hours=1) for index in range(24)])
    else:
        times = pl.Series(model.time, [partition])
    return _filled(keys.join(times.to_frame(), how="cross"), model.schema)


def _filled(keys: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """All columns of `schema`: what `keys` lack is chance, or a constant text."""
    chance = np.random.default_rng(1)
    lacking = {
        name: pl.Series(name, chance.random(keys.height) * 100).cast(dtype)
        if dtype.is_numeric()
        else pl.lit("A" if dtype == pl.String() else None, dtype)
        for name, dtype in schema.items()
        if name not in keys.columns
    }
    return keys.with_columns(**lacking).select(pl.col(name).cast(dtype) for name, dtype in schema.items())


def _minutes(paths: DataPaths, series: Series) -> None:
    """The present day and the one before it open, as they are in the product, and the days before them sealed."""
    trees = minute_trees(paths)
    states = pl.DataFrame({"state": list(STATES), "unit": "°F"})
    for name, keys in (("device_minute", series), ("state_minute", states), ("anomaly_flags", series.head(50))):
        tree = trees[name]
        for hour in _times(day_start(LAST) - (MINUTE_DAYS - 1) * DAY, NOW, timedelta(hours=1)):
            times = pl.Series("minute", list(_times(hour, min(hour + timedelta(hours=1), NOW))), UTC_MICROSECONDS)
            stamped = times.to_frame().join(keys, how="cross").with_columns(pl.col("minute").alias("event_ts"))
            rows = _filled(stamped, tree.schema).partition_by("minute", as_dict=True)
            tree.write_many({minute: rows[minute,] for minute in times})
    seal_minutes(paths, before=LAST - DAY)


def _readings(paths: DataPaths, series: Series) -> None:
    """Every series once in five seconds, in the last two hours, as decoding files them."""
    for minute in _times(NOW - READING_MINUTES * MINUTE, NOW):
        instants = pl.Series(
            "event_ts", [minute + step * timedelta(seconds=5) for step in range(12)], pl.Datetime("us", "UTC")
        )
        rows = series.join(instants.to_frame(), how="cross").with_columns(
            pl.lit("good").alias("quality"), pl.col("event_ts").alias("received_at")
        )
        write_parquet(_filled(rows, READING_SCHEMA), minute_folder(open_root(paths), minute) / landed_name(minute))


def _times(first: datetime, end: datetime, step: timedelta = MINUTE) -> Iterator[datetime]:
    instant = first.astimezone(UTC)
    while instant < end:
        yield instant
        instant += step
