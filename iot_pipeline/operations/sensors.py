"""Sensors about the product itself. Those that ask for runs are with the data that they follow.

A run whose worker was killed together with everything else (SIGKILL of `iot up`, a power cut) stays
`started` in Dagster's history: the launcher of local processes cannot be asked whether a worker lives.
Left alone, it would hold up its chain for `max_runtime_seconds`, two hours.
"""

from datetime import datetime

import dagster as dg

from iot_pipeline.operations.runstate import read_report
from iot_pipeline.settings import Settings

WITH_A_WORKER = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
GONE = (
    "The `iot up` that this run belonged to ended without it (killed, or a power cut), and its worker with it. "
    "What it has written stays; Dagster runs it once more, and after that repair_minutes and repair_days would."
)


def abandoned_runs_sensor(settings: Settings) -> dg.SensorDefinition:
    """End runs whose worker went with an earlier `iot up`, so that they are retried and hold up nothing."""

    @dg.sensor(
        name="abandoned_runs",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends runs whose worker went with an earlier `iot up`, so that they are retried at once.",
    )
    def abandoned_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        report = read_report(settings.paths)
        if report is None or not report.alive:
            return dg.SkipReason("no `iot up` on this data folder: nothing says which workers are gone")
        ended = end_abandoned_runs(context.instance, before=report.started_at)
        return dg.SkipReason(f"ended {len(ended)} runs whose worker is gone: {', '.join(ended) or 'none'}")

    return abandoned_runs


def end_abandoned_runs(instance: dg.DagsterInstance, *, before: datetime) -> list[str]:
    """Report runs as failed that have stood as they are since before the present `iot up`; their ids.

    By then `iot up` has ended all that an earlier one left behind, so no worker of theirs can live.
    """
    ended = []
    for record in instance.get_run_records(dg.RunsFilter(statuses=WITH_A_WORKER, updated_before=before)):
        run = record.dagster_run
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, GONE)
        else:
            instance.report_run_failed(run, GONE)
        ended.append(run.run_id)
    return ended
