"""Anomaly flags as a Dagster asset, by event minute. The detectors are plain Python beside this file."""

from datetime import timedelta

import dagster as dg

from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.clock import minute_key
from iot_pipeline.partitions import MINUTE_POOL, minute_backfill, minute_partitions, minute_window
from iot_pipeline.settings import Settings

FLAGS = dg.AssetKey("anomaly_flags")


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
