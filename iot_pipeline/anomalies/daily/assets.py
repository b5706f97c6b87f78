"""Flags of whole days as a Dagster asset, with their events. What they are is plain Python beside this file."""

from datetime import timedelta

import dagster as dg

from iot_pipeline.anomalies.daily.events import tell_day
from iot_pipeline.anomalies.daily.flags import score_day
from iot_pipeline.clock import utc_now
from iot_pipeline.partitions import DAY_POOL, day_backfill, day_partitions, day_window
from iot_pipeline.settings import Settings
from iot_pipeline.stats.sealing import days_between

DAY_FLAGS = dg.AssetKey("anomaly_day_flags")


def day_flags_assets(settings: Settings) -> dg.AssetsDefinition:
    """`anomaly_day_flags`: hours of a closed day that the days before do not let expect."""

    @dg.asset(
        key=DAY_FLAGS,
        deps=["device_hour"],
        partitions_def=day_partitions(settings),
        backfill_policy=day_backfill(),
        pool=DAY_POOL,
        group_name="anomalies",
        kinds={"numpy", "parquet"},
        owners=["team:data"],
        freshness_policy=dg.FreshnessPolicy.time_window(
            warn_window=timedelta(hours=2), fail_window=timedelta(hours=26)
        ),
        description=(
            "Hours of a closed day that the 28 days before it do not let expect: slow drifts, unusual days, odd "
            "shapes. Learned from earlier days only, each time anew; the same hours give the same flags. Events of the "
            "day are brought up to date with them. The present day has none until it is over."
        ),
    )
    def anomaly_day_flags(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        series = open_days = 0
        by_detector: dict[str, int] = {}
        for day in days_between(*day_window(context)):
            if day >= utc_now().date():
                open_days += 1
                continue
            report = score_day(settings, day)
            tell_day(settings, day)
            series += report.series
            by_detector = {name: by_detector.get(name, 0) + count for name, count in report.by_detector.items()}
            context.add_asset_metadata({"dagster/row_count": report.flags}, partition_key=day.isoformat())
        return dg.MaterializeResult(
            metadata={
                "series_scored_in_run": series,
                "days_open": open_days,
                "flags_by_detector_in_run": dg.MetadataValue.json(by_detector),
            }
        )

    return anomaly_day_flags
