"""Ask a broker what it is and what it allows, with one short connection and no subscription.

Judging the answer is `doctor.py`'s; the collector's own connection is in `sources/`.
"""

import ssl
import threading
import uuid
from dataclasses import dataclass

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.settings import Settings

TIMEOUT_SECONDS = 5.0
# MQTT 5, 3.2.2.3.3: a broker that names no limit takes this many.
NO_RECEIVE_LIMIT = 65_535


@dataclass(frozen=True, slots=True)
class BrokerAnswer:
    """What a broker said to one CONNECT."""

    refused: str | None
    """Why there is no connection; None when there is one."""
    receive_maximum: int | None = None
    """Unacknowledged QoS 1 messages it sends at most, by its CONNACK; None on MQTT 3.1.1.

    Strictly this is what it takes from us; Mosquitto uses one setting for both directions.
    """
    maximum_qos: int = 2


def probe(settings: Settings) -> BrokerAnswer:
    """Connect with MQTT 5 and, if that is refused, with 3.1.1; say what came of it."""
    answer = _connect(settings, MQTTProtocolVersion.MQTTv5)
    return answer if answer.refused is None else _connect(settings, MQTTProtocolVersion.MQTTv311)


def _connect(settings: Settings, version: MQTTProtocolVersion) -> BrokerAnswer:
    done = threading.Event()
    answers: list[BrokerAnswer] = []

    def on_connect(
        _client: Client, _userdata: object, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        answers.append(_read(reason, properties, version))
        done.set()

    client = Client(CallbackAPIVersion.VERSION2, client_id=f"iot-doctor-{uuid.uuid4().hex[:8]}", protocol=version)
    client.on_connect = on_connect
    client.on_disconnect = lambda *_: done.set()
    if settings.broker_username is not None:
        password = settings.broker_password
        client.username_pw_set(settings.broker_username, password.get_secret_value() if password else None)
    try:
        if settings.broker_tls:
            client.tls_set_context(ssl.create_default_context(cafile=settings.broker_ca_file))
        client.connect_timeout = TIMEOUT_SECONDS
        client.connect(settings.broker_host, settings.broker_port)
    except OSError as error:
        return BrokerAnswer(refused=error.strerror or str(error))
    client.loop_start()
    done.wait(TIMEOUT_SECONDS)
    client.disconnect()
    client.loop_stop()
    return answers[0] if answers else BrokerAnswer(refused="the connection was closed without an answer")


def _read(reason: ReasonCode, properties: Properties | None, version: MQTTProtocolVersion) -> BrokerAnswer:
    if reason.is_failure:
        return BrokerAnswer(refused=str(reason))
    if version != MQTTProtocolVersion.MQTTv5:
        return BrokerAnswer(refused=None)
    return BrokerAnswer(
        refused=None,
        # paho makes an attribute of each property that the broker sent, and of no other.
        receive_maximum=int(getattr(properties, "ReceiveMaximum", NO_RECEIVE_LIMIT)),
        maximum_qos=int(getattr(properties, "MaximumQoS", 2)),
    )
