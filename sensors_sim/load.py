"""Load: prebuilt gateway batches at a given rate over a plain socket: `python -m sensors_sim.load`.

A client library spends more on a message than the pipeline does, so it would measure itself. Frames are
built once, with a placeholder for the time; sending one costs a replace and a write. Values do not vary.
"""

import argparse
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from iot_pipeline.errors import BrokerUnavailable, ConfigurationError, IotError
from iot_pipeline.settings import Settings, load_settings

PLACEHOLDER = b"1111111111111"
"""As long as milliseconds since 1970 are until the year 2286."""
MOST_BATCHES = 200
"""Different gateways; with more messages than that in a period, each sends more often."""
CONNECT_TIMEOUT_S = 10.0
_PACKET_IDS = 65_535


@dataclass(frozen=True, slots=True)
class LoadSummary:
    """What was sent (QoS 1), how much of it the broker confirmed, and how long sending took."""

    sent: int
    acknowledged: int
    readings: int
    payload_bytes: int
    seconds: float


def batch_payload(gateway: int, readings: int) -> bytes:
    """A utility gateway's message of electricity meters, its times being PLACEHOLDER."""
    rows = []
    for index in range(readings):
        number = gateway * readings + index + 1
        rows.append(
            {
                "meter": f"m-load-{number:08d}",
                "customer": f"c-load-{number:08d}",
                "kind": "home",
                "utility": "electricity",
                "region": "north",
                "ts": int(PLACEHOLDER),
                "value": 1000.0 + number % 977,
                "rate": 0.2 + number % 31 / 100,
                "unit": "kWh",
            }
        )
    return msgspec.json.encode({"gateway": f"load-{gateway + 1:04d}", "readings": rows})


def run_load(
    settings: Settings, *, rate: float, batch: int = 100, seconds: float = 60.0, window: int = 5_000
) -> LoadSummary:
    """Send `rate` messages a second of `batch` readings each, then wait for the last acknowledgements.

    Args:
        settings: the broker.
        rate: messages a second; where the broker is slower, the window slows the load down.
        batch: readings in a message.
        seconds: how long to send.
        window: most unacknowledged messages.

    Raises:
        ConfigurationError: a number is out of range.
        BrokerUnavailable: no connection, refused, or no acknowledgement for ten seconds.
    """
    if rate <= 0 or seconds <= 0 or batch < 1 or not 1 <= window <= _PACKET_IDS:
        raise ConfigurationError(
            f"load: received rate {rate:g}, seconds {seconds:g}, batch {batch}, window {window}; "
            f"rate and seconds are above 0, batch is at least 1, window is 1 to {_PACKET_IDS}"
        )
    frames = [
        (_text(f"utility/gateway/load-{gateway + 1:04d}"), batch_payload(gateway, batch))
        for gateway in range(MOST_BATCHES)
    ]
    connection = _Connection(settings, window)
    try:
        return _send(connection, frames, rate, batch, seconds)
    except OSError as error:
        raise BrokerUnavailable(
            f"connection to {settings.broker_host}:{settings.broker_port} lost after "
            f"{connection.acknowledged} acknowledged messages: {error}"
        ) from error
    finally:
        connection.close()


def _send(
    connection: "_Connection", frames: list[tuple[bytes, bytes]], rate: float, batch: int, seconds: float
) -> LoadSummary:
    sent = payload_bytes = 0
    latest_ms = [0] * len(frames)
    began = time.monotonic()
    while (elapsed := time.monotonic() - began) < seconds:
        due = min(int(elapsed * rate) + 1, int(seconds * rate))
        while sent < due and time.monotonic() - began < seconds:
            gateway = sent % len(frames)
            topic, payload = frames[gateway]
            # A meter has no two readings of one time, however fast they are sent: those would be duplicates.
            now_ms = latest_ms[gateway] = max(time.time_ns() // 1_000_000, latest_ms[gateway] + 1)
            connection.publish(topic, payload.replace(PLACEHOLDER, b"%013d" % now_ms), sent % _PACKET_IDS + 1)
            payload_bytes += len(payload)
            sent += 1
        time.sleep(min(0.005, 1 / rate))
    took = time.monotonic() - began
    connection.drain(sent)
    return LoadSummary(sent, connection.acknowledged, sent * batch, payload_bytes, round(took, 3))


class _Connection:
    """MQTT 3.1.1 with no more than CONNECT, PUBLISH (QoS 1), PUBACK and DISCONNECT."""

    def __init__(self, settings: Settings, window: int) -> None:
        self.acknowledged = 0
        self._sent = 0
        self._window = window
        self._progress = threading.Condition()
        self._ended: str | None = None
        address = (settings.broker_host, settings.broker_port)
        try:
            plain = socket.create_connection(address, timeout=CONNECT_TIMEOUT_S)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = plain
            if settings.broker_tls:
                context = ssl.create_default_context(cafile=settings.broker_ca_file)
                self._socket = context.wrap_socket(plain, server_hostname=settings.broker_host)
            self._socket.sendall(_connect_packet(settings))
            answer = self._socket.recv(4)
        except OSError as error:
            raise BrokerUnavailable(f"no connection to {address[0]}:{address[1]}: {error}") from error
        if len(answer) < 4 or answer[3] != 0:
            self._socket.close()
            raise BrokerUnavailable(f"{address[0]}:{address[1]} refused the connection ({answer.hex() or 'closed'})")
        self._socket.settimeout(None)
        self._reader = threading.Thread(target=self._read, name="load-acknowledgements", daemon=True)
        self._reader.start()

    def publish(self, topic: bytes, payload: bytes, packet_id: int) -> None:
        """Send one message; waits while the window is full."""
        self._wait(lambda: self._sent - self.acknowledged < self._window)
        body = topic + packet_id.to_bytes(2, "big") + payload
        self._socket.sendall(b"\x32" + _length(len(body)) + body)
        self._sent += 1

    def drain(self, sent: int) -> None:
        """Wait until everything is acknowledged."""
        self._wait(lambda: self.acknowledged >= sent)

    def close(self) -> None:
        """Disconnect."""
        try:
            self._socket.sendall(b"\xe0\x00")
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the broker was faster
        self._socket.close()
        self._reader.join(timeout=1)

    def _wait(self, done: Callable[[], bool]) -> None:
        if done():
            return
        with self._progress:
            while not done():
                before = self.acknowledged
                if not self._progress.wait(CONNECT_TIMEOUT_S) and self.acknowledged == before:
                    raise BrokerUnavailable(f"no acknowledgement for {CONNECT_TIMEOUT_S:g} s")
                if self._ended is not None and not done():
                    raise BrokerUnavailable(self._ended)

    def _read(self) -> None:
        rest = b""
        try:
            while data := self._socket.recv(65_536):
                # Only PUBACKs come, of four bytes each: nothing is subscribed and keepalive is off.
                rest += data
                whole = len(rest) // 4
                rest = rest[whole * 4 :]
                with self._progress:
                    self.acknowledged += whole
                    self._progress.notify_all()
            reason = "the broker closed the connection"
        except OSError as error:
            reason = f"connection lost: {error}"
        with self._progress:
            self._ended = f"{reason}; {self.acknowledged} messages were acknowledged"
            self._progress.notify_all()


def _text(value: str) -> bytes:
    encoded = value.encode()
    return len(encoded).to_bytes(2, "big") + encoded


def _length(size: int) -> bytes:
    """MQTT's remaining length: seven bits a byte, least significant first."""
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


def _connect_packet(settings: Settings) -> bytes:
    flags = 0x02  # clean session
    body = _text(f"sensors-sim-load-{os.getpid()}")
    if settings.broker_username is not None:
        flags |= 0x80
        body += _text(settings.broker_username)
        if settings.broker_password is not None:
            flags |= 0x40
            body += _text(settings.broker_password.get_secret_value())
    # Protocol level 4, keepalive 0.
    variable = _text("MQTT") + bytes((4, flags, 0, 0)) + body
    return b"\x10" + _length(len(variable)) + variable


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0 when everything was acknowledged, 2 for a wrong argument or no broker."""
    parser = argparse.ArgumentParser(prog="python -m sensors_sim.load", description="Gateway batches at a given rate.")
    parser.add_argument("--broker-url", help="mqtt://host[:port]; default: IOT_BROKER_URL")
    parser.add_argument("--rate", type=float, default=1_500, help="messages a second (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=100, help="readings a message (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=60, help="how long (default: %(default)s)")
    parser.add_argument("--window", type=int, default=5_000, help="most unacknowledged (default: %(default)s)")
    options = parser.parse_args(arguments)
    try:
        settings = load_settings(**({"broker_url": options.broker_url} if options.broker_url else {}))
        summary = run_load(
            settings, rate=options.rate, batch=options.batch, seconds=options.seconds, window=options.window
        )
    except IotError as error:
        print(error, file=sys.stderr)
        return 2
    print(
        f"{summary.sent} messages ({summary.readings} readings, {summary.payload_bytes} bytes) "
        f"in {summary.seconds:g} s, {summary.acknowledged} acknowledged"
    )
    return 0 if summary.acknowledged == summary.sent else 1


if __name__ == "__main__":
    sys.exit(main())
