"""Schedules: the day chain after midnight, days that look back at late ones, the hourly repair, the housekeeping.

Runs in the normal course of a minute come from `landing/sensors.py`, late data from
`stats/sensors.py`.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from iot_pipeline.anomalies.daily.assets import DAY_FLAGS
from iot_pipeline.anomalies.daily.behind import days_behind
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
from iot_pipeline.landing.sensors import UNFINISHED, runs_in_flight
from iot_pipeline.partitions import CHAIN_TAG, PRIORITY_TAG, RANGE_END_TAG, RANGE_START_TAG, AssetJob, range_tags
from iot_pipeline.readings.backlog import undecoded
from iot_pipeline.settings import Settings
from iot_pipeline.stats.assets import DEVICE_HOUR
from iot_pipeline.stats.published import days_with_readings, front
from iot_pipeline.stats.sensors import day_ranges

REPAIR = "repair"
BACKLOG = "backlog"
LATE_DAY_FLAGS = "late_day_flags"
# In one run: between two of them, other days get their turn.
DAYS_AT_ONCE = 7
# A minute that young may still be on its way.
SETTLED = timedelta(minutes=5)
PARTITION_TAG = "dagster/partition"


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
        days = missing_days(context.instance, assets, _closed_days(settings, now))
        requests = [_request(now, day_key(first), day_key(last)) for first, last in day_ranges(days)]
        return requests or dg.SkipReason("no day is missing and none has failed")

    return repair_days


def late_day_flags_schedule(settings: Settings, job: AssetJob) -> dg.ScheduleDefinition:
    """Once a night, find closed days that look back at a day which was made again later than their flags.

    A day costs as much as all it looks back at, and a device that is late tells of the same day many times.
    """

    @dg.schedule(
        name="late_day_flags_nightly",
        job=job,
        cron_schedule="10 2 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Flags days again that look back at a day which changed.",
    )
    def late_day_flags_nightly(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | list[dg.RunRequest]:
        if runs_in_flight(context.instance, LATE_DAY_FLAGS):
            return dg.SkipReason("the runs of the last night have not ended")
        now = context.scheduled_execution_time
        behind = days_behind(_days_made(context.instance, DEVICE_HOUR), _days_made(context.instance, DAY_FLAGS))
        days = behind.intersection(_closed_days(settings, now))
        requests = [
            _request(now, day_key(first), day_key(last), chain=LATE_DAY_FLAGS, priority=-1)
            for first, last in day_ranges(days, DAYS_AT_ONCE)
        ]
        return requests or dg.SkipReason("no day that was flagged looks back at a day that changed since")

    return late_day_flags_nightly


def old_landing_schedule(settings: Settings, job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Once an hour, find landing minutes that grew older than the minute window undecoded, and decode them."""

    @dg.schedule(
        name="old_landing_hourly",
        job=job,
        cron_schedule="30 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Decodes what landed before the minute window and was never decoded.",
    )
    def old_landing_hourly(context: dg.ScheduleEvaluationContext) -> dg.SkipReason | dg.RunRequest:
        if runs_in_flight(context.instance, BACKLOG):
            return dg.SkipReason("the last run over old landing minutes has not ended")
        waiting = undecoded(settings.paths, before=settings.first_minute)
        if not waiting:
            return dg.SkipReason("all that landed before the minute window is decoded")
        return dg.RunRequest(
            run_key=f"{minute_key(waiting[0])}@{context.scheduled_execution_time:%Y-%m-%dT%H}",
            tags={CHAIN_TAG: BACKLOG, PRIORITY_TAG: "2"},
        )

    return old_landing_hourly


def housekeeping_schedule(job: dg.JobDefinition) -> dg.ScheduleDefinition:
    """Once a night, after the day chain."""
    return dg.ScheduleDefinition(
        name="housekeeping_nightly",
        job=job,
        cron_schedule="10 1 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Deletes and forgets what is no longer needed or kept.",
    )


def evaluation_schedule(job: AssetJob) -> dg.ScheduleDefinition:
    """Four times a day, over the hours since the last time."""
    return dg.ScheduleDefinition(
        name="evaluation_six_hourly",
        job=job,
        cron_schedule="5 */6 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Compares the flags of the last hours with the simulators' truth, and measures the detectors.",
    )


def missing_minutes(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], *, first: datetime, until: datetime
) -> set[datetime]:
    """Minutes from `first` to `until` that some asset lacks or failed to build.

    Minutes before the first one that any asset has or failed to build are no holes: the pipeline did not
    exist yet.
    """
    keys = [minute_key(minute) for minute in minutes_between(first, until)]
    missing = missing_keys(instance, assets, keys)
    known = next((index for index, key in enumerate(keys) if key not in missing["unknown"]), len(keys))
    return {parse_minute(key) for key in keys[known:] if key in missing["somewhere"]}


def missing_days(instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], days: Sequence[date]) -> set[date]:
    """Those of `days` (days that have readings) that some asset lacks or failed to build."""
    return {parse_day(key) for key in missing_keys(instance, assets, [day_key(day) for day in days])["somewhere"]}


def missing_keys(
    instance: dg.DagsterInstance, assets: Iterable[dg.AssetKey], keys: Iterable[str]
) -> dict[str, set[str]]:
    """Partition keys that are missing or failed `somewhere` (in some asset) and `unknown` to all assets.

    A partition failed when it was planned after it was made last and no run is at it. Two queries an asset:
    Dagster's own status by partition takes minutes for a window of minutes.
    """
    wanted = set(keys)
    somewhere: set[str] = set()
    unknown = set(wanted)
    for asset in assets:
        made = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
        planned = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED)
        somewhere |= {key for key in wanted if key not in made or planned.get(key, 0) > made[key]}
        unknown -= made.keys() | planned.keys()
    return {"somewhere": somewhere - _in_the_making(instance, somewhere), "unknown": unknown}


def _days_made(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dict[date, int]:
    """When each day of an asset was made last: ids of Dagster's storage, which grow."""
    made = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
    return {parse_day(key): storage_id for key, storage_id in made.items()}


def _in_the_making(instance: dg.DagsterInstance, keys: Iterable[str]) -> set[str]:
    """Those of `keys` that a run which has not ended will make."""
    spans = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=UNFINISHED)):
        single = run.tags.get(PARTITION_TAG, "")
        spans.append((run.tags.get(RANGE_START_TAG, single), run.tags.get(RANGE_END_TAG, single)))
    # Keys sort as the times they stand for; a day is no minute.
    return {key for key in keys if any(len(key) == len(first) and first <= key <= last for first, last in spans)}


def _request(now: datetime, first: str, last: str, *, chain: str = REPAIR, priority: int = 3) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"{first}/{last}@{now:%Y-%m-%dT%H}",
        tags={**range_tags(first, last), CHAIN_TAG: chain, PRIORITY_TAG: str(priority)},
    )


def _closed_days(settings: Settings, now: datetime) -> list[date]:
    """Days with readings that were over at `now`, oldest first."""
    return [day for day in days_with_readings(settings.paths) if day < now.date()]
