"""Jobs: which assets run together. When they run is said by sensors and `schedules.py`."""

from collections.abc import Iterator
from datetime import datetime

import dagster as dg

from iot_pipeline.anomalies.assets import EVENTS, FLAGS
from iot_pipeline.anomalies.daily.assets import DAY_FLAGS
from iot_pipeline.anomalies.evaluation.assets import EVALUATION
from iot_pipeline.anomalies.models.assets import MODEL
from iot_pipeline.clock import DAY, day_key, day_start, minute_key, utc_now
from iot_pipeline.operations.housekeeping import do_chores, find_chores
from iot_pipeline.operations.retention import apply_retention, plan_retention
from iot_pipeline.partitions import MINUTE_POOL
from iot_pipeline.readings.assets import DEVICES, QUARANTINE, READINGS
from iot_pipeline.readings.backlog import decode_backlog, undecoded
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.settings import Settings
from iot_pipeline.stats.assets import DAY_ASSETS, MINUTE_ASSETS
from iot_pipeline.stats.checks import DATA_TIME_CHECKS

# A sensor reports them each minute. As a step of a run each makes Dagster list all partitions of its asset, which are
# 20,000 minutes: half a second.
DATA_TIME = dg.AssetSelection.checks(*DATA_TIME_CHECKS)

minute_chain = dg.define_asset_job(
    "minute_chain",
    selection=dg.AssetSelection.assets(READINGS, QUARANTINE, DEVICES, *MINUTE_ASSETS, FLAGS, EVENTS) - DATA_TIME,
    description="Landed messages to readings, statistics, flags and events, for a range of minutes.",
)
late_minutes = dg.define_asset_job(
    "late_minutes",
    selection=dg.AssetSelection.assets(*MINUTE_ASSETS) - DATA_TIME,
    description="Statistics of minutes that late readings touched.",
)
late_flags = dg.define_asset_job(
    "late_flags",
    selection=dg.AssetSelection.assets(FLAGS, EVENTS),
    description="Flags and events of minutes whose look-back holds a minute that changed.",
)
day_chain = dg.define_asset_job(
    "day_chain",
    selection=dg.AssetSelection.assets(*DAY_ASSETS, MODEL, DAY_FLAGS) - DATA_TIME,
    description=(
        "Seal days, then hours, days, months and years, then the model that flags the day's minutes, and the flags of "
        "the day as a whole."
    ),
)
late_day_flags = dg.define_asset_job(
    "late_day_flags",
    selection=dg.AssetSelection.assets(DAY_FLAGS),
    description="Flags of days that look back at a day that changed.",
)
evaluation = dg.define_asset_job(
    "evaluation",
    selection=dg.AssetSelection.assets(EVALUATION),
    description="How right the flags of the last hours are, and the detectors on labelled sets.",
)
ASSET_JOBS = [minute_chain, late_minutes, late_flags, day_chain, late_day_flags, evaluation]


# Runs in one night; a backlog is worked off in a few.
MOST_RUNS_FORGOTTEN = 2000
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
RECORDS_AT_ONCE = 1000
# Landing minutes that one run decodes; a longer backlog takes several.
MOST_OLD_MINUTES = 1440


def old_landing_job(settings: Settings) -> dg.JobDefinition:
    """Decode landing minutes that are older than the minute window and were never decoded."""

    @dg.op(pool=MINUTE_POOL)
    def decode_old_landing(context: dg.OpExecutionContext) -> None:
        waiting = undecoded(settings.paths, before=settings.first_minute)
        taken = waiting[:MOST_OLD_MINUTES]
        for built in decode_backlog(settings, load_mappings(settings.mappings), taken):
            context.log.info(
                "decoded %d messages of %s to %s into %d readings",
                sum(minute.messages for minute in built),
                minute_key(built[0].minute),
                minute_key(built[-1].minute),
                sum(minute.readings for minute in built),
            )
        context.log.info("%d minutes decoded, %d wait for the next run", len(taken), len(waiting) - len(taken))

    @dg.job(
        name="old_landing",
        description="Decodes what landed before the minute window and was never decoded, straight to its days.",
    )
    def old_landing() -> None:
        decode_old_landing()

    return old_landing


class HousekeepingConfig(dg.Config):
    """Launchpad configuration of the housekeeping job."""

    preview: bool = False
    """Only tell what would be done."""


def housekeeping_job(settings: Settings) -> dg.JobDefinition:
    """Delete what is superseded or older than its level is kept, and forget runs that nobody needs."""

    @dg.op
    def tidy(context: dg.OpExecutionContext, config: HousekeepingConfig) -> None:
        now = utc_now()
        chores = find_chores(settings.paths, now)
        plans = plan_retention(settings, now)
        before = runs_kept_since(settings, now)
        old = forgettable_runs(context.instance, before)
        context.log.info(
            "%s %d superseded files, %d run folders and %d learned models, forgetting %d runs before %s",
            "would remove" if config.preview else "removing",
            len(chores.superseded),
            len(chores.run_folders),
            len(chores.models),
            len(old),
            day_key(before),
        )
        for plan in plans:
            context.log.info(
                "%s kept for %s days: %d days to go, %d held back %s",
                plan.level,
                plan.keep_days or "all",
                len(plan.days),
                len(plan.held),
                plan.why_held,
            )
        if config.preview:
            return
        do_chores(settings.paths, chores, now)
        apply_retention(settings, plans)
        for run_id in old:
            context.instance.delete_run(run_id)

    @dg.job(name="housekeeping", description="Deletes and forgets what is no longer needed or kept.")
    def housekeeping() -> None:
        tidy()

    return housekeeping


def runs_kept_since(settings: Settings, now: datetime) -> datetime:
    """Runs that ended before this instant may be forgotten: never runs of the minute window."""
    days = settings.retention_runs_days
    if days is None:
        return settings.first_minute
    return min(settings.first_minute, day_start(now.date() - days * DAY))


def forgettable_runs(instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Ended runs before `before` that no status depends on, at most `MOST_RUNS_FORGOTTEN`.

    Deleting a run erases the status of the partitions it made. Minutes of old runs are out of the window, but
    days are there for ever: the run that made a day last stays, else the repair would build all of history again.
    """
    ended = instance.get_run_ids(filters=dg.RunsFilter(updated_before=before, statuses=ENDED))
    if not ended:
        return []
    needed = {run for asset in (*DAY_ASSETS, DAY_FLAGS) for run in _runs_that_made(instance, asset)}
    return [run for run in ended if run not in needed][:MOST_RUNS_FORGOTTEN]


def _runs_that_made(instance: dg.DagsterInstance, asset: dg.AssetKey) -> Iterator[str]:
    """The run of the latest materialisation of each partition."""
    latest = instance.get_latest_storage_id_by_partition(asset, dg.DagsterEventType.ASSET_MATERIALIZATION)
    ids = sorted(latest.values())
    for start in range(0, len(ids), RECORDS_AT_ONCE):
        part = ids[start : start + RECORDS_AT_ONCE]
        wanted = dg.AssetRecordsFilter(asset_key=asset, storage_ids=part)
        for record in instance.fetch_materializations(wanted, limit=len(part)).records:
            yield record.run_id
