"""The asset graph as plain data: what is snapshotted, and nothing of how it is computed.

`python -m tests.update_snapshot` writes it; `tests/test_definitions.py` compares it.
"""

import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.definitions.assets.graph.asset_graph import AssetNode
from dagster._core.definitions.freshness import FreshnessPolicy, TimeWindowFreshnessPolicy

SNAPSHOT = Path(__file__).parent / "snapshots" / "asset_graph.yaml"
UPDATE = "python -m tests.update_snapshot"


def graph(definitions: dg.Definitions) -> dict[str, Any]:
    """Assets, checks, jobs, sensors and schedules of `definitions`."""
    repository = definitions.get_repository_def()
    assets = repository.asset_graph
    return {
        "assets": {
            key.to_user_string(): _asset(assets.get(key))
            for key in sorted(assets.get_all_asset_keys(), key=lambda key: key.to_user_string())
        },
        "jobs": {job.name: _job(job) for job in repository.get_all_jobs() if not job.name.startswith("__")},
        "sensors": {
            sensor.name: {
                "jobs": sorted(job.name for job in sensor.jobs) if sensor.has_jobs else [],
                "seconds": sensor.minimum_interval_seconds,
                "starts": sensor.default_status.value.lower(),
            }
            for sensor in repository.sensor_defs
        },
        "schedules": {
            schedule.name: {
                "job": schedule.job_name,
                "cron": f"{schedule.cron_schedule} {schedule.execution_timezone}",
                "starts": schedule.default_status.value.lower(),
            }
            for schedule in repository.schedule_defs
        },
    }


def build() -> dict[str, Any]:
    """The graph of this working copy, with default settings and an empty data folder."""
    from iot_pipeline.settings import load_settings  # noqa: PLC0415
    from tests.pipeline.world import define  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        return graph(define(load_settings(data=folder)))


def text(content: dict[str, Any]) -> str:
    """As it is kept."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)


def _asset(node: AssetNode) -> dict[str, Any]:
    return {
        "description": (node.description or "").partition("\n")[0],
        "group": node.group_name,
        "owners": sorted(node.owners),
        "kinds": sorted(node.kinds),
        "deps": sorted(key.to_user_string() for key in node.parent_keys),
        "partitions": _partitions(node.partitions_def),
        "freshness": _freshness(node.freshness_policy),
        "checks": sorted(key.name for key in node.check_keys),
    }


def _partitions(partitions: dg.PartitionsDefinition[str] | None) -> str | None:
    """The cron of the windows; their start follows the clock."""
    if not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return None
    return f"{partitions.cron_schedule} {partitions.timezone}"


def _freshness(policy: FreshnessPolicy | None) -> str | None:
    if not isinstance(policy, TimeWindowFreshnessPolicy):
        return None
    warn = policy.warn_window.to_timedelta() if policy.warn_window else None
    return f"warns after {warn}, fails after {policy.fail_window.to_timedelta()}"


def _job(job: dg.JobDefinition) -> list[str]:
    """The assets that a job makes, or its steps."""
    assets = job.asset_layer.executable_asset_keys if job.asset_layer else []
    return sorted(key.to_user_string() for key in assets) or sorted(node.name for node in job.nodes)
