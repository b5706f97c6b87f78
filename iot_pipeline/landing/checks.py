"""Checks of the intake: is the collector alive, connected and keeping up.

The verdict is a pure function of heartbeats; the sensor reports it every minute without a run,
and anyone can execute it from the UI.
"""

from datetime import datetime, timedelta

import dagster as dg

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.assets import LANDING
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, read_heartbeats
from iot_pipeline.settings import Settings

ALIVE = "collector_alive"
STALE_AFTER = timedelta(seconds=15)


def collector_verdict(heartbeats: list[CollectorHeartbeat], now: datetime) -> tuple[bool, dict[str, dg.MetadataValue]]:
    """Whether every known collector reported lately and is connected, and what it last said."""
    metadata: dict[str, dg.MetadataValue] = {}
    healthy = bool(heartbeats)
    for beat in heartbeats:
        age = beat.age(now)
        fresh = age <= STALE_AFTER
        healthy = healthy and fresh and beat.connected
        # Plain numbers, so that the UI plots them over time.
        metadata[f"{beat.collector}/heartbeat_age_seconds"] = dg.MetadataValue.float(round(age.total_seconds(), 1))
        metadata[f"{beat.collector}/unacked"] = dg.MetadataValue.int(beat.unacked)
        metadata[beat.collector] = dg.MetadataValue.json(
            {
                "connected": beat.connected,
                "broker": beat.broker,
                "messages": beat.messages,
                "reconnects": beat.reconnects,
                "last_error": beat.last_error,
            }
        )
    if not heartbeats:
        metadata["missing"] = dg.MetadataValue.text("no collector has run on this data folder; start it with `iot up`")
    return healthy, metadata


def collector_evaluation(settings: Settings) -> dg.AssetCheckEvaluation:
    """The verdict of this moment, as it is reported without a run."""
    healthy, metadata = collector_verdict(read_heartbeats(settings.paths), utc_now())
    return dg.AssetCheckEvaluation(asset_key=LANDING, check_name=ALIVE, passed=healthy, metadata=metadata)


def landing_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The same verdict as an executable check."""

    @dg.asset_check(
        asset=LANDING,
        name=ALIVE,
        description="Every collector reported within 15 s and is connected to its broker.",
    )
    def collector_alive() -> dg.AssetCheckResult:
        evaluation = collector_evaluation(settings)
        return dg.AssetCheckResult(passed=evaluation.passed, metadata=evaluation.metadata)

    return [collector_alive]
