"""Dagster's partitions of this project: minutes and days in UTC.

Arithmetic on minutes and days that does not need Dagster is in `clock.py`.
"""

from datetime import date, datetime

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from iot_pipeline.clock import MINUTE_FORMAT, parse_day, parse_minute
from iot_pipeline.settings import Settings

# What `define_asset_job` returns; Dagster does not export the type.
AssetJob = UnresolvedAssetJobDefinition

MINUTE_POOL = "minute_chain"
DAY_POOL = "day_chain"
CHAIN_TAG = "iot/chain"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PRIORITY_TAG = "dagster/priority"


def minute_partitions(settings: Settings) -> dg.TimeWindowPartitionsDefinition:
    """Every closed minute since midnight UTC of the first day of the rolling window.

    The web UI lists 20,000 keys in about a second and 130,000 in nine, hence a window of days;
    what is older lives on in day partitions.
    """
    return dg.TimeWindowPartitionsDefinition(
        cron_schedule="* * * * *", start=settings.first_minute, fmt=MINUTE_FORMAT, timezone="UTC"
    )


def day_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """Every day since `history_start`, with the present one, which is built "so far"."""
    return dg.DailyPartitionsDefinition(start_date=settings.history_start.isoformat(), timezone="UTC", end_offset=1)


def minute_backfill(settings: Settings) -> dg.BackfillPolicy:
    """Backfills become one run per stretch of minutes: a run's own cost is seconds, a minute's is milliseconds."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=settings.catch_up_minutes)


def day_backfill() -> dg.BackfillPolicy:
    """A year of days fits one run."""
    return dg.BackfillPolicy.multi_run(max_partitions_per_run=366)


def range_tags(first: str, last: str) -> dict[str, str]:
    """Tags that make a run cover the partitions from `first` to `last`, both included."""
    return {RANGE_START_TAG: first, RANGE_END_TAG: last}


def minute_window(context: dg.AssetExecutionContext) -> tuple[datetime, datetime]:
    """First and last minute of the partitions of this run, both included, in UTC."""
    keys = context.partition_key_range
    return parse_minute(keys.start), parse_minute(keys.end)


def day_window(context: dg.AssetExecutionContext) -> tuple[date, date]:
    """First and last day of the partitions of this run, both included."""
    keys = context.partition_key_range
    return parse_day(keys.start), parse_day(keys.end)
