"""The asset graph as plain data: what is snapshotted, and nothing of how it is computed.

`python -m tests.update_snapshot` writes it; `tests/test_definitions.py` compares it.
"""

import os
import tempfile
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

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
        "jobs": {job.name: _selection(job) for job in repository.get_all_jobs() if not job.name.startswith("__")},
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
