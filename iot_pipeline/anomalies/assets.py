"""Anomaly flags and events as Dagster assets, by event minute. What they are is plain Python beside this file."""

from datetime import timedelta

import dagster as dg

from iot_pipeline.anomalies.events.store import update_events
from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.clock import minute_key, minutes_between
from iot_pipeline.partitions import MINUTE_POOL, minute_backfill, minute_partitions, minute_window
from iot_pipeline.settings import Settings
from iot_pipeline.stats.published import newest_in
from iot_pipeline.stats.relations import flags_tree

FLAGS = dg.AssetKey("anomaly_flags")
EVENTS = dg.AssetKey("anomaly_events")


def flags_assets(settings: Settings) -> dg.AssetsDefinition:
    """`anomaly_flags`: one row for each reading that a detector flagged."""

    @dg.asset(
        key=FLAGS,
        deps=["readings", "device_minute"],
        partitions_def=minute_partitions(settings),
        backfill_policy=minute_backfill(settings),
        pool=MINUTE_POOL,
        group_name="anomalies",
        kinds={"polars", "parquet"},
        owners=["team:data"],
        description=(
            "Readings that a detector found unusual against a fixed look-back, with score (1.0 is the threshold), "
            "expected band and a sentence that says why. Any minute can be made again alone, with the same flags."
        ),
        freshness_policy=dg.FreshnessPolicy.time_window(
            warn_window=timedelta(minutes=5), fail_window=timedelta(minutes=15)
        ),
    )
    def anomaly_flags(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        first, last = minute_window(context)
        report = score_minutes(settings, first, last)
        for minute, flags in report.by_minute.items():
            context.add_asset_metadata({"dagster/row_count": flags}, partition_key=minute_key(minute))
        return dg.MaterializeResult(
            metadata={
                "readings_scored_in_run": report.readings,
                "flags_by_detector_in_run": dg.MetadataValue.json(dict(report.by_detector)),
            }
        )

    return anomaly_flags


def events_assets(settings: Settings) -> dg.AssetsDefinition:
    """`anomaly_events`: flags that belong together, told once."""

    @dg.asset(
        key=EVENTS,
        deps=[FLAGS],
        partitions_def=minute_partitions(settings),
        backfill_policy=minute_backfill(settings),
        pool=MINUTE_POOL,
        group_name="anomalies",
        kinds={"polars", "parquet"},
        owners=["team:data"],
        description=(
            "Flags of one series and type that belong together, with severity, the strangest reading, the messages "
            "behind it and one sentence. Reruns and late data revise an event and never tell it twice."
        ),
    )
    def anomaly_events(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        first, last = minute_window(context)
        report = update_events(settings, first, last, front=newest_in(flags_tree(settings.paths)))
        for minute in minutes_between(first, last):
            opened = report.by_minute.get(minute, 0)
            context.add_asset_metadata({"dagster/row_count": opened}, partition_key=minute_key(minute))
        return dg.MaterializeResult(
            metadata={
                "events_opened_in_run": report.opened,
                "events_revised_in_run": report.revised,
                "events_by_status": dg.MetadataValue.json(dict(report.by_status)),
            }
        )

    return anomaly_events
