"""Ask a broker what it is, what it allows and what it keeps for a client that is away.

Judging the answers is `doctor/broker.py`'s; the collector's own connection is in `sources/`. Every
connection of a probe has an id of its own, and no session of it remains.
"""

import ssl
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from paho.mqtt.client import Client, ConnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.errors import BrokerUnavailable
from iot_pipeline.settings import Settings

TIMEOUT_SECONDS = 5.0
# MQTT 5, 3.2.2.3.3: a broker that names no limit takes this many.
NO_RECEIVE_LIMIT = 65_535
# Mosquitto keeps 1,000 by default.
QUEUE_PROBE = 1_200
QUEUE_PROBE_QOS_0 = 10
PROBE_SECONDS = 15.0
# So long nothing more has come when all has: with a small window a busy broker pauses for a second.
QUIET_SECONDS = 3.0
# Collectors subscribe to `#`, which leaves out topics that begin with `$`: the probe is never landed.
PROBE_TOPIC = "$iot-doctor/{}"
FIGURES = "$SYS/broker/"
NEEDED_FIGURES = {"version", "publish/messages/dropped", "clients/disconnected", "store/messages/count"}


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
    maximum_packet: int | None = None
    """Bytes of the largest packet it takes; None when it names no limit."""


@dataclass(frozen=True, slots=True)
class Kept:
    """What came of messages for a client that was away, of `QUEUE_PROBE` with QoS 1 and some with QoS 0."""

    qos_1: int
    qos_0: int


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
    try:
        _prepare(client, settings)
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
        maximum_packet=getattr(properties, "MaximumPacketSize", None),
    )


def figures(settings: Settings) -> dict[str, str]:
    """What the broker publishes of itself below `$SYS/broker/`, by the rest of the topic; may be nothing."""
    found: dict[str, str] = {}
    complete = threading.Event()

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        found[message.topic.removeprefix(FIGURES)] = message.payload.decode(errors="replace")
        if found.keys() >= NEEDED_FIGURES:
            complete.set()

    with _session(settings, f"iot-doctor-{uuid.uuid4().hex[:8]}", clean=True) as client:
        client.on_message = on_message
        _subscribed(client, f"{FIGURES}#", qos=0)
        # They are retained, so they come at once or not at all.
        complete.wait(1.0)
    return found


def kept_for_an_absent_client(settings: Settings) -> Kept | None:
    """Send small messages to a session that is away, come back and count; None when the broker forbids it.

    Raises:
        OSError: no connection.
        BrokerUnavailable: none any more.
    """
    name = f"iot-doctor-{uuid.uuid4().hex[:8]}"
    topic = PROBE_TOPIC.format(name)
    try:
        with _session(settings, name, clean=False) as absent:
            if not _subscribed(absent, topic, qos=1):
                return None
        return _delivered_later(settings, name) if _published(settings, topic) else None
    finally:
        end_session(settings, name)


def _published(settings: Settings, topic: str) -> bool:
    """Publish the probe; whether the broker acknowledged all of it in good time."""
    deadline = time.monotonic() + PROBE_SECONDS
    with _session(settings, f"iot-doctor-{uuid.uuid4().hex[:8]}", clean=True) as sender:
        for _ in range(QUEUE_PROBE_QOS_0):
            sender.publish(topic, b"0", qos=0)
        sent = [sender.publish(topic, b"1", qos=1) for _ in range(QUEUE_PROBE)]
        try:
            for one in sent:
                one.wait_for_publish(max(deadline - time.monotonic(), 0.0))
            return sent[-1].is_published()
        except RuntimeError:  # paho's word for a connection that the broker has closed: some do for such topics.
            return False


def _delivered_later(settings: Settings, client_id: str) -> Kept:
    """Come back as the client that was away, and count what is delivered until nothing more comes."""
    got: list[bytes] = []
    complete, more = threading.Event(), threading.Event()

    def on_message(_client: Client, _userdata: object, message: MQTTMessage) -> None:
        got.append(bytes(message.payload))
        more.set()
        if got.count(b"1") >= QUEUE_PROBE:
            complete.set()

    with _session(settings, client_id, clean=False, on_message=on_message):
        while not complete.is_set() and more.wait(QUIET_SECONDS):
            more.clear()
    return Kept(got.count(b"1"), got.count(b"0"))


def end_session(settings: Settings, client_id: str) -> None:
    """Make the broker drop the session of `client_id` and all messages that it keeps for it.

    Raises:
        BrokerUnavailable: there is no connection.
    """
    try:
        with _session(settings, client_id, clean=True):
            pass  # MQTT 3.1.1, 3.1.2.4: connecting with a clean session discards the one before.
    except OSError as error:
        raise BrokerUnavailable(
            f"no connection to {settings.broker_url}: {error.strerror or error}; the session is as it was"
        ) from error


@contextmanager
def _session(
    settings: Settings,
    client_id: str,
    *,
    clean: bool,
    on_message: Callable[[Client, object, MQTTMessage], None] | None = None,
) -> Iterator[Client]:
    """A connected MQTT 3.1.1 client whose loop runs. Raises OSError when there is no connection."""
    connected = threading.Event()
    client = Client(
        CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean, protocol=MQTTProtocolVersion.MQTTv311
    )
    client.on_connect = lambda *_: connected.set()
    client.on_message = on_message
    _prepare(client, settings)
    client.connect(settings.broker_host, settings.broker_port)
    client.loop_start()
    try:
        if not connected.wait(TIMEOUT_SECONDS):
            raise TimeoutError("the broker does not answer")
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def _subscribed(client: Client, topic: str, *, qos: int) -> bool:
    """Subscribe and wait; whether the broker granted it."""
    answered = threading.Event()
    granted: list[bool] = []

    def on_subscribe(
        _client: Client, _userdata: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        granted.append(not reasons[0].is_failure)
        answered.set()

    client.on_subscribe = on_subscribe
    client.subscribe(topic, qos)
    answered.wait(TIMEOUT_SECONDS)
    return granted == [True]


def _prepare(client: Client, settings: Settings) -> None:
    client.connect_timeout = TIMEOUT_SECONDS
    if settings.broker_username is not None:
        password = settings.broker_password
        client.username_pw_set(settings.broker_username, password.get_secret_value() if password else None)
    if settings.broker_tls:
        client.tls_set_context(ssl.create_default_context(cafile=settings.broker_ca_file))
