"""The sources of one dbt run: schemas `raw` and `history` of its throw-away database.

Only files of the window asked for are named, so a run reads what it needs and no more. The columns of
these relations are documented in `dbt_project/models/staging/sources.yml`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb
import polars as pl

from iot_pipeline.clock import DAY
from iot_pipeline.paths import day_folder
from iot_pipeline.settings import Settings
from iot_pipeline.stats.corrections.applying import CORRECTED_BY, current_readings
from iot_pipeline.stats.inputs import SORTED_READINGS, DayInput, all_copies_sql, file_list, instant, readings_sql
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    dim_device_file,
    minute_trees,
    published_file,
)
from iot_pipeline.trees import MinuteTree, Schema

# A meter that was silent for longer begins anew: what it used in between is not counted.
OPENING_DAYS = 62
# A device that was silent for longer is missed no more.
SILENT_DAYS = 7

_REPEATS = "device_id, reading_duplicates"
SQL_TYPES: Mapping[pl.DataType, str] = {
    pl.String(): "varchar",
    pl.Int64(): "bigint",
    pl.Float64(): "double",
    pl.Date(): "date",
    pl.Datetime("us", "UTC"): "timestamptz",
}


@dataclass(frozen=True, slots=True)
class Corrected:
    """What corrections did to the readings of a run.

    Attributes:
        readings: readings whose value was changed; those that were dropped are not there to be counted.
        corrections: corrections in force somewhere in the window.
    """

    readings: int = 0
    corrections: int = 0


def make_minute_sources(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    inputs: Sequence[DayInput],
    first: datetime,
    last: datetime,
) -> Corrected:
    """`raw.readings` of `inputs`, `raw.devices` seen in the minutes, `history.published_dim_device`."""
    _schemas(connection)
    corrected = _readings(connection, settings, inputs)
    devices = minute_trees(settings.paths)["devices"].read(first, last)
    connection.register("seen", devices.to_arrow())
    connection.execute("create table raw.devices as select * from seen")
    connection.unregister("seen")
    _view(connection, "history.published_dim_device", DIM_DEVICE_SCHEMA, [dim_device_file(settings.paths)])
    return corrected


def make_day_sources(
    connection: duckdb.DuckDBPyConnection, settings: Settings, inputs: Sequence[DayInput], days: Sequence[date]
) -> Corrected:
    """`raw.readings` of `inputs`, and in `history` what `days` have to be combined with.

    That is the other days of their months, the other months of their years, what the days before them closed with,
    their minutes and the devices as they are known; what devices told of themselves in the days is `raw.device_words`,
    what they told again `raw.device_repeats`, and what of theirs could not be read `raw.quarantine`.
    """
    _schemas(connection)
    corrected = _readings(connection, settings, inputs)
    trees = minute_trees(settings.paths)
    _device_words(connection, trees["devices"], days)
    _device_repeats(connection, trees["devices"], days, inputs, dropped=bool(corrected.corrections))
    unread = _landed(trees["quarantine"], days, "device_id, message_id")
    connection.execute(f"create view raw.quarantine as select * from ({unread}) where device_id is not null")
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
    days_before = [min(days) - index * DAY for index in range(OPENING_DAYS, 0, -1)]
    published = (
        ("device_day", other_days),
        ("device_month", other_months),
        ("meter_day", days_before),
        ("device_slo", days_before[-SILENT_DAYS:]),
    )
    for name, partitions in published:
        files = [published_file(settings.paths, name, partition) for partition in partitions]
        _view(connection, f"history.published_{name}", models[name].schema, files)
    minutes = minute_trees(settings.paths)["device_minute"]
    _view(
        connection, "history.published_device_minute", minutes.schema, [*_open(minutes, days), *_sealed(minutes, days)]
    )
    _view(connection, "history.published_dim_device", DIM_DEVICE_SCHEMA, [dim_device_file(settings.paths)])
    return corrected


def reading_rows(inputs: Iterable[DayInput]) -> int:
    """Rows in the files of `inputs`, from their footers: what a run may have to hold."""
    taken = list(inputs)
    # Sealed files have a column more than open ones.
    kinds = ([path for one in taken for path in one.open], [path for one in taken for path in one.sealed])
    return sum(
        pl.scan_parquet(files, hive_partitioning=False).select(pl.len()).collect().item() for files in kinds if files
    )


def _schemas(connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute("create schema raw; create schema history")


def _readings(connection: duckdb.DuckDBPyConnection, settings: Settings, inputs: Sequence[DayInput]) -> Corrected:
    current = current_readings(connection, settings.paths, inputs)
    if all(found.settled for found in inputs) and not current.corrections:
        connection.execute(f"create view raw.readings as {current.query}")
        return Corrected()
    # Models and tests read the readings several times: what needs deduplication or correction gets it once. In a fixed
    # order, because sums of floating point numbers depend on it and building again must give the same.
    connection.execute(f"create table raw.readings as from ({current.query}) order by {SORTED_READINGS}")
    [[changed]] = connection.execute(f"select count({CORRECTED_BY}) from raw.readings").fetchall()
    return Corrected(changed, len(current.corrections))


def _device_words(connection: duckdb.DuckDBPyConnection, devices: MinuteTree, days: Sequence[date]) -> None:
    """`raw.device_words`: what devices told of themselves, by landing day; hours of repetition are one row."""
    told = _landed(devices, days, "device_id, fleet, attributes, last_received_at")
    connection.execute(
        "create view raw.device_words as select day, device_id, fleet, attributes, "
        f"max(last_received_at) as told_at from ({told}) group by all"
    )


def _device_repeats(
    connection: duckdb.DuckDBPyConnection,
    devices: MinuteTree,
    days: Sequence[date],
    inputs: Iterable[DayInput],
    *,
    dropped: bool,
) -> None:
    """`raw.device_repeats`: readings that were told again, by device.

    Within a landing minute they were counted when it was decoded, and count for its day; across landing minutes they
    count for the day that they happened on. `dropped` says that `raw.readings` may lack some that were told.
    """
    parts = [f"select day, device_id, reading_duplicates as repeats from ({_landed(devices, days, _REPEATS)})"]
    parts += [copies for found in inputs if (copies := _copies_sql(found, dropped=dropped))]
    connection.execute(
        "create table raw.device_repeats as select day, device_id, cast(sum(repeats) as bigint) as repeats "
        f"from ({' union all '.join(parts)}) where repeats > 0 group by all"
    )


def _copies_sql(found: DayInput, *, dropped: bool) -> str | None:
    """Copies of the readings of a day that came in later landing minutes, by device; None when there are none."""
    day = f"date '{found.start.date()}' as day"
    inside = f"event_ts >= {instant(found.start)} and event_ts < {instant(found.end)}"
    if found.settled and not found.copies:
        return None
    if found.settled:
        copies = f"read_parquet({file_list(found.copies)}, hive_partitioning = false) where {inside}"
        return f"select {day}, device_id, count(*) as repeats from {copies} group by device_id"
    kept = f"({readings_sql([found])})" if dropped else f"raw.readings where {inside}"
    return f"""
        select {day}, device_id, told - kept as repeats
        from (select device_id, count(*) as told from ({all_copies_sql(found)}) group by device_id)
        inner join (select device_id, count(*) as kept from {kept} group by device_id) using (device_id)"""


def _landed(tree: MinuteTree, days: Sequence[date], columns: str) -> str:
    """A query for `columns` of what `tree` has of landing days, with the `day`."""
    tree.prepare()  # its files of earlier releases may lack columns, the seeds have all
    kinds = (("hm", tree.open_seed, _open(tree, days)), ("v", tree.sealed_seed, _sealed(tree, days)))
    return " union all ".join(
        f"select dt as day, {columns} from read_parquet({file_list([seed, *files])}, "
        f"hive_partitioning = true, hive_types = {{dt: date, {key}: varchar}}, union_by_name = true)"
        for key, seed, files in kinds
    )


def _open(tree: MinuteTree, days: Iterable[date]) -> list[Path]:
    """Files of the minutes of those days that are not sealed."""
    opened = [day for day in days if tree.sealed.current(day) is None]
    return [path for day in opened for path in sorted(day_folder(tree.open, day).glob("hm=*/part.parquet"))]


def _sealed(tree: MinuteTree, days: Iterable[date]) -> list[Path]:
    return [path for day in days for path in tree.sealed.files(day)]


def rows_of(schema: Schema, files: Iterable[Path]) -> str:
    """A query for the rows of those of `files` that exist; without any it has the columns of `schema` and no rows."""
    present = [path for path in files if path.exists()]
    columns = ", ".join(f"cast(null as {SQL_TYPES[dtype]}) as {column}" for column, dtype in schema.items())
    if not present:
        return f"select {columns} where false"
    return f"select {', '.join(schema)} from read_parquet({file_list(present)}, hive_partitioning = false)"


def _view(connection: duckdb.DuckDBPyConnection, name: str, schema: Schema, files: Iterable[Path]) -> None:
    connection.execute(f"create view {name} as {rows_of(schema, files)}")


def _days_of_month(month: date) -> list[date]:
    days = [month + index * DAY for index in range(31)]
    return [day for day in days if day.month == month.month]
