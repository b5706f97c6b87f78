"""The dbt models and the sealed days as Dagster assets.

dbt runs in this process (`dbt_build.py`): a subprocess would parse the project again for every
run. Its events are turned into Dagster's by dagster-dbt, after what they speak of was published.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, DbtProject, dbt_assets

from iot_pipeline.clock import day_key, minute_key
from iot_pipeline.partitions import (
    DAY_POOL,
    MINUTE_POOL,
    day_backfill,
    day_partitions,
    day_window,
    minute_backfill,
    minute_partitions,
    minute_window,
)
from iot_pipeline.paths import DBT_PROJECT
from iot_pipeline.readings.assets import READINGS
from iot_pipeline.settings import Settings
from iot_pipeline.stats.build import BuildReport, build_days, build_minutes_stats
from iot_pipeline.stats.dbt_build import prepare_manifest
from iot_pipeline.stats.dbt_events import to_dagster_events
from iot_pipeline.stats.sealing import seal_days

READINGS_DAY = dg.AssetKey("readings_day")
MINUTE_ASSETS = [dg.AssetKey("device_minute"), dg.AssetKey("dim_device")]
DAY_MARTS = [dg.AssetKey(name) for name in ("device_hour", "device_day", "device_month", "device_year")]
DAY_ASSETS = [READINGS_DAY, *DAY_MARTS]
