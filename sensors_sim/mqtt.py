"""One connection of a simulator: paho-mqtt with a bounded number of unacknowledged messages.

It waits for the broker, comes back by itself, and knows what was acknowledged. What is published
and when is decided elsewhere.
"""

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import paho.mqtt.client as paho
import structlog
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.errors import BrokerUnavailable
from iot_pipeline.settings import Settings
from sensors_sim.fleet import Message

_log = structlog.get_logger(__name__)
KEEPALIVE_S = 30
LONGEST_RETRY_S = 15


class Publisher(Protocol):
    """Whatever messages can be handed to."""

    def publish(self, message: Message) -> None:
        """Take one message over."""


class MqttPublisher:
    """A client of the broker of `settings`. Use it from one thread; paho's network thread works behind it.

    Args:
        settings: broker URL, user, password, CA file.
        client_id: must differ from all others at the broker.
        window: most QoS 1 messages that may be unacknowledged before `ready` says no.
        will: called before each CONNECT for the will of that session.
        subscription: a topic whose messages go to `on_command`.
        on_command: called in the network thread with the payload; it must not block.
    """

    def __init__(
        self,
        settings: Settings,
        client_id: str,
        *,
        window: int = 500,
        will: Callable[[], Message] | None = None,
        subscription: str | None = None,
        on_command: Callable[[bytes], None] | None = None,
    ) -> None:
        self._address = f"{settings.broker_host}:{settings.broker_port}"
        self._window = window
        self._will = will
        self._subscription = subscription
        self._on_command = on_command
        # paho tells acknowledgements in its own thread, possibly before `publish` has returned the message's
        # id. They wait here until the owner's thread compares them with what it knows.
        self._acks: deque[int] = deque()
        self._pending: set[int] = set()
        self._progress = threading.Event()
        self._failing = False
        self._refusal: str | None = None
        self.acknowledged = 0
        self.sessions = 0
        """Connections accepted so far: when it grows, a new session has begun."""

        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311)
        if settings.broker_username is not None:
            password = settings.broker_password
            client.username_pw_set(settings.broker_username, password.get_secret_value() if password else None)
        if settings.broker_tls:
            client.tls_set(ca_certs=str(settings.broker_ca_file) if settings.broker_ca_file else None)
        client.max_inflight_messages_set(window)
        client.reconnect_delay_set(1, LONGEST_RETRY_S)
        client.on_pre_connect = self._before_connect
        client.on_connect = self._connected
        client.on_connect_fail = self._connect_failed
        client.on_disconnect = self._disconnected
        client.on_publish = self._published
        client.on_message = self._message
        client.connect_async(settings.broker_host, settings.broker_port, keepalive=KEEPALIVE_S)
        self._client = client

    def start(self) -> None:
        """Begin to connect, with backoff for as long as it takes. Returns at once."""
        self._client.loop_start()

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted the present connection."""
        return self._client.is_connected()

    @property
    def unacknowledged(self) -> int:
        """QoS 1 messages that the broker has not confirmed yet."""
        self._collect()
        return len(self._pending)

    @property
    def ready(self) -> bool:
        """Whether a message may be published now: connected, and the window is not full."""
        return self.connected and self.unacknowledged < self._window

    def publish(self, message: Message) -> None:
        """Hand a message over. QoS 1 is sent again after a reconnect; QoS 0 without a connection is lost."""
        info = self._client.publish(message.topic, message.payload, qos=message.qos, retain=message.retain)
        if message.qos > 0:
            self._pending.add(info.mid)

    def wait_connected(self, timeout_s: float) -> None:
        """Wait until the broker has accepted us. Raises BrokerUnavailable when it did not in time."""
        self._wait(lambda: self.connected, timeout_s, "no connection")

    def wait_ready(self, timeout_s: float) -> None:
        """Wait until `ready`. Raises BrokerUnavailable when nothing was confirmed for `timeout_s`."""
        self._wait(lambda: self.ready, timeout_s, "no acknowledgement")

    def drain(self, timeout_s: float) -> None:
        """Wait until everything is acknowledged. Raises BrokerUnavailable after `timeout_s` without progress."""
        self._wait(lambda: self.unacknowledged == 0, timeout_s, "no acknowledgement")

    def cut(self) -> None:
        """End the connection as a power cut does: the broker publishes the will. It is made again by itself."""
        connection = self._client.socket()
        if isinstance(connection, socket.socket):
            with contextlib.suppress(OSError):  # It is gone already.
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Disconnect cleanly (the broker drops the will). What is unacknowledged is given up."""
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, done: Callable[[], bool], timeout_s: float, problem: str) -> None:
        before, deadline = self.acknowledged, time.monotonic() + timeout_s
        while True:
            self._progress.clear()
            if done():
                return
            if self.acknowledged != before:
                before, deadline = self.acknowledged, time.monotonic() + timeout_s
            left = deadline - time.monotonic()
            if left <= 0:
                reason = f" ({self._refusal})" if self._refusal else ""
                raise BrokerUnavailable(
                    f"{problem} from the broker at {self._address} for {timeout_s:g} s{reason}: {self.acknowledged} "
                    f"messages were acknowledged, {len(self._pending)} were not. Check it with `iot doctor`."
                )
            self._progress.wait(left)

    def _collect(self) -> None:
        while self._acks:
            mid = self._acks.popleft()
            if mid in self._pending:
                self._pending.discard(mid)
                self.acknowledged += 1

    def _before_connect(self, client: paho.Client, _userdata: object) -> None:
        if self._will is not None:
            message = self._will()
            client.will_set(message.topic, message.payload, qos=message.qos, retain=message.retain)

    def _connected(
        self, client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            _log.warning("broker_refused", broker=self._address, reason=self._refusal)
            return
        _log.info("connected", broker=self._address, session=self.sessions + 1)
        self._failing, self._refusal = False, None
        if self._subscription is not None:
            client.subscribe(self._subscription, qos=1)
        self.sessions += 1
        self._progress.set()

    def _connect_failed(self, _client: paho.Client, _userdata: object) -> None:
        if not self._failing:  # once an outage, not once an attempt
            _log.warning("waiting_for_broker", broker=self._address)
        self._failing = True

    def _disconnected(
        self, _client: paho.Client, _userdata: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        _log.log(30 if reason.is_failure else 20, "disconnected", broker=self._address, reason=str(reason))

    def _published(
        self, _client: paho.Client, _userdata: object, mid: int, _reason: ReasonCode, _properties: object
    ) -> None:
        self._acks.append(mid)
        self._progress.set()

    def _message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        if self._on_command is not None:
            self._on_command(bytes(message.payload))
