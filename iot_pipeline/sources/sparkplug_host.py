"""A Sparkplug B Host Application as a `Source`: announces itself, receives edge nodes, asks for rebirths.

The connection and what the specification wants published on it; the sessions of edge nodes are
`protocols/sparkplug_session.py`'s and payloads are decoded much later. Everything received is handed
on, in the order of the nodes' sequence numbers: births, data, deaths, commands and STATE alike.
"""

import time
from collections.abc import Callable, Sequence
from datetime import datetime

import structlog
from paho.mqtt.client import Client, ConnectFlags, MQTTMessage, MQTTMessageInfo
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError
from iot_pipeline.landing.message import Message
from iot_pipeline.protocols.sparkplug_b import (
    NAMESPACE,
    DataType,
    MessageType,
    Metric,
    Payload,
    SparkplugError,
    SparkplugTopic,
    encode_payload,
)
from iot_pipeline.protocols.sparkplug_session import HostSessions, Instant, NodeKey
from iot_pipeline.protocols.sparkplug_state import HostState, decode_state, encode_state, state_topic
from iot_pipeline.settings import Settings
from iot_pipeline.sources.paho_connection import PahoConnection
from iot_pipeline.sources.source import Receipt, Received, SourceState
from iot_pipeline.sources.sparkplug_state import SparkplugHostState, states_of, totals_of, write_host_state
from iot_pipeline.sources.standing import CLOSE_SECONDS

log = structlog.get_logger(__name__)

NAME = "sparkplug"
QOS = 1
REBIRTH = "Node Control/Rebirth"
UNREADABLE_TOPIC = "\N{REPLACEMENT CHARACTER}"
STATE_FILE_SECONDS = 1.0


def rebirth_request(now: datetime) -> bytes:
    """Payload of the NCMD that makes an edge node publish its births again."""
    now_ms = int(now.timestamp() * 1000)
    return encode_payload(Payload(now_ms, metrics=[Metric(REBIRTH, None, now_ms, DataType.BOOLEAN, value=True)]))


class SparkplugHost:
    """One Host Application at one broker; its client id is the collector's id.

    Nothing is acknowledged late: Sparkplug wants a clean session, in which nothing comes twice. What
    is lost on the way shows as a gap in sequence numbers, and the node is asked to be born again.
    `received_at` is the instant at which a message is handed on, so it grows in landing order; a
    message that waited for an earlier one waited for at most the reorder timeout.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare from the settings; nothing is opened yet.

        Raises:
            ConfigurationError: no host id is set.
        """
        if not settings.sparkplug_host_id:
            raise ConfigurationError(
                "IOT_SPARKPLUG_HOST_ID is empty, so nothing was started: set an id that no other host uses"
            )
        self._host_id = settings.sparkplug_host_id
        self._topic = state_topic(self._host_id)
        # The first holds the second; the specification wants both, so some brokers deliver STATE twice.
        self._filters = [f"{NAMESPACE}/#", self._topic]
        self._collector = settings.collector_id
        self._paths = settings.paths
        self._sessions: HostSessions[Message] = HostSessions(
            reorder_seconds=settings.sparkplug_reorder_seconds, rebirth_seconds=settings.sparkplug_rebirth_seconds
        )
        self._connection = PahoConnection(settings, settings.collector_id, prepare=self._prepare, lost=self._on_lost)
        self._announced_ms = 0
        self._arrived: list[Received] = []
        self._duplicates = 0
        self._closing = False
        self._subscribed = False
        self._since = utc_now()
        self._changed = True
        self._next_state_file = 0.0
        self._totals = totals_of(self._sessions)

    @property
    def address(self) -> str:
        """`host:port` of the broker."""
        return self._connection.address

    @property
    def state(self) -> SourceState:
        """Counters and condition, as of the last call."""
        return SourceState(
            connected=self._connection.standing.online,
            reconnects=self._connection.standing.reconnects,
            duplicates_flagged=self._duplicates,
            problem=self._connection.standing.problem,
            counts=self._totals,
        )

    def poll(self, timeout: float) -> list[Received]:
        """Connect if it is time to, then return what may be handed on within `timeout` seconds."""
        self._connection.standing.reading()
        deadline = self._sessions.deadline
        if deadline is not None:
            timeout = min(timeout, max(deadline - time.monotonic(), 0.0))
        self._connection.step(timeout)
        self._hand_on(self._sessions.expire(_now()))
        self._request_rebirths()
        self._tell_state()
        arrived, self._arrived = self._arrived, []
        return arrived

    def rest(self, timeout: float) -> None:
        """Wait without reading. When that lasts, the host goes offline in good order until there is room."""
        if self._connection.standing.rested() and self._connection.standing.online:
            log.warning("host_rested", broker=self.address, outcome="announced offline until messages can be landed")
            self._go_offline()
        self._connection.wait(timeout, read=False)

    def acknowledge(self, receipts: Sequence[Receipt]) -> None:
        """Nothing: see the class."""

    def wake(self) -> None:
        """Make a waiting `poll` or `rest` return now; any thread may call it."""
        self._connection.wake()

    def finish(self) -> list[Received]:
        """Announce the death of the host; what waited for an earlier message is handed on as it is."""
        self._go_offline()
        self._hand_on(self._sessions.disconnected(_now()))
        arrived, self._arrived = self._arrived, []
        return arrived

    def close(self) -> None:
        """Announce the death of the host, disconnect and release the sockets."""
        self._go_offline()
        self._connection.close()
        self._tell_state(at_once=True)

    def _prepare(self, client: Client) -> None:
        self._announced_ms = _milliseconds(utc_now())
        client.will_set(self._topic, self._certificate(online=False), qos=QOS, retain=True)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_unsubscribe = self._on_unsubscribe
        client.on_message = self._on_message

    def _certificate(self, *, online: bool) -> bytes:
        return encode_state(HostState(online, self._announced_ms))

    def _on_connect(
        self, client: Client, _: object, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._connection.refuse(f"the broker refused the connection: {reason}")
            return
        log.info("broker_connected", broker=self.address, host_id=self._host_id)
        client.subscribe([(topic, QOS) for topic in self._filters])

    def _on_subscribe(
        self, _client: Client, _: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if any(reason.is_failure for reason in reasons):
            self._connection.refuse(f"the broker refused the topic filter {NAMESPACE}/#")
            return
        self._announce()
        self._connection.standing.up()
        self._since, self._changed = utc_now(), True

    def _announce(self) -> MQTTMessageInfo:
        return self._connection.client.publish(self._topic, self._certificate(online=True), qos=QOS, retain=True)

    def _go_offline(self) -> None:
        """Death first, then DISCONNECT: the broker then drops the will.

        Unsubscribed before that: closing a socket with unread messages resets the connection, and the
        broker may then see neither DISCONNECT nor reason to drop the will.
        """
        if self._connection.standing.online:
            client = self._connection.client
            self._closing, self._subscribed = True, True
            client.unsubscribe(self._filters)
            self._work_until(lambda: not self._subscribed)
            self._announced_ms = _milliseconds(utc_now())
            death = client.publish(self._topic, self._certificate(online=False), qos=QOS, retain=True)
            self._work_until(death.is_published)
        self._connection.disconnect()
        self._closing = False

    def _work_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._connection.standing.online and not done() and time.monotonic() < deadline:
            self._connection.step(0.1)

    def _on_unsubscribe(
        self, _client: Client, _: object, _mid: int, _reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self._subscribed = False

    def _on_lost(self) -> None:
        self._hand_on(self._sessions.disconnected(_now()))
        self._since, self._changed = utc_now(), True

    def _on_message(self, _client: Client, _: object, delivered: MQTTMessage) -> None:
        self._duplicates += delivered.dup
        try:
            topic = delivered.topic
        except UnicodeDecodeError:
            topic = UNREADABLE_TOPIC
        payload = bytes(delivered.payload)
        now = _now()
        message = Message(now.utc, NAME, topic, payload, delivered.qos, delivered.retain)
        self._changed = True
        self._hand_on(self._sessions.take(message, topic, payload, now, retained=delivered.retain))
        if topic == self._topic:
            self._own_state(payload, retained=delivered.retain)

    def _own_state(self, payload: bytes, *, retained: bool) -> None:
        """Whatever says that we are offline while we are not is answered at once, as edge nodes believe it."""
        try:
            told = decode_state(payload)
        except SparkplugError:
            return
        if not self._connection.standing.online or self._closing:
            return
        if not told.online:
            log.info("host_announced_again", topic=self._topic, offline_since_ms=told.timestamp)
            self._announce()
        elif told.timestamp != self._announced_ms and not retained:
            log.warning("host_id_not_unique", topic=self._topic, action="give one of the hosts another id")

    def _request_rebirths(self) -> None:
        if not self._connection.standing.online:
            return
        now = _now()
        for key in self._sessions.rebirths(now):
            self._request_rebirth(key, now)

    def _request_rebirth(self, key: NodeKey, now: Instant) -> None:
        group, node = key
        topic = SparkplugTopic(group, MessageType.NCMD, node)
        try:
            self._connection.client.publish(str(topic), rebirth_request(now.utc), qos=0, retain=False)
        except ValueError as error:  # A topic too long to be published although it was received.
            log.warning("rebirth_not_requested", node=f"{group}/{node}", reason=str(error))
        else:
            log.info("rebirth_requested", node=f"{group}/{node}")

    def _hand_on(self, messages: Sequence[Message]) -> None:
        for message in messages:
            stamped = Message(utc_now(), NAME, message.topic, message.payload, message.qos, message.retain)
            self._arrived.append(Received(stamped, None))

    def _tell_state(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if not at_once and (not self._changed or now < self._next_state_file):
            return
        self._changed, self._next_state_file = False, now + STATE_FILE_SECONDS
        self._totals = totals_of(self._sessions)
        write_host_state(
            self._paths,
            SparkplugHostState(
                host_id=self._host_id,
                collector=self._collector,
                online=self._connection.standing.online,
                since=self._since,
                written_at=utc_now(),
                totals=self._totals,
                nodes=states_of(self._sessions),
            ),
        )


def _now() -> Instant:
    return Instant(time.monotonic(), utc_now())


def _milliseconds(instant: datetime) -> int:
    return int(instant.timestamp() * 1000)
