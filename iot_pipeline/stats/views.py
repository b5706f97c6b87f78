"""SQL of the views that people query: over patterns of files, so that a view sees what comes later.

Which views there are and what their columns mean; connections and the catalog file are in `warehouse.py`.

A view takes the seals once, by listing the versions of closed days, and lists files only after that.
DuckDB lists in the order of the FROM clause, so `seals` stands first there. Were it otherwise, a version
that appears in between would count although its files were not listed, and a day would miss its rows.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import open_root
from iot_pipeline.stats.corrections.applying import corrected_sql
from iot_pipeline.stats.corrections.correction import CORRECTION_SCHEMA
from iot_pipeline.stats.corrections.store import pieces_file
from iot_pipeline.stats.inputs import FIRST_COPY, quoted
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    EVENT_SCHEMA,
    FLAGS_SCHEMA,
    MODELS_SCHEMA,
    dim_device_file,
    minute_trees,
    models_file,
    sealed_readings,
)

# Trees that got columns since their first release: files of before lack them.
GROWN = frozenset({"devices", "quarantine"})
WITHOUT_DT = ("dim_device", "corrections", "anomaly_models")
DT_COLUMN = "Day (UTC) of the partition. Put it into WHERE: files of other days are then not opened."


def view_queries(paths: DataPaths) -> Mapping[str, str]:
    """The query of each view, by name. All but those in `WITHOUT_DT` have a last column `dt`."""
    pieces = f"read_parquet({quoted(str(pieces_file(paths)))}, hive_partitioning = false)"
    queries = {
        "readings": corrected_sql(f"({_readings(paths)})", pieces, also="dt"),
        "readings_raw": _readings(paths),
        "corrections": (
            f"select {_columns(CORRECTION_SCHEMA)} "
            f"from read_parquet({quoted(f'{paths.corrections}/*.parquet')}, hive_partitioning = false)"
        ),
    }
    for name, tree in minute_trees(paths).items():
        queries[name] = _sealable(tree.open, tree.sealed.root, tree.schema, grown=name in GROWN)
    for model in DAY_MODELS:
        pattern = quoted(f"{paths.marts / model.name}/dt=*/part-000.parquet")
        queries[model.name] = (
            f"select {_columns(model.schema)}, dt "
            f"from read_parquet({pattern}, hive_partitioning = true, hive_types = {{dt: date}})"
        )
    day_flags = quoted(f"{paths.day_flags}/dt=*/part-000.parquet")
    queries["anomaly_day_flags"] = (
        f"select {_columns(FLAGS_SCHEMA)}, dt "
        f"from read_parquet({day_flags}, hive_partitioning = true, hive_types = {{dt: date}})"
    )
    events = quoted(f"{paths.events}/dt=*/part-000.parquet")
    queries["anomaly_events"] = (
        f"select {_columns(EVENT_SCHEMA)}, dt "
        f"from read_parquet({events}, hive_partitioning = true, hive_types = {{dt: date}}, union_by_name = true)"
    )
    queries["anomaly_models"] = (
        f"select {_columns(MODELS_SCHEMA)} "
        f"from read_parquet({quoted(str(models_file(paths)))}, hive_partitioning = false)"
    )
    queries["dim_device"] = (
        f"select {_columns(DIM_DEVICE_SCHEMA)} "
        f"from read_parquet({quoted(str(dim_device_file(paths)))}, hive_partitioning = false)"
    )
    return queries


def _readings(paths: DataPaths) -> str:
    # `dt` follows from event_ts; as part of the key it lets a filter on it reach the files.
    first_copy = FIRST_COPY.replace("partition by ", "partition by dt, ")
    return _sealable(open_root(paths), sealed_readings(paths).root, READING_SCHEMA, f"qualify {first_copy}")


def _sealable(opened: Path, sealed: Path, schema: Iterable[str], once: str = "", *, grown: bool = False) -> str:
    columns = _columns(schema)
    # Makes DuckDB look into every file, so only where it is needed.
    union = ", union_by_name = true" if grown else ""
    versions, files = f"{sealed}/dt=*/v=*/part-000.parquet", f"{sealed}/dt=*/v=*/part-*.parquet"
    return f"""with seals as materialized (
    select
        cast(regexp_extract(file, 'dt=([0-9-]{{10}})/v=', 1) as date) as dt,
        max(regexp_extract(file, '/v=([^/]+)/', 1)) as v
    from glob({quoted(versions)})
    group by all
)
select {columns}, sealed.dt
from seals
inner join read_parquet(
    {quoted(files)}, hive_partitioning = true, hive_types = {{dt: date, v: varchar}}{union}
) as sealed on sealed.dt = seals.dt and sealed.v = seals.v
union all
select {columns}, dt
from read_parquet(
    {quoted(f"{opened}/dt=*/hm=*/*.parquet")}, hive_partitioning = true, hive_types = {{dt: date, hm: varchar}}{union}
) as opened
anti join seals using (dt)
{once}""".rstrip()


def _columns(schema: Iterable[str]) -> str:
    return ", ".join(schema)
