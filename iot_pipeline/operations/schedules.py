"""Schedules: the day chain after midnight, the hourly repair and the housekeeping.

Runs in the normal course of a minute come from `landing/sensors.py`, late data from
`stats/sensors.py`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from iot_pipeline.clock import (
    DAY,
    contiguous_ranges,
    day_key,
    floor_minute,
    minute_key,
    minutes_between,
    parse_day,
    parse_minute,
)
from iot_pipeline.landing.sensors import runs_in_flight
from iot_pipeline.partitions import CHAIN_TAG, PRIORITY_TAG, AssetJob, day_partitions, minute_partitions, range_tags
from iot_pipeline.settings import Settings
from iot_pipeline.stats.published import days_with_readings, front
from iot_pipeline.stats.sensors import day_ranges

REPAIR = "repair"
# A minute that young may still be on its way.
SETTLED = timedelta(minutes=5)
# What Dagster says of a partition that no run is making at the moment and that is not there.
LACKING = (None, "FAILED")


def day_schedule(job: AssetJob) -> dg.ScheduleDefinition:
    """Seal and build yesterday at 00:20 UTC, when its last minutes are in."""

    @dg.schedule(
        name="yesterday",
        job=job,
        cron_schedule="20 0 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Seals yesterday and builds its statistics.",
    )
    def yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        key = day_key(context.scheduled_execution_time - DAY)
        return dg.RunRequest(run_key=key, partition_key=key, tags={CHAIN_TAG: "day"})

    return yesterday


def repair_minutes_schedule(
    settings: Settings, *, job: AssetJob, assets: Sequence[dg.AssetKey]
) -> dg.ScheduleDefinition:
    """Once an hour, find minutes of the window that are missing or failed, and build them."""

    @dg.schedule(
        name="repair_minutes",
        job=job,
        cron_schedule="40 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Finds missing and failed minutes of the window and builds them.",
    )
    def repair_minutes(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        newest = front(settings.paths)
        if newest is None:
            return dg.SkipReason("no minute has been built yet")
        if runs_in_flight(context.instance, REPAIR):
            return dg.SkipReason("the runs of the last repair have not ended")
        now = context.scheduled_execution_time
        holes = missing_minutes(
            context.instance,
            assets,
            minute_partitions(settings),
            first=settings.first_minute,
            until=min(newest, floor_minute(now - SETTLED)),
        )
        ranges = contiguous_ranges(holes, settings.catch_up_minutes)
        requests = [_request(now, minute_key(first), minute_key(last)) for first, last in ranges]
        return requests or dg.SkipReason("no minute is missing and none has failed")

    return repair_minutes


def repair_days_schedule(settings: Settings, *, job: AssetJob, assets: Sequence[dg.AssetKey]) -> dg.ScheduleDefinition:
    """Once an hour, find closed days with readings that are missing or failed, and build them."""

    @dg.schedule(
        name="repair_days",
        job=job,
        cron_schedule="50 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Finds missing and failed days that have readings and builds them.",
    )
    def repair_days(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        if runs_in_flight(context.instance, "day") or runs_in_flight(context.instance, REPAIR):
            return dg.SkipReason("a run of the day chain is in flight")
        now = context.scheduled_execution_time
        closed = [day for day in days_with_readings(settings.paths) if day < now.date()]
        days = missing_days(context.instance, assets, day_partitions(settings), closed)
        requests = [_request(now, day_key(first), day_key(last)) for first, last in day_ranges(days)]
        return requests or dg.SkipReason("no day is missing and none has failed")

    return repair_days


def housekeeping_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Once a night, after the day chain."""
    return dg.ScheduleDefinition(
        name="housekeeping_nightly",
        job=job,
        cron_schedule="10 1 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Deletes and forgets what is no longer needed; never landing.",
    )


def missing_minutes(
    instance: dg.DagsterInstance,
    assets: Iterable[dg.AssetKey],
    partitions: dg.TimeWindowPartitionsDefinition,
    *,
    first: datetime,
    until: datetime,
) -> set[datetime]:
    """Minutes from `first` to `until` that some asset lacks or failed to build.

    Minutes before the first one that any asset has or failed to build are no holes: the pipeline did not
    exist yet.
    """
    keys = [minute_key(minute) for minute in minutes_between(first, until)]
    missing = missing_keys(instance, assets, partitions, keys)
    known = next((index for index, key in enumerate(keys) if key not in missing["unknown"]), len(keys))
    return {parse_minute(key) for key in keys[known:] if key in missing["somewhere"]}


def missing_days(
    instance: dg.DagsterInstance,
    assets: Iterable[dg.AssetKey],
    partitions: dg.TimeWindowPartitionsDefinition,
    days: Sequence[date],
) -> set[date]:
    """Those of `days` (days that have readings) that some asset lacks or failed to build."""
    keys = [day_key(day) for day in days]
    return {parse_day(key) for key in missing_keys(instance, assets, partitions, keys)["somewhere"]}


def missing_keys(
    instance: dg.DagsterInstance,
    assets: Iterable[dg.AssetKey],
    partitions: dg.PartitionsDefinition[str],
    keys: Sequence[str],
) -> dict[str, set[str]]:
    """Partition keys that are missing or failed `somewhere` (in some asset) and `unknown` to all assets."""
    found = [_statuses(instance, asset, partitions, keys) for asset in assets]
    lacking = [{key for key, status in statuses.items() if status in LACKING} for statuses in found]
    unknown = [{key for key, status in statuses.items() if status is None} for statuses in found]
    return {"somewhere": set.union(*lacking), "unknown": set.intersection(*unknown)}


def _statuses(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: dg.PartitionsDefinition[str], keys: Sequence[str]
) -> dict[str, str | None]:
    found = instance.get_status_by_partition(asset, keys, partitions)
    return {key: status.value if status else None for key, status in (found or dict.fromkeys(keys)).items()}


def _request(now: datetime, first: str, last: str) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{first}/{last}@{now:%Y-%m-%dT%H}",
        tags={**range_tags(first, last), CHAIN_TAG: REPAIR, PRIORITY_TAG: "3"},
    )
