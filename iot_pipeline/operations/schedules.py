"""Schedules: the day chain after midnight, the hourly repair and the housekeeping.

Runs in the normal course of a minute come from `landing/sensors.py`, late data from
`stats/sensors.py`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from iot_pipeline.clock import DAY, contiguous_ranges, day_key, minute_key, minutes_between, parse_day, parse_minute
from iot_pipeline.landing.sensors import runs_in_flight
from iot_pipeline.partitions import CHAIN_TAG, PRIORITY_TAG, day_partitions, minute_partitions, range_tags
from iot_pipeline.settings import Settings
from iot_pipeline.stats.lateness import days_with_readings, newest_minute
from iot_pipeline.stats.sensors import day_ranges

SETTLED = timedelta(minutes=5)
# What Dagster says of a partition that no run is making at the moment and that is not there.
LACKING = (None, "FAILED")


def day_schedule(job: dg.ExecutableDefinition) -> dg.ScheduleDefinition:
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


def repair_schedule(
    settings: Settings,
    *,
    minute_job: dg.ExecutableDefinition,
    day_job: dg.ExecutableDefinition,
    minute_assets: Iterable[dg.AssetKey],
    day_assets: Iterable[dg.AssetKey],
) -> dg.ScheduleDefinition:
    """Once an hour, find partitions of the window that are missing or failed, and build them."""
    minute_keys, day_keys = list(minute_assets), list(day_assets)

    @dg.schedule(
        name="repair",
        jobs=[minute_job, day_job],
        cron_schedule="40 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Finds missing and failed minutes and days of the window and builds them.",
    )
    def repair(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        if runs_in_flight(context.instance, "repair"):
            return dg.SkipReason("the runs of the last repair have not ended")
        front = newest_minute(settings.paths)
        if front is None:
            return dg.SkipReason("no minute has been built yet")
        now = context.scheduled_execution_time
        holes = missing_minutes(
            context.instance,
            minute_keys,
            minute_partitions(settings),
            first=settings.first_minute,
            until=min(front, now - SETTLED),
        )
        closed = [day for day in days_with_readings(settings.paths) if day < now.date()]
        days = missing_days(context.instance, day_keys, day_partitions(settings), closed)
        requests = [
            _request(minute_job, now, minute_key(first), minute_key(last), priority=3)
            for first, last in contiguous_ranges(holes, settings.catch_up_minutes)
        ]
        requests += [
            _request(day_job, now, day_key(first), day_key(last), priority=0) for first, last in day_ranges(days)
        ]
        return requests or dg.SkipReason("nothing is missing and nothing has failed")

    return repair


def missing_minutes(
    instance: dg.DagsterInstance,
    assets: Iterable[dg.AssetKey],
    partitions: dg.TimeWindowPartitionsDefinition,
    *,
    first: datetime,
    until: datetime,
) -> set[datetime]:
    """Minutes from `first` to `until` that some asset lacks or failed to build.

    Minutes before the first one that any asset has are no holes: the pipeline did not exist yet.
    """
    keys = [minute_key(minute) for minute in minutes_between(first, until)]
    missing = missing_keys(instance, assets, partitions, keys)
    known = next((index for index, key in enumerate(keys) if key not in missing["everywhere"]), len(keys))
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
    """Partition keys that are missing or failed `somewhere` (in some asset) and `everywhere` (in all)."""
    lacking = [
        {key for key, status in _statuses(instance, asset, partitions, keys).items() if status in LACKING}
        for asset in assets
    ]
    return {"somewhere": set.union(*lacking), "everywhere": set.intersection(*lacking)}


def _statuses(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: dg.PartitionsDefinition[str], keys: Sequence[str]
) -> dict[str, str | None]:
    found = instance.get_status_by_partition(asset, keys, partitions)
    return {key: status.value if status else None for key, status in (found or dict.fromkeys(keys)).items()}


def _request(job: dg.ExecutableDefinition, now: datetime, first: str, last: str, *, priority: int) -> dg.RunRequest:
    return dg.RunRequest(
        job_name=job.name,
        run_key=f"{job.name}:{first}/{last}@{now:%Y-%m-%dT%H}",
        tags={**range_tags(first, last), CHAIN_TAG: "repair", PRIORITY_TAG: str(priority)},
    )
