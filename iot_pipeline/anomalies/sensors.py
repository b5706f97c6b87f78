"""The sensor that tells people of new anomaly events. What is told, to whom and how often is `notifying/`."""

import dagster as dg

from iot_pipeline.anomalies.notifying.telling import tell_new_events
from iot_pipeline.settings import Settings


def notices_sensor(settings: Settings) -> dg.SensorDefinition:
    """Tell over each configured channel of events that are new; history that is built again tells nobody."""

    @dg.sensor(
        name="notices",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Tells people of new anomaly events, once: log, webhook (IOT_NOTIFY_WEBHOOK), IOT_NOTIFY_TOPIC.",
    )
    def notices() -> dg.SkipReason:
        outcomes = tell_new_events(settings)
        told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
        return dg.SkipReason(told or "no new event to tell of")

    return notices
