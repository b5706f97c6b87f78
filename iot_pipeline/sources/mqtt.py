"""MQTT 3.1.1 over paho-mqtt as a `Source`: persistent session, QoS 1, acknowledged by hand.

No files and no payloads here. Only paho's public interface is used, with a loop of our own: one
thread reads, acknowledges and reconnects, so that nothing is shared between threads.
"""

import time
from collections.abc import Sequence

import structlog
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.settings import Settings
from iot_pipeline.sources.paho_connection import introduce
from iot_pipeline.sources.source import Receipt, Received, SourceState
from iot_pipeline.sources.standing import CLOSE_SECONDS, KEEPALIVE_SECONDS, Standing
from iot_pipeline.sources.subscriptions import Subscriptions
from iot_pipeline.sources.wakeup import Wakeup

log = structlog.get_logger(__name__)

NAME = "mqtt"
QOS = 1
# One packet is read per call of paho's `loop_read`; after this many, acknowledgements get their turn.
PACKETS_PER_POLL = 500
UNREADABLE_TOPIC = "\N{REPLACEMENT CHARACTER}"


class MqttSource:
    """One connection to one broker under a fixed client id, the collector's.

    The first `poll` connects. See `Source` for what the methods promise.
    """

    def __init__(self, settings: Settings) -> None:
        """Prepare the client from the settings of the broker; nothing is opened yet."""
        self._settings = settings
        self._filters = settings.topics
        self._client_id = settings.collector_id
        self._client = self._make_client()
        self._subscriptions = Subscriptions(settings.paths, settings.collector_id)
        self._standing = Standing(self.address, self._client_id)
        self._wakeup = Wakeup()
        self._arrived: list[Received] = []
        self._unacked: set[int] = set()
        self._duplicates = 0
        self._session_present: bool | None = None
        self._refusal: str | None = None

    @property
    def address(self) -> str:
        """`host:port` of the broker."""
        return self._settings.broker_address

    @property
    def state(self) -> SourceState:
        """Counters and condition, as of the last call."""
        return SourceState(
            connected=self._standing.online,
            reconnects=self._standing.reconnects,
            duplicates_flagged=self._duplicates,
            unacked=len(self._unacked),
            problem=self._standing.problem,
            session_present=self._session_present,
        )

    def poll(self, timeout: float) -> list[Received]:
        """Connect if it is time to, then return what arrives within `timeout` seconds."""
        self._standing.reading()
        self._standing.require_uncontested()
        if self._client.socket() is None and not self._standing.pause:
            self._connect()
        if self._client.socket() is None:
            self._wait(min(timeout, self._standing.pause), read=False)
        else:
            self._exchange(timeout)
        arrived, self._arrived = self._arrived, []
        return arrived

    def rest(self, timeout: float) -> None:
        """Wait without reading; the kernel's buffers fill and the broker queues."""
        if self._standing.rested() and self._client.socket() is not None:
            log.warning("connection_rested", broker=self.address, unacked=len(self._unacked))
            self._client.disconnect()
            self._standing.closed()
        self._wait(timeout, read=False)

    def acknowledge(self, receipts: Sequence[Receipt]) -> None:
        """Send PUBACK for each receipt of the present connection, in the given order."""
        for receipt in receipts:
            if receipt.connection != self._standing.attempt or receipt.packet not in self._unacked:
                continue
            if self._client.ack(receipt.packet, QOS) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return  # The connection ended; the broker delivers the rest again.
            self._unacked.discard(receipt.packet)

    def wake(self) -> None:
        """Make a waiting `poll` or `rest` return now; any thread may call it."""
        self._wakeup.wake()

    def finish(self) -> list[Received]:
        """Nothing: what was not handed on is not acknowledged, and the broker keeps it."""
        return []

    def close(self) -> None:
        """Send what is queued, disconnect and release the sockets."""
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._client.socket() is not None and self._client.want_write() and time.monotonic() < deadline:
            self._wait(0.1, read=False)
        if self._client.socket() is not None:
            self._client.disconnect()
        self._standing.closed()
        self._wakeup.close()

    def _make_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=False,
            protocol=MQTTv311,
            reconnect_on_failure=False,
            manual_ack=True,
        )
        introduce(client, self._settings)
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        return client

    def _connect(self) -> None:
        self._standing.begin()
        self._unacked.clear()
        self._refusal = None
        try:
            self._client.connect(self._settings.broker_host, self._settings.broker_port, KEEPALIVE_SECONDS)
        except (OSError, ValueError) as error:
            self._standing.refused(getattr(error, "strerror", None) or str(error))

    def _exchange(self, timeout: float) -> None:
        readable = self._wait(timeout, read=True)
        for _ in range(PACKETS_PER_POLL if readable else 0):
            before = len(self._arrived)
            self._client.loop_read()
            if len(self._arrived) == before:  # Nothing more, half a packet, or one that is no message.
                break
        self._client.loop_misc()
        if self._arrived:
            self._standing.progress()
        if self._client.socket() is not None and self._standing.overdue:
            self._refusal = self._refusal or "the broker did not answer in time"
            self._client.disconnect()

    def _wait(self, timeout: float, *, read: bool) -> bool:
        """Wait for the socket or a wake-up; write what is to be written. Whether the socket is readable."""
        readable, writable = self._wakeup.wait(
            timeout, self._client.socket(), read=read, write=self._client.want_write()
        )
        if writable:
            self._client.loop_write()
        return readable

    def _on_connect(
        self, client: Client, _: object, flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if reason.is_failure:
            self._refusal = f"the broker refused the connection: {reason}"
            return
        self._session_present = flags.session_present
        log.info("broker_connected", broker=self.address, session_present=flags.session_present)
        outdated = self._subscriptions.outdated(self._filters) if flags.session_present else []
        if outdated:
            log.info("unsubscribed", broker=self.address, topics=outdated)
            client.unsubscribe(outdated)
        client.subscribe([(topic, QOS) for topic in self._filters])

    def _on_subscribe(
        self, client: Client, _: object, _mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        refused = [topic for topic, reason in zip(self._filters, reasons, strict=False) if reason.is_failure]
        if refused:
            self._refusal = f"the broker refused the topic filters {', '.join(refused)}"
            client.disconnect()
            return
        self._subscriptions.remember(self._filters)
        self._standing.up()

    def _on_disconnect(
        self, _client: Client, _: object, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self._unacked.clear()
        if self._refusal is not None:
            self._standing.refused(self._refusal)
        elif reason.is_failure:
            self._standing.lost(f"connection lost: {reason}")
        else:
            self._standing.closed()

    def _on_message(self, _client: Client, _: object, delivered: MQTTMessage) -> None:
        self._duplicates += delivered.dup
        receipt: Receipt | None = None
        if delivered.qos > 0:
            # A number cannot mean another message before we acknowledged it: this one is in our
            # hands already, and the broker lost patience (NATS does after its `ack_wait`).
            if delivered.mid in self._unacked:
                return
            self._unacked.add(delivered.mid)
            receipt = Receipt(self._standing.attempt, delivered.mid)
        try:
            topic = delivered.topic
        except UnicodeDecodeError:
            topic = UNREADABLE_TOPIC
        message = Message(utc_now(), NAME, topic, bytes(delivered.payload), delivered.qos, delivered.retain)
        self._arrived.append(Received(message, receipt))
