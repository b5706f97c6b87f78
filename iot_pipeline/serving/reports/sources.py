"""What a report reads: the relations under their names, over exactly the files of its range of time.

The views that people query list every file to find those of a day, and the present day alone has one a minute; naming
the files makes the same report several times quicker. Nothing is written here.
"""

from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

from iot_pipeline.clock import DAY, MINUTE, day_start, floor_minute
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.corrections.applying import current_readings
from iot_pipeline.stats.inputs import COLUMNS, minute_input_files
from iot_pipeline.stats.relations import DAY_MODELS, DIM_DEVICE_SCHEMA, dim_device_file, minute_trees, published_file
from iot_pipeline.stats.run_sources import SQL_TYPES, rows_of
from iot_pipeline.stats.sealing import days_between
from iot_pipeline.trees import MinuteTree

_MICROSECOND = timedelta(microseconds=1)


def make_relation(
    connection: duckdb.DuckDBPyConnection, paths: DataPaths, name: str, begin: datetime, end: datetime
) -> None:
    """Make the view `name` with all that it has of the instants `begin` to `end` (UTC, not included), or more.

    Raises:
        KeyError: there is no relation of that name.
    """
    connection.execute(f"create view {name} as {_query(connection, paths, name, begin, end - _MICROSECOND)}")


def _query(connection: duckdb.DuckDBPyConnection, paths: DataPaths, name: str, begin: datetime, last: datetime) -> str:
    if name == "readings":
        inputs = minute_input_files(paths, floor_minute(begin), floor_minute(last))
        return f"select {COLUMNS} from ({current_readings(connection, paths, inputs).query})"
    if name == "dim_device":
        return _devices_query(dim_device_file(paths))
    if (tree := minute_trees(paths).get(name)) is not None:
        return rows_of(tree.schema, _tree_files(tree, begin, last))
    model = {model.name: model for model in DAY_MODELS}[name]
    partitions = sorted({model.partition(day) for day in days_between(begin.date(), last.date())})
    return rows_of(model.schema, [published_file(paths, name, partition) for partition in partitions])


def _devices_query(path: Path) -> str:
    """The devices; one file of an earlier release may lack columns, which are null then."""
    present = list(pl.read_parquet_schema(path)) if path.exists() else list(DIM_DEVICE_SCHEMA)
    told = {name: dtype for name, dtype in DIM_DEVICE_SCHEMA.items() if name in present}
    lacking = "".join(
        f", cast(null as {SQL_TYPES[dtype]}) as {name}" for name, dtype in DIM_DEVICE_SCHEMA.items() if name not in told
    )
    return f"select *{lacking} from ({rows_of(told, [path])})"


def _tree_files(tree: MinuteTree, begin: datetime, last: datetime) -> list[Path]:
    files: list[Path] = []
    for day in days_between(begin.date(), last.date()):
        sealed = tree.sealed.files(day)
        first, end = max(floor_minute(begin), day_start(day)), min(floor_minute(last), day_start(day) + DAY - MINUTE)
        files += sealed or [path for part in tree.open_parts(first, end) for path in part.files]
    return files
