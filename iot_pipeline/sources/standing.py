"""How a connection stands: up or not, since when, what is wrong, and when to try again.

The same for every client of a broker; what goes over the connection is the business of the source.
"""

import time

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.sources.trouble import Backoff, Trouble

# Brokers that rewrite their store are silent for a second and more; 30 s and above survive that.
KEEPALIVE_SECONDS = 60
# A connection that nobody reads cannot see its ping answers, and who sends over it must learn that nobody reads. Well
# before the broker gives it up it is closed in good order, and opened again when there is room.
REST_SECONDS = 20.0
# For what is still to be said before a connection is closed.
CLOSE_SECONDS = 2.0
HANDSHAKE_SECONDS = 10.0
# A connection that stood this long was a good one.
STABLE_SECONDS = 10.0
# MQTT 3.1.1 does not say why a broker closes a connection. Two clients of one id take turns: each is
# connected at the first attempt and thrown out a moment later, again and again. A broker that restarts,
# or a bad line, makes attempts fail in between.
TURNS = 4


class Standing:
    """Bookkeeping of one connection that is made again whenever it ends.

    Attributes:
        attempt: number of the present connection, or of the one being made; 0 before the first.
        connections: how many were made and subscribed.
        problem: what is wrong now, in words; None when nothing is.
    """

    def __init__(self, address: str, client_id: str) -> None:
        """`address` and `client_id` are told to people."""
        self.attempt = 0
        self.connections = 0
        self._address = address
        self._client_id = client_id
        self._trouble = Trouble("broker_unavailable")
        self._backoff = Backoff()
        self._online_since: float | None = None
        self._retry_at = 0.0
        self._handshake_until = 0.0
        self._resting_since: float | None = None
        self._turns = 0
        self._contested = False

    @property
    def online(self) -> bool:
        """Whether everything that was asked for is subscribed."""
        return self._online_since is not None

    @property
    def reconnects(self) -> int:
        """Connections made after the first one."""
        return max(self.connections - 1, 0)

    @property
    def problem(self) -> str | None:
        """What is wrong now, in words; None when nothing is."""
        return self._trouble.reason

    @property
    def pause(self) -> float:
        """Seconds until the next attempt is due; 0 when it is."""
        return max(self._retry_at - time.monotonic(), 0.0)

    @property
    def overdue(self) -> bool:
        """Whether the broker took too long to answer."""
        return not self.online and time.monotonic() > self._handshake_until

    def begin(self) -> None:
        """A connection is being made. Packet numbers of an earlier one mean nothing on it."""
        self.attempt += 1
        self.progress()

    def progress(self) -> None:
        """The broker is busy with us: a resumed session delivers before it answers the subscription."""
        self._handshake_until = time.monotonic() + HANDSHAKE_SECONDS

    def reading(self) -> None:
        """The connection is being read."""
        self._resting_since = None

    def rested(self) -> bool:
        """Nobody reads it at the moment. Whether that has lasted for REST_SECONDS, so that it should be closed."""
        now = time.monotonic()
        if self._resting_since is None:
            self._resting_since = now
        return now - self._resting_since >= REST_SECONDS

    def up(self) -> None:
        """Everything is subscribed."""
        self.connections += 1
        self._online_since = time.monotonic()
        self._trouble.over(broker=self._address)

    def refused(self, reason: str) -> None:
        """There is no connection, or none that is of use; try again after a growing delay."""
        self._online_since = None
        self._turns = 0
        self._again(reason)

    def lost(self, reason: str, *, taken_over: bool = False) -> None:
        """The connection ended without our wish. `taken_over`: the broker says that another client did it."""
        stood = None if self._online_since is None else time.monotonic() - self._online_since
        self._online_since = None
        if stood is not None and stood >= STABLE_SECONDS:
            self._backoff.reset()
            self._turns = 0
        elif stood is not None:
            self._turns += 1
            reason += f"; if this repeats, another client uses the id {self._client_id}"
        self._contested = taken_over or self._turns >= TURNS
        self._again(reason)

    def closed(self) -> None:
        """We ended the connection ourselves; the next one may be made at once."""
        self._online_since = None
        self._retry_at = 0.0

    def require_uncontested(self) -> None:
        """Raise ConfigurationError when another client uses our id: going on would take it away from them again."""
        if self._contested:
            raise ConfigurationError(
                f"another client took over the session of id {self._client_id!r} at {self._address}, so this one "
                "stopped: two would take turns for ever. What was not landed here is delivered to the other one. "
                "Stop one of the two, or give one of them another IOT_COLLECTOR_ID."
            )

    def _again(self, reason: str) -> None:
        self._retry_at = time.monotonic() + self._backoff.delay()
        self._trouble.report(reason, broker=self._address, client_id=self._client_id)
