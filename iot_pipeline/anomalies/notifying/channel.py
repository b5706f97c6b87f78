"""Ways in which people hear of an event: the log, a webhook, an MQTT topic.

Which events are told is `due.py`. A channel tries once; trying again is decided by who calls it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import httpx
import msgspec
import structlog
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from iot_pipeline.errors import TransientError
from iot_pipeline.settings import Settings
from iot_pipeline.sources.paho_connection import introduce

log = structlog.get_logger(__name__)

SECONDS = 5.0
Notice = Mapping[str, str | float | int | bool | None]
"""What is told: names and values that JSON knows; `sentence` is for people, `event_id` tells repetitions apart."""


_LOGGED = ("severity", "sentence", "opened_at", "event_id", "further_events")


class NotTold(TransientError):
    """A notice did not arrive. The event itself is stored and shown all the same."""


class Channel(Protocol):
    """One way to tell people."""

    @property
    def name(self) -> str:
        """Stable name, for the journal."""

    def tell(self, notice: Notice) -> None:
        """Tell it, or raise NotTold."""


@dataclass(frozen=True, slots=True)
class LogChannel:
    """A warning in the log."""

    name: str = "log"

    def tell(self, notice: Notice) -> None:
        """Write one line: the sentence, and what the event is found by. Names in it are quoted, as all values are."""
        log.warning("anomaly_event", **{name: notice[name] for name in _LOGGED if name in notice})


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """An HTTP POST of JSON. The address may hold a secret and is not told to anybody.

    `Idempotency-Key` is the event's id, so that a receiver can tell a repetition.
    """

    url: str
    name: str = "webhook"

    def tell(self, notice: Notice) -> None:
        """Send it; only an answer of 2xx within five seconds counts."""
        try:
            answer = httpx.post(
                self.url,
                content=msgspec.json.encode(notice),
                headers={"Content-Type": "application/json", "Idempotency-Key": str(notice["event_id"])},
                timeout=SECONDS,
                follow_redirects=False,
            )
        except httpx.HTTPError as error:
            # The text of httpx's errors can hold the address.
            raise NotTold(f"the webhook could not be reached: {type(error).__name__}") from None
        if not answer.is_success:
            raise NotTold(f"the webhook answered {answer.status_code}")


@dataclass(frozen=True, slots=True)
class MqttChannel:
    """A message of QoS 1, not retained, on one topic of the broker that is collected from."""

    settings: Settings
    topic: str
    name: str = "mqtt"

    def tell(self, notice: Notice) -> None:
        """Connect, publish, wait for the broker's acknowledgement, disconnect."""
        client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTv311, reconnect_on_failure=False)
        introduce(client, self.settings)
        try:
            client.connect_timeout = SECONDS
            client.connect(self.settings.broker_host, self.settings.broker_port)
            client.loop_start()
            published = client.publish(self.topic, msgspec.json.encode(notice), qos=1)
            published.wait_for_publish(SECONDS)
            if not published.is_published():
                raise NotTold("the broker did not acknowledge the notice in time")
        except (OSError, ValueError, RuntimeError) as error:
            raise NotTold(f"the broker could not be reached: {error}") from error
        finally:
            client.disconnect()
            client.loop_stop()


def channels(settings: Settings) -> tuple[Channel, ...]:
    """Those that the settings name; the log always."""
    chosen: list[Channel] = [LogChannel()]
    if settings.notify_webhook is not None:
        chosen.append(WebhookChannel(settings.notify_webhook.get_secret_value()))
    if settings.notify_topic is not None:
        chosen.append(MqttChannel(settings, settings.notify_topic))
    return tuple(chosen)
