"""The fast reader where it differs: what brokers of MQTT 5 tell, old brokers, and packets that its codec refuses."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import mqtt5
import pytest
import structlog.testing
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.mqtt5 import Mqtt5Source
from iot_pipeline.sources.mqtt5_wire import UNREADABLE_TOPIC, ProtocolError, Salvaged, parse
from tests.servers import RunningBroker, wait_until


@contextmanager
def source_for(settings: Settings, port: int) -> Iterator[Mqtt5Source]:
    source = Mqtt5Source(load_settings(data=settings.data, broker_url=f"mqtt://127.0.0.1:{port}"))
    try:
        yield source
    finally:
        source.close()


def connect(source: Mqtt5Source) -> None:
    def connected() -> bool:
        source.poll(0.05)
        return source.state.connected

    wait_until(connected, "the source to connect")


# The compiled codec panics, and tells so on standard error, where no broker should let the text pass.
refused_by_the_codec = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def publish_packet(topic: bytes, payload: bytes = b"1", properties: bytes = b"", *, number: int = 7) -> bytes:
    body = len(topic).to_bytes(2, "big") + topic + number.to_bytes(2, "big") + bytes([len(properties)]) + properties
    return b"\x32" + bytes([len(body) + len(payload)]) + body + payload


NOT_UTF8 = publish_packet(b"plant/\xff")
BAD = b"\x26\x00\x01k\x00\x01\xff"  # A user property that is not UTF-8.
BAD_PROPERTY = publish_packet(b"plant/a", properties=BAD)
GOOD = publish_packet(b"plant/b", b"2", number=8)


@contextmanager
def broker_that_sends(content: bytes) -> Iterator[int]:
    """A broker for one client: welcomes it, grants its subscription and sends `content`. Yields its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        client, _ = server.accept()
        with client:
            client.recv(4096)
            client.sendall(mqtt5.ConnAckPacket().write())
            client.recv(4096)
            granted = mqtt5.SubAckPacket(1, [mqtt5.SubAckReasonCode.GRANTED_QOS_AT_LEAST_ONCE])
            client.sendall(granted.write() + content)
            while client.recv(4096):
                pass

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        thread.join(10)
        server.close()


def test_a_broker_that_does_not_know_mqtt_5_is_a_matter_of_settings(
    settings: Settings, nats_broker: RunningBroker
) -> None:
    with source_for(settings, nats_broker.port) as source, pytest.raises(ConfigurationError) as refused:
        wait_until(lambda: bool(source.poll(0.1)), "the refusal")
    assert "IOT_MQTT_READER=paho" in str(refused.value)


def test_a_broker_with_a_small_window_is_warned_of(settings: Settings, mosquitto_broker: RunningBroker) -> None:
    config = mosquitto_broker.child.command[-1]
    mosquitto_broker.stop()
    with open(config) as handle:
        lines = [line for line in handle if not line.startswith("max_inflight_messages")]
    with open(config, "w") as handle:
        handle.writelines(lines)
    mosquitto_broker.start()
    with structlog.testing.capture_logs() as logs, source_for(settings, mosquitto_broker.port) as source:
        connect(source)
        assert source.state.window == 20
    [warning] = [entry for entry in logs if entry["event"] == "broker_window_small"]
    assert warning["receive_maximum"] == 20
    assert "max_inflight_messages" in warning["do"]


def test_who_is_told_that_another_took_the_session_over_stops_at_once(settings: Settings) -> None:
    """By a broker that tells the reason: Mosquitto before 2.0.15 closes without a word, see `test_standing.py`."""
    farewell = mqtt5.DisconnectPacket(reason_code=mqtt5.DisconnectReasonCode.SESSION_TAKEN_OVER).write()
    with broker_that_sends(farewell) as port, source_for(settings, port) as source:
        with pytest.raises(ConfigurationError, match="IOT_COLLECTOR_ID"):
            wait_until(lambda: bool(source.poll(0.1)), "the end")
        assert "Session taken over" in (source.state.problem or "")


@refused_by_the_codec
def test_a_message_that_the_codec_refuses_stops_no_other(settings: Settings) -> None:
    with (
        broker_that_sends(NOT_UTF8 + publish_packet(b"plant/a", properties=BAD, number=9) + GOOD) as port,
        source_for(settings, port) as source,
    ):
        taken = []

        def all_there() -> bool:
            taken.extend(source.poll(0.1))
            return len(taken) == 3

        wait_until(all_there, "three messages")
        assert [message.topic for message, _ in taken] == [UNREADABLE_TOPIC, "plant/a", "plant/b"]
        assert source.state.unacked == 3
        source.acknowledge([receipt for _, receipt in taken if receipt is not None])
        assert source.state.unacked == 0


@refused_by_the_codec
@pytest.mark.parametrize("content", [NOT_UTF8, BAD_PROPERTY])
def test_a_refused_message_is_waited_for_until_it_is_complete(content: bytes) -> None:
    for cut in range(len(content)):
        assert parse(content[:cut]) == ([], 0)
    [packet], used = parse(content + GOOD[:5])
    assert used == len(content)
    assert isinstance(packet, Salvaged)
    assert (packet.payload, packet.qos, packet.packet_id, packet.retain) == (b"1", 1, 7, False)


@refused_by_the_codec
@given(content=st.binary(max_size=60), cut=st.integers(min_value=0, max_value=30))
def test_whatever_comes_is_read_left_or_refused(content: bytes, cut: int) -> None:
    for garbage in (content, GOOD[:cut] + content, BAD_PROPERTY[:cut] + content):
        try:
            packets, used = parse(garbage)
        except ProtocolError:
            continue
        assert 0 <= used <= len(garbage)
        assert bool(packets) == bool(used)


@given(
    payloads=st.lists(st.binary(max_size=400), max_size=20),
    pieces=st.lists(st.integers(min_value=1, max_value=700), min_size=1, max_size=8),
)
def test_the_pieces_in_which_bytes_arrive_do_not_matter(payloads: list[bytes], pieces: list[int]) -> None:
    stream = b"".join(
        mqtt5.PublishPacket("t", payload, qos=mqtt5.QoS.AT_LEAST_ONCE, packet_id=index + 1).write()
        for index, payload in enumerate(payloads)
    )
    found, waiting, position = [], b"", 0
    while position < len(stream):
        size = pieces[position % len(pieces)]
        waiting += stream[position : position + size]
        position += size
        packets, used = parse(waiting)
        found += packets
        waiting = waiting[used:]
    assert [packet.payload for packet in found if isinstance(packet, mqtt5.PublishPacket)] == payloads
    assert waiting == b""
