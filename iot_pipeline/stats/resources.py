"""What the dbt assets need of Dagster: how models become assets, and how dbt's events become Dagster's.

Running dbt is `dbt_build.py`, which knows nothing of Dagster.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import msgspec
import sqlglot
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

from iot_pipeline.files import write_bytes
from iot_pipeline.paths import DBT_PROJECT, DataPaths
from iot_pipeline.readings.assets import DEVICES, QUARANTINE
from iot_pipeline.stats.dbt_build import DbtEvent, prepare_manifest
from iot_pipeline.stats.warehouse import publish_catalog

# dbt's manifest: parsed JSON, whose shape is dbt's.
Manifest = Mapping[str, Any]
DagsterEvent = dg.Output[None] | dg.AssetMaterialization | dg.AssetObservation | dg.AssetCheckResult | object

MINUTE_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=5), fail_window=timedelta(minutes=15))
DAY_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=2), fail_window=timedelta(hours=26))
LINEAGE = "dagster/column_lineage"


@dataclass(frozen=True, slots=True)
class Models:
    """The dbt project as Dagster sees it: `manifest` is the parsed content of the file at `path`."""

    path: Path
    manifest: Manifest
    project: DbtProject


@cache
def load_models(paths: DataPaths) -> Models:
    """Parse the models if they changed, and publish the catalog of views that people open.

    Every process that loads the definitions passes here once, so both are there before the first run.
    """
    path = prepare_manifest(paths)
    publish_catalog(paths)
    return Models(path, json.loads(path.read_bytes()), DbtProject(DBT_PROJECT))


class ModelTranslator(DagsterDbtTranslator):
    """Marts become assets; a view or table on the way stands for the asset that it reads."""

    def __init__(self, *, readings: dg.AssetKey) -> None:
        """Name the asset whose readings the models read: by minute `readings`, by day `readings_day`."""
        self._staging = {
            "model.iot_pipeline.stg_readings": readings,
            "model.iot_pipeline.stg_devices": DEVICES,
            "model.iot_pipeline.stg_device_words": DEVICES,
            "model.iot_pipeline.stg_quarantine": QUARANTINE,
        }
        # Two models that stand for one asset would be refused: these keep a key of their own, and arrows pass by them.
        self._on_the_way = {
            dg.AssetKey("stg_device_repeats"): DEVICES,
            dg.AssetKey("int_series_day"): readings,
        }
        super().__init__(settings=DagsterDbtTranslatorSettings(enable_code_references=True))

    def get_asset_spec(self, manifest: Manifest, unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """The asset of one dbt node."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        if unique_id in self._staging:
            return spec.replace_attributes(key=self._staging[unique_id])
        if unique_id.startswith("source."):
            return spec
        minute = "minute" in manifest["nodes"][unique_id]["tags"]
        return spec.replace_attributes(
            # The SQL is a link away; in the description it would hide the sentence.
            description=" ".join(manifest["nodes"][unique_id]["description"].split()),
            deps=_arrows(manifest, spec, self._on_the_way, minute=minute),
            group_name=_group(manifest["nodes"][unique_id]["fqn"], minute=minute),
            owners=["team:data"],
            freshness_policy=MINUTE_FRESHNESS if minute else DAY_FRESHNESS,
            kinds={"dbt", "duckdb", "parquet"},
        )


def _group(names: Sequence[str], *, minute: bool) -> str:
    """The group of a mart: its fleet's where the model lies in a folder of one, `marts/<tag>/<fleet>/`."""
    fleet = names[3:-1]
    return fleet[0] if fleet else "statistics_minute" if minute else "statistics_day"


def _arrows(
    manifest: Manifest, spec: dg.AssetSpec, on_the_way: Mapping[dg.AssetKey, dg.AssetKey], *, minute: bool
) -> list[dg.AssetDep]:
    """What a mart is made of, by asset."""
    seeds = {node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "seed"}
    arrows: dict[dg.AssetKey, dg.AssetDep] = {}
    for dep in spec.deps:
        # What was published before is the asset itself, or one whose changes do not make a day stale; a seed is code.
        if dep.asset_key.path[0] == "history" or dep.asset_key.path[-1] in seeds:
            continue
        key = on_the_way.get(dep.asset_key, dep.asset_key)
        by_minute = not minute and key in (DEVICES, QUARANTINE)
        arrows[key] = dg.AssetDep(key, partition_mapping=minutes_of_a_day() if by_minute else dep.partition_mapping)
    return list(arrows.values())


@cache
def minutes_of_a_day() -> dg.TimeWindowPartitionMapping:
    """All minutes of a day; before the minute window, and later today, there are none."""
    return dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)


def dagster_events(
    events: Iterable[DbtEvent],
    *,
    models: Models,
    translator: ModelTranslator,
    context: dg.AssetExecutionContext,
) -> Iterator[DagsterEvent]:
    """Turn dbt's results into Dagster's: a materialisation for each mart, a check result for each test.

    Column lineage is worked out from the compiled SQL once for each version of the models and kept
    beside the manifest: a run that makes one minute should not parse SQL.
    """
    lineage = ColumnLineage(models)
    selected = {key.to_python_identifier() for key in context.selected_asset_keys}
    for event in events:
        unique_id = event["data"].get("node_info", {}).get("unique_id", "")
        if _tests_no_asset(models.manifest, unique_id):
            continue  # It passed, or nothing would have been published.
        history = {} if lineage.known(unique_id) else _declared_columns(models.manifest, unique_id)
        message = DbtCoreCliEventMessage(raw_event=dict(event), event_history_metadata=history)
        for made in message.to_default_asset_events(
            models.manifest, translator, context, target_path=models.path.parent, project=models.project
        ):
            if not isinstance(made, dg.Output):
                yield made
            elif made.output_name in selected:
                lineage.learn(unique_id, made.metadata)
                yield made.with_metadata({**made.metadata, **lineage.metadata(unique_id)})


def _tests_no_asset(manifest: Manifest, unique_id: str) -> bool:
    """Whether this is a test of a staging view or an intermediate table, which Dagster knows nothing of."""
    attached = manifest["nodes"].get(unique_id, {}).get("attached_node")
    tags = manifest["nodes"].get(attached, {}).get("tags", [])
    return "staging" in tags or "intermediate" in tags


class ColumnLineage:
    """Column lineage of the marts, kept as JSON beside the manifest it was worked out from."""

    def __init__(self, models: Models) -> None:
        """Read what is known for this version of the models."""
        version = models.path.with_suffix(".sha256").read_text()[:12]
        self._models = models
        self._path = models.path.parent / f"lineage-{version}.json"
        self._known: dict[str, dict[str, list[tuple[str, str]]]] = (
            msgspec.json.decode(self._path.read_bytes(), type=dict[str, dict[str, list[tuple[str, str]]]])
            if self._path.exists()
            else {}
        )

    def known(self, unique_id: str) -> bool:
        """Whether the lineage of this node was worked out before."""
        return unique_id in self._known

    def learn(self, unique_id: str, metadata: Mapping[str, Any]) -> None:
        """Keep the lineage that dagster-dbt put into `metadata`, if it did."""
        found = metadata.get(LINEAGE)
        if found is None or self.known(unique_id):
            return
        lineage = getattr(found, "value", found)
        renamed = _staging_renames(self._models, unique_id)
        self._known[unique_id] = {
            column: sorted(
                (dep.asset_key.to_user_string(), renamed.get(dep.column_name, dep.column_name)) for dep in deps
            )
            for column, deps in lineage.deps_by_column.items()
        }
        write_bytes(msgspec.json.encode(self._known), self._path)

    def metadata(self, unique_id: str) -> dict[str, dg.TableColumnLineage | dg.MarkdownMetadataValue]:
        """The lineage as metadata of a materialisation, for programs and as a table; nothing when it is not known."""
        columns = self._known.get(unique_id)
        if columns is None:
            return {}
        deps = {
            column: [dg.TableColumnDep(dg.AssetKey.from_user_string(asset), name) for asset, name in parents]
            for column, parents in columns.items()
        }
        rows = [
            f"| {column} | {', '.join(f'{asset}.{name}' for asset, name in parents) or 'computed'} |"
            for column, parents in columns.items()
        ]
        # The open-source web UI draws no column lineage, so it is written out as well.
        table = dg.MetadataValue.md("\n".join(["| column | comes from |", "|---|---|", *rows]))
        return {LINEAGE: dg.TableColumnLineage(deps), "columns_come_from": table}


def _declared_columns(manifest: Manifest, unique_id: str) -> dict[str, Any]:
    """Columns of a mart and of its parents as their contracts declare them, in dagster-dbt's shape."""
    node = manifest["nodes"].get(unique_id)
    if node is None or node["resource_type"] != "model":
        return {}
    parents = {}
    for parent_id in node["depends_on"]["nodes"]:
        parent = manifest["nodes"].get(parent_id) or manifest["sources"][parent_id]
        # What was published before has the columns of the model that published it.
        like = manifest["nodes"].get(f"model.iot_pipeline.{parent['name'].removeprefix('published_')}", parent)
        parents[parent["relation_name"]] = {"columns": _typed(like["columns"])}
    return {"columns": _typed(node["columns"]), "parents": parents}


def _staging_renames(models: Models, unique_id: str) -> dict[str, str]:
    """Column of a staging view that the node reads -> column of the asset that the view stands for."""
    renames: dict[str, str] = {}
    for parent_id in models.manifest["nodes"][unique_id]["depends_on"]["nodes"]:
        if not parent_id.startswith("model.iot_pipeline.stg_"):
            continue
        view = models.manifest["nodes"][parent_id]
        compiled = models.path.parent / "compiled" / view["package_name"] / view["original_file_path"]
        for selected in sqlglot.parse_one(compiled.read_text(), dialect="duckdb").expressions:
            if (column := selected.find(sqlglot.exp.Column)) is not None:
                renames[selected.alias_or_name] = column.name
    return renames


def _typed(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, str]]:
    return {name: {"data_type": column.get("data_type") or "varchar"} for name, column in columns.items()}
