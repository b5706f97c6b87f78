"""Checks of the intake: is the collector alive, connected and keeping up.

The verdict is a pure function of heartbeats; the sensor reports it every minute without a run,
and anyone can execute it from the UI.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

import dagster as dg

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.assets import LANDING
from iot_pipeline.landing.collectors import collector_id, configured_kinds
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, read_heartbeats
from iot_pipeline.settings import Settings

ALIVE = "collector_alive"


def collector_verdict(
    heartbeats: Sequence[CollectorHeartbeat], expected: Collection[str], now: datetime
) -> tuple[bool, dict[str, dg.MetadataValue]]:
    """Whether every collector reported lately and is connected, and what each last said.

    `expected` are the ids that the settings ask for. Another one counts until it stops in good order.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    counted = [beat for beat in heartbeats if beat.collector in expected or not beat.stopped]
    missing = sorted(set(expected) - {beat.collector for beat in heartbeats})
    healthy = not missing
    for beat in counted:
        age = beat.age(now)
        healthy = healthy and beat.alive(now) and beat.connected
        # Plain numbers, so that the UI plots them over time.
        metadata[f"{beat.collector}/heartbeat_age_seconds"] = dg.MetadataValue.float(round(age.total_seconds(), 1))
        metadata[f"{beat.collector}/unacked"] = dg.MetadataValue.int(beat.unacked)
        metadata[beat.collector] = dg.MetadataValue.json(
            {
                "source": beat.source,
                "connected": beat.connected,
                "broker": beat.broker,
                "messages": beat.messages,
                "reconnects": beat.reconnects,
                "last_error": beat.last_error,
            }
        )
    if missing:
        never = f"never ran on this data folder: {', '.join(missing)}; start what the settings ask for with `iot up`"
        metadata["missing"] = dg.MetadataValue.text(never)
    return healthy, metadata


def collector_evaluation(settings: Settings) -> dg.AssetCheckEvaluation:
    """The verdict of this moment, as it is reported without a run."""
    expected = [collector_id(settings, kind) for kind in configured_kinds(settings)]
    healthy, metadata = collector_verdict(read_heartbeats(settings.paths), expected, utc_now())
    return dg.AssetCheckEvaluation(asset_key=LANDING, check_name=ALIVE, passed=healthy, metadata=metadata)


def landing_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The same verdict as an executable check."""

    @dg.asset_check(
        asset=LANDING,
        name=ALIVE,
        description="Every collector that the settings ask for reported within 15 s and is connected.",
    )
    def collector_alive() -> dg.AssetCheckResult:
        evaluation = collector_evaluation(settings)
        return dg.AssetCheckResult(passed=evaluation.passed, metadata=evaluation.metadata)

    return [collector_alive]
