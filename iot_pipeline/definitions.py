"""The whole flow on one screen, in the order of the flow. Nothing is computed here.

`build_definitions` takes settings, so that a test or a second instance gets a world of its own.
"""

import warnings

import dagster as dg

from iot_pipeline.anomalies.assets import EVENTS, FLAGS, events_assets, flags_assets
from iot_pipeline.anomalies.daily.assets import DAY_FLAGS, day_flags_assets
from iot_pipeline.anomalies.detectors import longest_lookback
from iot_pipeline.anomalies.evaluation.assets import evaluation_assets
from iot_pipeline.anomalies.models.assets import model_assets
from iot_pipeline.anomalies.sensors import notices_sensor
from iot_pipeline.landing.assets import landing_assets
from iot_pipeline.landing.checks import landing_checks
from iot_pipeline.landing.sensors import landed_minutes_sensor
from iot_pipeline.logs import log_lines
from iot_pipeline.operations.jobs import (
    ASSET_JOBS,
    day_chain,
    evaluation,
    housekeeping_job,
    late_day_flags,
    late_flags,
    late_minutes,
    minute_chain,
    old_landing_job,
)
from iot_pipeline.operations.schedules import (
    day_schedule,
    evaluation_schedule,
    housekeeping_schedule,
    late_day_flags_schedule,
    old_landing_schedule,
    repair_days_schedule,
    repair_minutes_schedule,
)
from iot_pipeline.operations.sensors import abandoned_runs_sensor
from iot_pipeline.readings.assets import DEVICES, QUARANTINE, READINGS, readings_assets
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.assets import DAY_ASSETS, MINUTE_ASSETS, day_assets, minute_assets, sealed_assets
from iot_pipeline.stats.checks import data_time_checks
from iot_pipeline.stats.sensors import health_sensor, late_days_sensor, late_minutes_sensor

MINUTE_CHAIN = [READINGS, QUARANTINE, DEVICES, *MINUTE_ASSETS, FLAGS, EVENTS]


def build_definitions(settings: Settings) -> dg.Definitions:
    """Everything that Dagster knows about this project, for one data folder."""
    assets: list[dg.AssetsDefinition | dg.AssetSpec] = [
        *landing_assets(settings),  # what the collector landed
        readings_assets(settings),  # landing minute -> readings, quarantine
        minute_assets(settings),  # event minute -> statistics
        flags_assets(settings),  # event minute -> anomaly flags
        events_assets(settings),  # flags -> events
        evaluation_assets(settings),  # how right the flags are
        sealed_assets(settings),  # day -> readings in one sorted file
        day_assets(settings),  # day -> hours, days, months, years
        model_assets(settings),  # earlier days -> what is usual, for the flags of the day and later
        day_flags_assets(settings),  # hours of the day beside those of earlier days -> flags, and their events
    ]
    sensors = [
        landed_minutes_sensor(settings, minute_chain),
        late_minutes_sensor(settings, statistics=late_minutes, flags=late_flags, lookback=longest_lookback()),
        late_days_sensor(settings, day_chain),
        notices_sensor(settings),
        health_sensor(settings),
        abandoned_runs_sensor(settings),
    ]
    housekeeping, old_landing = housekeeping_job(settings), old_landing_job(settings)
    schedules = [
        day_schedule(day_chain),
        repair_minutes_schedule(settings, job=minute_chain, assets=MINUTE_CHAIN),
        repair_days_schedule(settings, job=day_chain, assets=[*DAY_ASSETS, DAY_FLAGS]),
        late_day_flags_schedule(settings, late_day_flags),
        old_landing_schedule(settings, old_landing),
        housekeeping_schedule(housekeeping),
        evaluation_schedule(evaluation),
    ]
    return dg.Definitions(
        assets=dg.with_source_code_references(assets),
        asset_checks=[*landing_checks(settings), *data_time_checks(settings)],
        jobs=[*ASSET_JOBS, old_landing, housekeeping],
        sensors=sensors,
        schedules=schedules,
        # One process a run: a new interpreter for each step would cost more than the steps.
        executor=dg.in_process_executor,
    )


log_lines()
with warnings.catch_warnings():
    # Backfill policies and links to code are beta in the pinned Dagster; every worker would log a page about it.
    warnings.simplefilter("ignore", category=dg.BetaWarning)
    defs = build_definitions(load_settings())
