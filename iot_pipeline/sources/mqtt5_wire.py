"""MQTT 5 packets over a TCP or TLS connection that never blocks: bytes in, packets out, and back.

The codec is the `mqtt5` package. What packets mean and when to send them is `mqtt5.py`'s; here is also
what is done with a PUBLISH that the codec refuses, because one message must not stop all others.
"""

import socket
import ssl
from typing import NamedTuple

import mqtt5

from iot_pipeline.settings import Settings

CONNECT_SECONDS = 5.0
READ_BYTES = 256 * 1024
UNREADABLE_TOPIC = "\N{REPLACEMENT CHARACTER}"
_PUBLISH = 3
_V3_CONNACK = b"\x20\x02"
# The codec is compiled: text that is not UTF-8 makes it panic, and the exception has no importable name.
_PANIC = "PanicException"


class ProtocolError(Exception):
    """The peer does not speak MQTT 5, or not well enough to go on with this connection."""


class OlderProtocol(ProtocolError):
    """The broker answered as MQTT 3.1.1 does: it does not know MQTT 5."""


class Salvaged(NamedTuple):
    """A PUBLISH that the codec refused: its frame is sound, its topic or properties are not."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    packet_id: int | None
    duplicate: bool


class Wire:
    """One connection. OSError of any method means that it is over."""

    def __init__(self, settings: Settings) -> None:
        """Connect; waits some seconds at most. Raises OSError."""
        host, port = settings.broker_host, settings.broker_port
        plain = socket.create_connection((host, port), timeout=CONNECT_SECONDS)
        try:
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.socket: socket.socket = plain
            if settings.broker_tls:
                context = ssl.create_default_context(cafile=settings.broker_ca_file)
                self.socket = context.wrap_socket(plain, server_hostname=host)
            self.socket.settimeout(0.0)
        except BaseException:
            plain.close()
            raise
        self._unread = bytearray()
        self._unsent = bytearray()

    @property
    def sending(self) -> bool:
        """Whether something waits to be sent."""
        return bool(self._unsent)

    def send(self, content: bytes) -> None:
        """Send, now or as soon as the peer takes it."""
        self._unsent += content
        self.flush()

    def flush(self) -> None:
        """Send as much as the peer takes now."""
        while self._unsent:
            try:
                sent = self.socket.send(self._unsent)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return
            del self._unsent[:sent]

    def receive(self) -> list["mqtt5.Packet | Salvaged"]:
        """All packets that are complete after one read; may be none.

        Raises:
            ConnectionError: the peer has closed the connection.
            ProtocolError: what came is not MQTT 5.
        """
        try:
            content = self.socket.recv(READ_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        if not content:
            raise ConnectionError("closed by the broker")
        self._unread += content
        packets, used = parse(self._unread)
        del self._unread[:used]
        return packets

    def close(self) -> None:
        """Close at once; what waits to be sent is dropped."""
        self.socket.close()


def parse(content: bytes | bytearray) -> tuple[list["mqtt5.Packet | Salvaged"], int]:
    """The complete packets at the beginning of `content`, and how many bytes they took.

    Raises:
        ProtocolError: what came is not MQTT 5.
    """
    packets: list[mqtt5.Packet | Salvaged] = []
    offset, end = 0, len(content)
    read = mqtt5.read
    with memoryview(content) as view:
        while offset < end:
            try:
                packet, size = read(view[offset:])
            except IndexError:  # Not complete yet.
                break
            except BaseException as error:
                if not isinstance(error, ValueError) and type(error).__name__ != _PANIC:
                    raise
                found = _salvage(bytes(view[offset:]), error)
                if found is None:
                    break
                packets.append(found[0])
                offset += found[1]
            else:
                packets.append(packet)
                offset += size
    return packets, offset


def _salvage(content: bytes, reason: BaseException) -> tuple[Salvaged, int] | None:
    """Read a PUBLISH by its frame alone, topic as it can be shown, properties passed over; None: not complete."""
    if content.startswith(_V3_CONNACK):
        raise OlderProtocol("it speaks MQTT 3.1.1 only") from reason
    first = content[0]
    qos = first >> 1 & 3
    wrong = ProtocolError(f"it sent what is not MQTT 5: {reason}")
    if first >> 4 != _PUBLISH or qos > 1:
        raise wrong from reason
    try:
        length, start = _length(content, 1)
    except IndexError:
        return None
    packet = content[start : start + length]
    if len(packet) < length:
        return None
    topic_end = 2 + int.from_bytes(packet[:2], "big")
    body = topic_end + 2 * qos
    try:
        properties, body = _length(packet, body)
    except IndexError:
        raise wrong from reason
    if body + properties > length:
        raise wrong from reason
    try:
        topic = packet[2:topic_end].decode()
    except UnicodeDecodeError:
        topic = UNREADABLE_TOPIC
    number = int.from_bytes(packet[topic_end : topic_end + 2], "big") if qos else None
    message = Salvaged(topic, packet[body + properties :], qos, bool(first & 1), number, bool(first & 8))
    return message, start + length


def _length(content: bytes, position: int) -> tuple[int, int]:
    """A number of seven bits a byte, least significant first, and the position behind it. Raises IndexError."""
    value = 0
    for index in range(4):
        byte = content[position + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise IndexError(position)
