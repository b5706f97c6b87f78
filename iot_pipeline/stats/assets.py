"""The dbt models and the sealed days as Dagster assets.

dbt runs in this process (`dbt_build.py`): a subprocess would start and parse the project again for
every run. Its events are turned into Dagster's after what they speak of was published.
"""

from base64 import b64encode
from collections.abc import Iterator

import dagster as dg
from dagster_dbt import dbt_assets

from iot_pipeline.clock import utc_now
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
from iot_pipeline.readings.assets import READINGS
from iot_pipeline.settings import Settings
from iot_pipeline.stats.build import BuildReport, build_days, build_minutes_stats
from iot_pipeline.stats.dbt_build import DbtEvent
from iot_pipeline.stats.plots import readings_per_hour
from iot_pipeline.stats.relations import DAY_MODELS
from iot_pipeline.stats.resources import (
    DAY_FRESHNESS,
    DagsterEvent,
    ModelTranslator,
    dagster_events,
    load_models,
    minutes_of_a_day,
)
from iot_pipeline.stats.sealing import days_between, seal_day

READINGS_DAY = dg.AssetKey("readings_day")
MINUTE_ASSETS = [dg.AssetKey(name) for name in ("device_minute", "dim_device", "state_minute")]
DEVICE_HOUR = dg.AssetKey("device_hour")
DAY_ASSETS = [READINGS_DAY, *(dg.AssetKey(model.name) for model in DAY_MODELS)]


def minute_assets(settings: Settings) -> dg.AssetsDefinition:
    """The minute models and `dim_device`, by event minute."""
    models = load_models(settings.paths)
    translator = ModelTranslator(readings=READINGS)

    @dbt_assets(
        name="build_minute_models",
        manifest=models.manifest,
        select="tag:minute",
        project=models.project,
        dagster_dbt_translator=translator,
        partitions_def=minute_partitions(settings),
        backfill_policy=minute_backfill(settings),
        pool=MINUTE_POOL,
    )
    def build_minute_models(context: dg.AssetExecutionContext) -> Iterator[DagsterEvent]:
        events: list[DbtEvent] = []
        report = build_minutes_stats(settings, *minute_window(context), context.run.run_id, on_event=events.append)
        _describe_partitions(context, report)
        yield from dagster_events(events, models=models, translator=translator, context=context)

    return build_minute_models


def sealed_assets(settings: Settings) -> dg.AssetsDefinition:
    """`readings_day`: the readings of a closed day as one sorted file set."""

    @dg.asset(
        key=READINGS_DAY,
        deps=[dg.AssetDep(READINGS, partition_mapping=minutes_of_a_day())],
        partitions_def=day_partitions(settings),
        backfill_policy=day_backfill(),
        pool=DAY_POOL,
        group_name="statistics_day",
        kinds={"duckdb", "parquet"},
        owners=["team:data"],
        freshness_policy=DAY_FRESHNESS,
        description=(
            "The readings of a day, each once, sorted by device, metric and time. A closed day is sealed under a "
            "new version; the present day stays open and is only counted."
        ),
    )
    def readings_day(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        sealed = open_days = readings = 0
        for day in days_between(*day_window(context)):
            if day >= utc_now().date():
                open_days += 1
                continue
            report = seal_day(settings, day)
            sealed += 1
            readings += report.rows
            context.add_asset_metadata({"dagster/row_count": report.rows}, partition_key=day.isoformat())
        return dg.MaterializeResult(
            metadata={"days_sealed": sealed, "days_open": open_days, "readings_sealed": readings}
        )

    return readings_day


def day_assets(settings: Settings) -> dg.AssetsDefinition:
    """The hours and days of all devices and of single fleets, and the months and years that hold the day."""
    models = load_models(settings.paths)
    translator = ModelTranslator(readings=READINGS_DAY)

    @dbt_assets(
        name="build_day_models",
        manifest=models.manifest,
        select="tag:day",
        project=models.project,
        dagster_dbt_translator=translator,
        partitions_def=day_partitions(settings),
        backfill_policy=day_backfill(),
        pool=DAY_POOL,
    )
    def build_day_models(context: dg.AssetExecutionContext) -> Iterator[DagsterEvent]:
        events: list[DbtEvent] = []
        first, last = day_window(context)
        report = build_days(settings, first, last, context.run.run_id, on_event=events.append)
        _describe_partitions(context, report)
        if DEVICE_HOUR in context.selected_asset_keys:
            picture = b64encode(readings_per_hour(settings.paths, last)).decode()
            plot = dg.MetadataValue.md(f"![readings per hour](data:image/png;base64,{picture})")
            context.add_asset_metadata({"readings_per_hour": plot}, asset_key=DEVICE_HOUR)
        yield from dagster_events(events, models=models, translator=translator, context=context)

    return build_day_models


def _describe_partitions(context: dg.AssetExecutionContext, report: BuildReport) -> None:
    """Row counts for each partition of this run; months and years are counted with their days."""
    keys = set(context.partition_keys)
    for model, partitions in report.partitions.items():
        asset = dg.AssetKey(model)
        if asset not in context.selected_asset_keys:
            continue
        for partition, rows in partitions.items():
            metadata = {"dagster/row_count": rows, "readings_in_window": report.readings}
            if report.corrected.corrections:
                metadata["corrections_in_window"] = report.corrected.corrections
                metadata["corrected_readings_in_window"] = report.corrected.readings
            if partition in keys:
                context.add_asset_metadata(metadata, asset_key=asset, partition_key=partition)
