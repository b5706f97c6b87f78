"""The sensor that turns landed batches into runs of the minute chain.

It asks only for closed minutes and keeps one run in flight: what lands meanwhile waits and makes
the next range longer, so that a backlog is worked off in few runs instead of many.
"""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

import dagster as dg

from iot_pipeline.clock import minute_key, utc_now
from iot_pipeline.landing.assets import LANDING
from iot_pipeline.landing.closing import IntakeCursor, closed_through, next_request, note_landed
from iot_pipeline.landing.heartbeat import read_heartbeats
from iot_pipeline.landing.ledger import LedgerLine, read_since
from iot_pipeline.partitions import CHAIN_TAG, PRIORITY_TAG, AssetJob, range_tags
from iot_pipeline.settings import Settings

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def runs_in_flight(instance: dg.DagsterInstance, chain: str) -> bool:
    """Whether a run that a sensor asked for on `chain` has not ended yet."""
    unfinished = dg.RunsFilter(tags={CHAIN_TAG: chain}, statuses=UNFINISHED)
    return bool(instance.get_run_ids(filters=unfinished, limit=1))


def landed_minutes_sensor(settings: Settings, job: AssetJob) -> dg.SensorDefinition:
    """Ask for the minute chain over closed landing minutes, and report what landed."""

    @dg.sensor(
        name="landed_minutes",
        job=job,
        minimum_interval_seconds=5,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Runs the minute chain over landing minutes as they close; reports what landed.",
    )
    def landed_minutes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        cursor = IntakeCursor.load(context.cursor)
        if runs_in_flight(context.instance, "minute"):
            return dg.SkipReason("a run of the minute chain is in flight; what lands meanwhile joins the next one")
        now = utc_now()
        heartbeats = read_heartbeats(settings.paths)
        lines, ledger = read_since(settings.paths, cursor.ledger)
        noted = note_landed(cursor, (line.minute for line in lines), ledger)
        closed = closed_through(now, heartbeats, intake_delay=settings.intake_delay)
        request, after = next_request(noted, closed, settings.first_minute, settings.catch_up_minutes)
        if request is None:
            # The cursor stays, so that the next report covers these lines as well.
            return dg.SkipReason("no landing minute has closed since the last run")
        if noted.next_minute is not None and noted.next_minute < settings.first_minute:
            context.log.warning(
                "landing minutes before %s have no partition any more; job old_landing decodes them within the hour",
                minute_key(settings.first_minute),
            )
        first, last = minute_key(request.first), minute_key(request.last)
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(
                    # A tick that dies before its cursor is stored asks again with the same key: no second run.
                    run_key=f"{first}/{last}@{sha256(noted.dump().encode()).hexdigest()[:12]}",
                    tags={**range_tags(first, last), CHAIN_TAG: "minute", PRIORITY_TAG: "10"},
                )
            ],
            cursor=after.dump(),
            asset_events=_landed(lines, now),
        )

    return landed_minutes


def _landed(lines: Sequence[LedgerLine], now: datetime) -> list[dg.AssetMaterialization]:
    """One materialisation for all batches since the last report; it moves the freshness of landing."""
    if not lines:
        return []
    newest = max(line.received_last for line in lines)
    return [
        dg.AssetMaterialization(
            LANDING,
            metadata={
                "dagster/row_count": sum(line.rows for line in lines),
                "payload_bytes": sum(line.bytes for line in lines),
                "batches": len(lines),
                "minutes": f"{minute_key(min(line.minute for line in lines))} to "
                f"{minute_key(max(line.minute for line in lines))}",
                "newest_received_at": newest.isoformat(),
                "lag_seconds": round((now - newest).total_seconds(), 1),
            },
        )
    ]
