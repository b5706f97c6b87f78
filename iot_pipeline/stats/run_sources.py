"""The sources of one dbt run: schemas `raw` and `history` of its throw-away database.

Only files of the window asked for are named, so a run reads what it needs and no more. The columns of
these relations are documented in `dbt_project/models/staging/sources.yml`.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl

from iot_pipeline.clock import DAY
from iot_pipeline.settings import Settings
from iot_pipeline.stats.inputs import SORTED_READINGS, DayInput, file_list, readings_sql
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    dim_device_file,
    minute_trees,
    published_file,
)
from iot_pipeline.trees import Schema

_TYPES: Mapping[pl.DataType, str] = {
    pl.String(): "varchar",
    pl.Int64(): "bigint",
    pl.Float64(): "double",
    pl.Date(): "date",
    pl.Datetime("us", "UTC"): "timestamptz",
}


def make_minute_sources(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    inputs: Sequence[DayInput],
    first: datetime,
    last: datetime,
) -> None:
    """`raw.readings` of `inputs`, `raw.devices` seen in the minutes, `history.published_dim_device`."""
    _schemas(connection)
    _readings(connection, settings, inputs)
    devices = minute_trees(settings.paths)["devices"].read(first, last)
    connection.register("seen", devices.to_arrow())
    connection.execute("create table raw.devices as select * from seen")
    connection.unregister("seen")
    _view(connection, "history.published_dim_device", DIM_DEVICE_SCHEMA, [dim_device_file(settings.paths)])


def make_day_sources(
    connection: duckdb.DuckDBPyConnection, settings: Settings, inputs: Sequence[DayInput], days: Sequence[date]
) -> None:
    """`raw.readings` of `inputs`, and in `history` what `days` have to be combined with.

    That is the other days of their months, and the other months of their years.
    """
    _schemas(connection)
    _readings(connection, settings, inputs)
    models = {model.name: model for model in DAY_MODELS}
    month_of, year_of = models["device_month"].partition, models["device_year"].partition
    built_days, built_months = set(days), {month_of(day) for day in days}
    other_days = [day for month in sorted(built_months) for day in _days_of_month(month) if day not in built_days]
    other_months = [
        year.replace(month=month)
        for year in sorted({year_of(day) for day in days})
        for month in range(1, 13)
        if year.replace(month=month) not in built_months
    ]
    for name, partitions in (("device_day", other_days), ("device_month", other_months)):
        files = [published_file(settings.paths, name, partition) for partition in partitions]
        _view(connection, f"history.published_{name}", models[name].schema, files)


def reading_rows(inputs: Iterable[DayInput]) -> int:
    """Rows in the files of `inputs`, from their footers: what a run may have to hold."""
    files = [path for found in inputs for path in (*found.open, *found.sealed)]
    if not files:
        return 0
    count: int = pl.scan_parquet(files, hive_partitioning=False).select(pl.len()).collect().item()
    return count


def _schemas(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema raw; create schema history")


def _readings(connection: duckdb.DuckDBPyConnection, settings: Settings, inputs: Sequence[DayInput]) -> None:
    query = readings_sql(inputs, settings.intake_delay)
    if all(found.settled for found in inputs):
        connection.execute(f"create view raw.readings as {query}")
        return
    # Models and tests read the readings several times: what needs deduplication gets it once. In a fixed order,
    # because sums of floating point numbers depend on it and building again must give the same.
    connection.execute(f"create table raw.readings as from ({query}) order by {SORTED_READINGS}")


def _view(connection: duckdb.DuckDBPyConnection, name: str, schema: Schema, files: Iterable[Path]) -> None:
    present = [path for path in files if path.exists()]
    columns = ", ".join(f"cast(null as {_TYPES[dtype]}) as {column}" for column, dtype in schema.items())
    query = f"select {columns} where false"
    if present:
        query = f"select {', '.join(schema)} from read_parquet({file_list(present)}, hive_partitioning = false)"
    connection.execute(f"create view {name} as {query}")


def _days_of_month(month: date) -> list[date]:
    days = [month + index * DAY for index in range(31)]
    return [day for day in days if day.month == month.month]
