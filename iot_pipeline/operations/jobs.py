"""Jobs: which assets run together. When they run is said by sensors and `schedules.py`."""

import dagster as dg

from iot_pipeline.anomalies.assets import FLAGS
from iot_pipeline.clock import day_key, utc_now
from iot_pipeline.operations.housekeeping import do_chores, find_chores
from iot_pipeline.readings.assets import DEVICES, QUARANTINE, READINGS
from iot_pipeline.settings import Settings
from iot_pipeline.stats.assets import DAY_ASSETS, MINUTE_ASSETS

# Runs in one night; a backlog is worked off in a few.
MOST_RUNS_FORGOTTEN = 2000
ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]

minute_chain = dg.define_asset_job(
    "minute_chain",
    selection=dg.AssetSelection.assets(READINGS, QUARANTINE, DEVICES, *MINUTE_ASSETS, FLAGS),
    description="Landed messages to readings, statistics and flags, for a range of minutes.",
)
late_minutes = dg.define_asset_job(
    "late_minutes",
    selection=dg.AssetSelection.assets(*MINUTE_ASSETS),
    description="Statistics of minutes that late readings touched.",
)
late_flags = dg.define_asset_job(
    "late_flags",
    selection=dg.AssetSelection.assets(FLAGS),
    description="Flags of minutes whose look-back holds a minute that changed.",
)
day_chain = dg.define_asset_job(
    "day_chain",
    selection=dg.AssetSelection.assets(*DAY_ASSETS),
    description="Seal days, then hours, days, months and years.",
)
ASSET_JOBS = [minute_chain, late_minutes, late_flags, day_chain]


class HousekeepingConfig(dg.Config):
    """Launchpad configuration of the housekeeping job."""

    preview: bool = False
    """Only tell what would be done."""


def housekeeping_job(settings: Settings) -> dg.JobDefinition:
    """Delete what is superseded and forget runs of minutes that are gone.

    Deleting a run erases the status of its partitions, so only runs older than the minute window go.
    """

    @dg.op
    def tidy(context: dg.OpExecutionContext, config: HousekeepingConfig) -> None:
        now = utc_now()
        chores = find_chores(settings.paths, now)
        old = context.instance.get_run_ids(
            filters=dg.RunsFilter(updated_before=settings.first_minute, statuses=ENDED), limit=MOST_RUNS_FORGOTTEN
        )
        context.log.info(
            "%s %d superseded files and %d run folders, forgetting %d runs before %s",
            "would remove" if config.preview else "removing",
            len(chores.superseded),
            len(chores.run_folders),
            len(old),
            day_key(settings.first_minute),
        )
        if config.preview:
            return
        do_chores(settings.paths, chores, now)
        for run_id in old:
            context.instance.delete_run(run_id)

    @dg.job(name="housekeeping", description="Deletes and forgets what is no longer needed; never landing.")
    def housekeeping() -> None:
        tidy()

    return housekeeping
