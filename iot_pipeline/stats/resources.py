"""What the dbt assets need of Dagster: how models become assets, and how dbt's events become Dagster's.

Running dbt is `dbt_build.py`, which knows nothing of Dagster.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject
from dagster_dbt.core.dbt_cli_event import DbtCoreCliEventMessage

# dagster-dbt hands the manifest and events over as parsed JSON.
Manifest = Mapping[str, Any]
DbtEvent = dict[str, Any]

MINUTE_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(minutes=5), fail_window=timedelta(minutes=15))
DAY_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(hours=2), fail_window=timedelta(hours=26))


class ModelTranslator(DagsterDbtTranslator):
    """Models become assets in a group per stage, with owners, freshness and links to their SQL."""

    def __init__(self) -> None:
        super().__init__(
            settings=DagsterDbtTranslatorSettings(
                # Two sources (readings, devices seen) are one asset: one pass over the messages makes both.
                enable_duplicate_source_asset_keys=True,
                enable_code_references=True,
            )
        )

    def get_asset_spec(self, manifest: Manifest, unique_id: str, project: DbtProject | None) -> dg.AssetSpec:
        """The asset of one dbt node; sources keep what dagster-dbt says."""
        spec = super().get_asset_spec(manifest, unique_id, project)
        if unique_id.startswith("source."):
            return spec
        minute = "minute" in manifest["nodes"][unique_id]["tags"]
        return spec.replace_attributes(
            group_name="statistics_minute" if minute else "statistics_day",
            owners=["team:data"],
            freshness_policy=MINUTE_FRESHNESS if minute else DAY_FRESHNESS,
            kinds={"dbt", "duckdb", "parquet"},
        )
