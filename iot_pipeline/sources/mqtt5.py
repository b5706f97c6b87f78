"""MQTT 5 as a `Source`, for high rates of single messages: the same promises as `mqtt.py`, at a fraction of its cost.

No files and no payloads here. Bytes and packets are `mqtt5_wire.py`'s. One thread reads, acknowledges
and reconnects; acknowledgements of a batch leave in one write, in order of arrival.
"""

import time
from collections.abc import Sequence

import mqtt5
import structlog

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError
from iot_pipeline.landing.message import Message
from iot_pipeline.settings import Settings
from iot_pipeline.sources.mqtt5_wire import OlderProtocol, ProtocolError, Salvaged, Wire
from iot_pipeline.sources.source import Receipt, Received, SourceState
from iot_pipeline.sources.standing import CLOSE_SECONDS, KEEPALIVE_SECONDS, Standing
from iot_pipeline.sources.subscriptions import Subscriptions
from iot_pipeline.sources.wakeup import Wakeup

log = structlog.get_logger(__name__)

NAME = "mqtt"
# "Does not end": the broker keeps the session until it is told otherwise, as with MQTT 3.1.1.
NO_EXPIRY = 0xFFFF_FFFF
# Mosquitto allows 20 unless it is configured, and then drops what does not fit into its queue of 1,000.
SMALL_WINDOW = 1_000
SUBSCRIBE_ID, UNSUBSCRIBE_ID = 1, 2
FAILURE = 0x80


class Mqtt5Source:
    """One connection to one broker under a fixed client id, the collector's.

    The first `poll` connects. See `Source` for what the methods promise.
    """

    def __init__(self, settings: Settings) -> None:
        """Take the settings of the broker; nothing is opened yet."""
        self._settings = settings
        self._client_id = settings.collector_id
        self._filters = settings.topics
        self._subscriptions = Subscriptions(settings.paths, settings.collector_id)
        self._standing = Standing(self.address, self._client_id)
        self._wakeup = Wakeup()
        self._wire: Wire | None = None
        self._arrived: list[Received] = []
        self._unacked: set[int] = set()
        self._duplicates = 0
        self._session_present: bool | None = None
        self._window: int | None = None
        self._keepalive = float(KEEPALIVE_SECONDS)
        self._heard_at = self._pinged_at = 0.0

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
            window=self._window,
            session_present=self._session_present,
        )

    def poll(self, timeout: float) -> list[Received]:
        """Connect if it is time to, then return what arrives within `timeout` seconds.

        Raises:
            ConfigurationError: the broker does not know MQTT 5, or another client uses our id.
        """
        self._standing.reading()
        self._standing.require_uncontested()
        if self._wire is None and not self._standing.pause:
            self._connect()
        if self._wire is None:
            self._wakeup.wait(min(timeout, self._standing.pause), None, read=False, write=False)
        else:
            self._exchange(self._wire, timeout, read=True)
        arrived, self._arrived = self._arrived, []
        return arrived

    def rest(self, timeout: float) -> None:
        """Wait without reading; the kernel's buffers fill and the broker queues."""
        if self._standing.rested() and self._wire is not None:
            log.warning("connection_rested", broker=self.address, unacked=len(self._unacked))
            self._hang_up(mqtt5.DisconnectPacket().write())
            self._standing.closed()
        if self._wire is None:
            self._wakeup.wait(timeout, None, read=False, write=False)
        else:
            self._exchange(self._wire, timeout, read=False)

    def acknowledge(self, receipts: Sequence[Receipt]) -> None:
        """Send PUBACK for each receipt of the present connection, in the given order."""
        attempt, unacked = self._standing.attempt, self._unacked
        numbers = [number for connection, number in receipts if connection == attempt and number in unacked]
        if self._wire is None or not numbers:
            return
        unacked.difference_update(numbers)
        try:
            self._wire.send(b"".join([mqtt5.PubAckPacket(number).write() for number in numbers]))
        except OSError as error:
            self._lost(error)  # The broker delivers again what it did not hear of.

    def wake(self) -> None:
        """Make a waiting `poll` or `rest` return now; any thread may call it."""
        self._wakeup.wake()

    def finish(self) -> list[Received]:
        """Nothing: what was not handed on is not acknowledged, and the broker keeps it."""
        return []

    def close(self) -> None:
        """Send what is queued, disconnect and release the sockets."""
        deadline = time.monotonic() + CLOSE_SECONDS
        while self._wire is not None and self._wire.sending and time.monotonic() < deadline:
            self._exchange(self._wire, 0.1, read=False)
        self._hang_up(mqtt5.DisconnectPacket().write())
        self._standing.closed()
        self._wakeup.close()

    def _connect(self) -> None:
        self._standing.begin()
        self._unacked.clear()
        self._heard_at = self._pinged_at = time.monotonic()
        password = self._settings.broker_password
        hello = mqtt5.ConnectPacket(
            self._client_id,
            username=self._settings.broker_username,
            password=password.get_secret_value().encode() if password else None,
            clean_start=False,
            keep_alive=KEEPALIVE_SECONDS,
            session_expiry_interval=NO_EXPIRY,
            receive_max=self._settings.in_flight_window,
        )
        try:
            self._wire = Wire(self._settings)
            self._wire.send(hello.write())
        except (OSError, ValueError) as error:
            self._lost(error)

    def _exchange(self, wire: Wire, timeout: float, *, read: bool) -> None:
        try:
            readable, writable = self._wakeup.wait(timeout, wire.socket, read=read, write=wire.sending)
            if writable:
                wire.flush()
            if readable:
                self._take(wire, wire.receive())
            if read and self._wire is not None:
                self._keep_alive(wire)
        except OlderProtocol as error:
            self._hang_up()
            raise ConfigurationError(
                f"the broker at {self.address} does not know MQTT 5, which IOT_MQTT_READER=mqtt5 needs; "
                "set IOT_MQTT_READER=paho. Nothing was collected."
            ) from error
        except (OSError, ProtocolError) as error:
            self._lost(error)

    def _take(self, wire: Wire, packets: Sequence["mqtt5.Packet | Salvaged"]) -> None:
        """Act upon packets in order. All messages of one read have the same receive time."""
        now = utc_now()
        self._heard_at = time.monotonic()
        attempt, unacked, arrived = self._standing.attempt, self._unacked, self._arrived
        for packet in packets:
            if isinstance(packet, (mqtt5.PublishPacket, Salvaged)):
                number = packet.packet_id
                self._duplicates += packet.duplicate
                receipt: Receipt | None = None
                if number is not None:
                    # Not acknowledged yet, so it cannot mean another message: this one is in our hands.
                    if number in unacked:
                        continue
                    unacked.add(number)
                    receipt = Receipt(attempt, number)
                message = Message(now, NAME, packet.topic, packet.payload, int(packet.qos), packet.retain)
                arrived.append(Received(message, receipt))
            else:
                self._control(wire, packet)
                if self._wire is None:
                    return
        if packets:
            self._standing.progress()

    def _control(self, wire: Wire, packet: mqtt5.Packet) -> None:
        if isinstance(packet, mqtt5.ConnAckPacket):
            self._welcomed(wire, packet)
        elif isinstance(packet, mqtt5.SubAckPacket):
            self._subscribed(packet)
        elif isinstance(packet, mqtt5.DisconnectPacket):
            taken_over = packet.reason_code == mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER
            self._lost(ConnectionError(f"the broker says {_words(packet.reason_code.name)}"), taken_over=taken_over)

    def _welcomed(self, wire: Wire, answer: mqtt5.ConnAckPacket) -> None:
        if int(answer.reason_code) >= FAILURE:
            if answer.reason_code == mqtt5.ConnAckReasonCode.UNSUPPORTED_PROTOCOL_VERSION:
                raise OlderProtocol(_words(answer.reason_code.name))
            self._refused(f"the broker refused the connection: {_words(answer.reason_code.name)}")
            return
        if int(answer.max_qos) < 1:
            self._refused("the broker allows QoS 0 only: messages would be lost with each restart")
            return
        self._session_present = answer.session_present
        log.info("broker_connected", broker=self.address, session_present=answer.session_present)
        # Strictly this is what the broker takes from us; Mosquitto has one setting for both directions.
        self._window = min(answer.receive_max, self._settings.in_flight_window)
        if answer.receive_max < SMALL_WINDOW:
            log.warning(
                "broker_window_small",
                broker=self.address,
                receive_maximum=answer.receive_max,
                consequence="small batches, and a broker that drops messages when its queue is full",
                do="Mosquitto: max_inflight_messages 65535, max_queued_messages 5000000; see docs/operations.md",
            )
        if answer.server_keep_alive is not None:
            self._keepalive = min(float(answer.server_keep_alive), float(KEEPALIVE_SECONDS))
        outdated = self._subscriptions.outdated(self._filters) if answer.session_present else []
        if outdated:
            log.info("unsubscribed", broker=self.address, topics=outdated)
            wire.send(mqtt5.UnsubscribePacket(UNSUBSCRIBE_ID, outdated).write())
        wanted = [
            mqtt5.TopicFilter(topic, max_qos=mqtt5.QoS.AT_LEAST_ONCE, retain_as_published=False)
            for topic in self._filters
        ]
        wire.send(mqtt5.SubscribePacket(SUBSCRIBE_ID, wanted).write())

    def _subscribed(self, answer: mqtt5.SubAckPacket) -> None:
        refused = [
            f"{topic} ({_words(code.name)})"
            for topic, code in zip(self._filters, answer.reason_codes, strict=False)
            if int(code) >= FAILURE
        ]
        if refused:
            self._refused(f"the broker refused the topic filters {', '.join(refused)}")
            return
        self._subscriptions.remember(self._filters)
        self._standing.up()

    def _keep_alive(self, wire: Wire) -> None:
        """Ask the broker for a sign of life when it was silent; give the connection up when it gives none."""
        now = time.monotonic()
        silent = now - self._heard_at
        if self._standing.overdue:
            self._refused("the broker did not answer in time")
        elif silent > self._keepalive:
            raise ConnectionError(f"the broker was silent for {silent:.0f} s")
        elif now - self._pinged_at > self._keepalive / 2:
            # Whatever was received meanwhile: the broker wants to hear from us as well.
            self._pinged_at = now
            wire.send(mqtt5.PingReqPacket().write())

    def _refused(self, reason: str) -> None:
        self._hang_up(mqtt5.DisconnectPacket().write())
        self._standing.refused(reason)

    def _lost(self, error: Exception, *, taken_over: bool = False) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        if self._wire is None:
            self._standing.refused(reason)
            return
        self._hang_up()
        self._standing.lost(f"connection lost: {reason}", taken_over=taken_over)

    def _hang_up(self, farewell: bytes = b"") -> None:
        wire, self._wire = self._wire, None
        self._unacked.clear()
        if wire is None:
            return
        try:
            wire.send(farewell)
        except OSError:
            pass  # It was closed already.
        finally:
            wire.close()


def _words(name: str) -> str:
    """`SESSION_TAKEN_OVER` as `Session taken over`."""
    return name.replace("_", " ").capitalize()
