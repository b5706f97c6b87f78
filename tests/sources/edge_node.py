"""A Sparkplug edge node that does what a test tells it, and an onlooker that sees what goes over a broker."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from iot_pipeline.protocols.sparkplug_b import DataType, MessageType, Metric, Payload, SparkplugTopic, encode_payload
from iot_pipeline.protocols.sparkplug_state import HostState, decode_state, state_topic
from tests.servers import RunningBroker

GROUP, NODE = "plant", "edge"
HOST_ID = "iot-pipeline"


@dataclass(frozen=True)
class Seen:
    """A message as the onlooker got it."""

    topic: str
    payload: bytes
    qos: int
    retain: bool

    @property
    def host(self) -> HostState:
        return decode_state(self.payload)


@dataclass
class Onlooker:
    """Subscribes to everything of Sparkplug and keeps it in order."""

    client: Client
    seen: list[Seen] = field(default_factory=list)

    def of(self, topic: str) -> list[Seen]:
        return [one for one in list(self.seen) if one.topic == topic]

    def states(self) -> list[HostState]:
        return [one.host for one in self.of(state_topic(HOST_ID))]

    def rebirth_requests(self) -> list[Seen]:
        return self.of(str(SparkplugTopic(GROUP, MessageType.NCMD, NODE)))


def _client(name: str) -> Client:
    return Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=True, protocol=MQTTv311)


def _start(client: Client, broker: RunningBroker, subscribe: str) -> None:
    subscribed = threading.Event()
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", broker.port)
    client.subscribe(subscribe, qos=1)
    client.loop_start()
    assert subscribed.wait(10)


@contextmanager
def onlooker(broker: RunningBroker, name: str = "onlooker") -> Iterator[Onlooker]:
    """An onlooker for a `with` block, subscribed."""
    client = _client(name)
    looking = Onlooker(client)

    def keep(_client: Client, _: object, message: MQTTMessage) -> None:
        looking.seen.append(Seen(message.topic, bytes(message.payload), message.qos, message.retain))

    client.on_message = keep
    _start(client, broker, "spBv1.0/#")
    try:
        yield looking
    finally:
        client.disconnect()
        client.loop_stop()


@dataclass
class EdgeNode:
    """One node with one device `dev`; births bind alias 1 (node) and 2 (device).

    It is born when a test, a rebirth request or its primary host, as chapter 5.4 asks, makes it.
    """

    client: Client
    bd_seq: int
    born: threading.Event = field(default_factory=threading.Event)
    births: int = 0
    seq: int = 0

    def publish(
        self, kind: MessageType, *metrics: Metric, device: str | None = None, seq: int | None = None, at_ms: int = 1
    ) -> None:
        payload = Payload(at_ms, self.seq if seq is None else seq, list(metrics))
        self.client.publish(str(SparkplugTopic(GROUP, kind, NODE, device)), encode_payload(payload), qos=0)
        if seq is None:
            self.seq = (self.seq + 1) % 256

    def births_now(self) -> None:
        self.seq = 0
        self.births += 1
        session = Metric("bdSeq", datatype=DataType.INT64, value=self.bd_seq)
        self.publish(MessageType.NBIRTH, session, Metric("t", 1, datatype=DataType.DOUBLE, value=1.0))
        self.publish(MessageType.DBIRTH, Metric("v", 2, datatype=DataType.DOUBLE, value=1.0), device="dev")
        self.born.set()

    def data(self, value: float, *, seq: int | None = None, alias: int = 1) -> None:
        self.publish(MessageType.NDATA, Metric("", alias, datatype=DataType.DOUBLE, value=value), seq=seq)

    def vanish(self) -> None:
        """Cut the connection as a power cut does: the broker publishes the will."""
        connection = self.client.socket()
        assert connection is not None
        self.client.loop_stop()
        connection.close()


@contextmanager
def edge_node(
    broker: RunningBroker, *, bd_seq: int = 1, primary_host: str | None = None, name: str = "edge"
) -> Iterator[EdgeNode]:
    """A connected node for a `with` block, not born yet."""
    client = _client(name)
    node = EdgeNode(client, bd_seq)
    session = Metric("bdSeq", datatype=DataType.INT64, value=bd_seq)
    death = encode_payload(Payload(1, metrics=[session]))
    client.will_set(str(SparkplugTopic(GROUP, MessageType.NDEATH, NODE)), death, qos=1)

    def on_message(_client: Client, _: object, message: MQTTMessage) -> None:
        if message.topic.startswith("spBv1.0/STATE/"):
            if (
                primary_host
                and message.topic == state_topic(primary_host)
                and decode_state(bytes(message.payload)).online
            ):
                node.births_now()
        else:
            node.births_now()

    client.on_message = on_message
    watched = f"spBv1.0/{GROUP}/NCMD/{NODE}" if primary_host is None else "spBv1.0/STATE/+"
    _start(client, broker, watched)
    try:
        yield node
    finally:
        client.disconnect()
        client.loop_stop()
