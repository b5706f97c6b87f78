"""A clean MQTT session over one paho-mqtt client, driven by one thread: connecting, reading, writing.

Only paho's public interface is used. What is subscribed, published and made of messages belongs to the
source that owns the connection; it sets paho's other callbacks for that.
"""

from collections.abc import Callable

from paho.mqtt.client import Client, DisconnectFlags, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.settings import Settings
from iot_pipeline.sources.standing import KEEPALIVE_SECONDS, Standing
from iot_pipeline.sources.wakeup import Wakeup

# One packet is read per call of paho's `loop_read`; after this many, everything else gets its turn.
PACKETS_PER_STEP = 500


def introduce(client: Client, settings: Settings) -> None:
    """Give a client the user, password and TLS that the settings name for the broker."""
    if settings.broker_username is not None:
        password = settings.broker_password
        client.username_pw_set(settings.broker_username, password.get_secret_value() if password else None)
    if settings.broker_tls:
        client.tls_set(ca_certs=str(settings.broker_ca_file) if settings.broker_ca_file else None)


class PahoConnection:
    """A clean session under a fixed client id. One thread calls everything except `wake`.

    The owner calls `standing.up()` when everything that makes the connection of use is done.
    """

    def __init__(
        self,
        settings: Settings,
        client_id: str,
        *,
        prepare: Callable[[Client], None],
        lost: Callable[[], None],
    ) -> None:
        """Nothing is opened yet.

        Args:
            settings: broker, user, password, CA file.
            client_id: must differ from all others at the broker.
            prepare: called before each CONNECT with the client of that session, to set its will and callbacks.
            lost: called when a connection that was up is no more, whoever ended it.
        """
        self._settings = settings
        self._client_id = client_id
        self._prepare = prepare
        self._lost = lost
        self._wakeup = Wakeup()
        self._refusal: str | None = None
        self.standing = Standing(self.address, client_id)
        self.client = self._make_client()

    @property
    def address(self) -> str:
        """`host:port` of the broker."""
        return self._settings.broker_address

    def step(self, timeout: float) -> None:
        """Connect if it is time to, else read and write for at most `timeout` seconds; paho calls back.

        Raises:
            ConfigurationError: another client uses the id.
        """
        self.standing.require_uncontested()
        if self.client.socket() is None and not self.standing.pause:
            self._connect()
        if self.client.socket() is None:
            self.wait(min(timeout, self.standing.pause), read=False)
            return
        readable = self.wait(timeout, read=True)
        for _ in range(PACKETS_PER_STEP):
            if not readable:
                break
            self.client.loop_read()
            readable = self.client.socket() is not None and self.wait(0.0, read=True)
        self.client.loop_misc()
        if self.client.socket() is not None and self.standing.overdue:
            self.refuse("the broker did not answer in time")

    def wait(self, timeout: float, *, read: bool) -> bool:
        """Wait for the socket or a wake-up; write what is to be written. Whether the socket is readable."""
        readable, writable = self._wakeup.wait(timeout, self.client.socket(), read=read, write=self.client.want_write())
        if writable:
            self.client.loop_write()
        return readable

    def refuse(self, reason: str) -> None:
        """Give the present connection up; the next one is tried later."""
        self._refusal = self._refusal or reason
        self.client.disconnect()

    def disconnect(self) -> None:
        """Disconnect in good order; the next `step` connects again."""
        if self.client.socket() is not None:
            self.client.disconnect()
        self.standing.closed()

    def wake(self) -> None:
        """Make a waiting `step` return now; any thread may call it."""
        self._wakeup.wake()

    def close(self) -> None:
        """Disconnect and release the sockets."""
        self.disconnect()
        self._wakeup.close()

    def _make_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            clean_session=True,
            protocol=MQTTv311,
            reconnect_on_failure=False,
        )
        introduce(client, settings)
        client.on_disconnect = self._on_disconnect
        return client

    def _connect(self) -> None:
        self.standing.begin()
        self._refusal = None
        # A client of its own for each session: paho would send again what the last one was not confirmed.
        self.client = self._make_client()
        self._prepare(self.client)
        try:
            self.client.connect(self._settings.broker_host, self._settings.broker_port, KEEPALIVE_SECONDS)
        except (OSError, ValueError) as error:
            self.standing.refused(getattr(error, "strerror", None) or str(error))

    def _on_disconnect(
        self, _client: Client, _: object, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        was_up = self.standing.online
        if self._refusal is not None:
            self.standing.refused(self._refusal)
        elif reason.is_failure:
            self.standing.lost(f"connection lost: {reason}")
        else:
            self.standing.closed()
        if was_up:
            self._lost()
