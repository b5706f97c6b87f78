"""The Host Application against real brokers. A test names the statements of the specification that it shows."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError, SettingsError
from iot_pipeline.landing.message import Message
from iot_pipeline.protocols.sparkplug_b import DataType, MessageType, SparkplugTopic, decode_payload
from iot_pipeline.protocols.sparkplug_session import Liveness
from iot_pipeline.protocols.sparkplug_state import HostState, encode_state, state_topic
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources import standing
from iot_pipeline.sources.sparkplug_host import SparkplugHost
from iot_pipeline.sources.sparkplug_state import SparkplugHostState, read_host_states
from tests.servers import RunningBroker, wait_until
from tests.sources.edge_node import GROUP, HOST_ID, NODE, EdgeNode, edge_node, onlooker

TOPIC = state_topic(HOST_ID)


@pytest.fixture(params=["nats_broker", "mosquitto_broker"])
def broker(request: pytest.FixtureRequest) -> RunningBroker:
    """Every broker that the product is tested with; the host has one client only."""
    running_broker: RunningBroker = request.getfixturevalue(request.param)
    return running_broker


@dataclass
class Running:
    """A host and what it has handed on."""

    host: SparkplugHost
    settings: Settings
    taken: list[Message] = field(default_factory=list)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Let the host work until something is true."""

        def worked() -> bool:
            self.taken.extend(message for message, _ in self.host.poll(0.02))
            return condition()

        wait_until(worked, what)

    def connect(self) -> None:
        self.until(lambda: self.host.state.connected, "the host to be connected")

    def kinds(self) -> list[str]:
        """Kinds of the messages of edge nodes, with their sequence numbers where they have one."""
        told = []
        for message in self.taken:
            if "/STATE/" in message.topic or "/NCMD/" in message.topic:
                continue
            seq = decode_payload(message.payload).seq
            told.append(message.topic.split("/")[2] + ("" if seq is None else str(seq)))
        return told

    def told(self) -> SparkplugHostState:
        [state] = read_host_states(self.settings.paths)
        return state

    def until_told(self, condition: Callable[[SparkplugHostState], bool], what: str) -> SparkplugHostState:
        def written() -> bool:
            return bool(read_host_states(self.settings.paths)) and condition(self.told())

        self.until(written, what)
        return self.told()


@contextmanager
def running(settings: Settings, broker: RunningBroker, **overrides: object) -> Iterator[Running]:
    own = load_settings(data=settings.data, broker_url=broker.url, collector_id="host-1", **overrides)
    host = SparkplugHost(own)
    try:
        yield Running(host, own)
    finally:
        host.close()


def test_the_birth_follows_the_subscription_with_the_time_of_the_will(
    settings: Settings, broker: RunningBroker
) -> None:
    """tck-id-host-topic-phid-birth-message, -birth-topic, -birth-qos, -birth-retain, -birth-payload,
    -birth-payload-timestamp, -birth-required, -birth-sub-required,
    tck-id-operational-behavior-host-application-connect-birth"""
    before = utc_now().timestamp() * 1000 - 1
    with onlooker(broker) as looking, running(settings, broker) as run:
        run.connect()
        run.until(lambda: bool(looking.of(TOPIC)) and bool(run.taken), "the birth to be seen")
        [birth] = looking.of(TOPIC)
        assert birth.qos == 1
        assert birth.host.online
        assert before <= birth.host.timestamp <= utc_now().timestamp() * 1000
        # It was subscribed before: otherwise its own birth would be retained when it comes back.
        assert run.taken[0].topic == TOPIC
        assert not run.taken[0].retain
        with onlooker(broker, "late") as late:
            wait_until(lambda: bool(late.seen), "the retained birth")
            assert late.seen[0].retain
            assert late.seen[0].host == birth.host


def test_an_intended_end_publishes_the_death_first(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-operational-behavior-host-application-termination, -death-topic, -death-payload, -death-qos,
    -death-retained, -disconnect-intentional,
    tck-id-host-topic-phid-death-payload-timestamp-disconnect-clean"""
    with onlooker(broker) as looking:
        with running(settings, broker) as run:
            run.connect()
            wait_until(lambda: len(looking.states()) == 1, "the birth")
        wait_until(lambda: len(looking.states()) == 2, "the death")
        birth, death = looking.of(TOPIC)
        assert not death.host.online
        assert death.qos == 1
        assert death.host.timestamp >= birth.host.timestamp
        with onlooker(broker, "late") as late:
            wait_until(lambda: bool(late.seen), "the retained death")
            assert (late.seen[0].host, late.seen[0].retain) == (death.host, True)


def test_the_will_is_the_death_with_the_time_of_the_connect(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-host-topic-phid-death-required, -death-topic, -death-qos, -death-retain, -death-payload,
    -death-payload-timestamp-connect, tck-id-operational-behavior-host-application-connect-will"""
    with onlooker(broker) as looking, running(settings, broker) as run:
        run.connect()
        wait_until(lambda: len(looking.states()) == 1, "the birth")
        connection = run.host._connection.client.socket()
        assert isinstance(connection, socket.socket)
        connection.shutdown(socket.SHUT_RDWR)
        wait_until(lambda: len(looking.states()) == 2, "the will")
        birth, will = looking.of(TOPIC)
        assert (will.host, will.qos) == (HostState(online=False, timestamp=birth.host.timestamp), 1)
        run.until(lambda: len(looking.states()) >= 3, "the birth of the next connection")
        assert looking.states()[2].online
        assert looking.states()[2].timestamp > birth.host.timestamp
        assert run.host.state.reconnects == 1


def test_the_session_is_clean(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-message-flow-phid-sparkplug-clean-session-311"""
    with edge_node(broker) as node:
        with running(settings, broker) as run:
            run.connect()
        node.client.publish(f"spBv1.0/{GROUP}/NDATA/{NODE}", b"while away", qos=1).wait_for_publish(10)
        with running(settings, broker) as run:
            run.connect()
            node.births_now()
            run.until(lambda: "DBIRTH1" in run.kinds(), "the births")
            assert b"while away" not in [message.payload for message in run.taken]


def test_an_offline_state_of_our_id_is_answered_at_once(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-message-flow-hid-sparkplug-state-message-delivered"""
    with onlooker(broker) as looking, running(settings, broker) as run:
        run.connect()
        wait_until(lambda: len(looking.states()) == 1, "the birth")
        [birth] = looking.states()
        looking.client.publish(TOPIC, encode_state(HostState(online=False, timestamp=5)), qos=1, retain=True)
        run.until(lambda: len(looking.states()) >= 3, "the answer")
        assert looking.states()[1:3] == [HostState(online=False, timestamp=5), birth]


def test_a_retained_offline_state_from_before_does_not_stay(settings: Settings, broker: RunningBroker) -> None:
    with onlooker(broker) as looking:
        offline = encode_state(HostState(online=False, timestamp=5))
        looking.client.publish(TOPIC, offline, qos=1, retain=True).wait_for_publish(10)
        with running(settings, broker) as run:
            run.connect()
            run.until(lambda: bool(looking.states()) and looking.states()[-1].online, "the birth")
            with onlooker(broker, "late") as late:
                run.until(lambda: bool(late.states()) and late.states()[-1].online, "the retained birth")


@pytest.mark.parametrize("bad", [b"OFFLINE", b"{}", b'{"online":0}', b"\xff\xfe", b"[" * 100_000])
def test_a_state_that_is_none_is_only_handed_on(settings: Settings, nats_broker: RunningBroker, bad: bytes) -> None:
    with onlooker(nats_broker) as looking, running(settings, nats_broker) as run:
        run.connect()
        looking.client.publish(TOPIC, bad, qos=1)
        run.until(lambda: bad in [message.payload for message in run.taken], "the message to be handed on")
        assert run.host.state.connected


def test_an_edge_node_that_waits_for_its_primary_host_is_born_when_we_come(
    settings: Settings, broker: RunningBroker
) -> None:
    """tck-id-message-flow-edge-node-birth-publish-phid-wait, -phid-wait-id, -phid-wait-online,
    tck-id-operational-behavior-edge-node-birth-sequence-wait"""
    with edge_node(broker, primary_host=HOST_ID) as node:
        with running(settings, broker, sparkplug_host_id="another-host") as other:
            other.connect()
            other.until(lambda: bool(other.taken), "the other host's birth")
        assert not node.born.is_set()
        with running(settings, broker) as run:
            run.connect()
            run.until(lambda: run.kinds() == ["NBIRTH0", "DBIRTH1"], "the births")
        assert node.births == 1


def test_data_without_a_birth_brings_the_births(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-operational-behavior-data-commands-ncmd-rebirth-verb, -rebirth-name, -rebirth-value,
    tck-id-topics-ncmd-mqtt, tck-id-topics-ncmd-timestamp"""
    with edge_node(broker) as node, onlooker(broker) as looking, running(settings, broker) as run:
        run.connect()
        node.data(2.0, seq=2)
        run.until(lambda: run.kinds() == ["NDATA2", "NBIRTH0", "DBIRTH1"], "the births")
        run.until(lambda: bool(looking.rebirth_requests()), "the onlooker to see the request")
        [request] = looking.rebirth_requests()
        payload = decode_payload(request.payload)
        assert (request.qos, request.retain) == (0, False)
        assert payload.timestamp_ms is not None
        [metric] = payload.metrics
        assert (metric.name, metric.datatype, metric.value) == ("Node Control/Rebirth", DataType.BOOLEAN, True)
        assert run.until_told(lambda told: told.totals["nodes_online"] == 1, "the node online").totals["rebirths"] == 1


def born(run: Running, node: EdgeNode) -> None:
    run.connect()
    node.births_now()
    run.until(lambda: run.kinds()[-2:] == ["NBIRTH0", "DBIRTH1"], "the births")
    run.taken.clear()


def test_two_messages_in_the_wrong_order_are_handed_on_in_the_right_one(
    settings: Settings, broker: RunningBroker
) -> None:
    """tck-id-operational-behavior-host-reordering-success"""
    with edge_node(broker) as node, running(settings, broker, sparkplug_reorder_seconds=10) as run:
        born(run, node)
        for seq in (3, 4, 2, 5):
            node.data(float(seq), seq=seq)
        run.until(lambda: len(run.kinds()) == 4, "all four")
        assert run.kinds() == ["NDATA2", "NDATA3", "NDATA4", "NDATA5"]
        received = [message.received_at for message in run.taken]
        assert received == sorted(received)
        told = run.until_told(lambda told: told.totals["reordered"] == 2, "two reordered")
        assert (told.totals["gaps"], told.totals["rebirths"]) == (0, 0)


def test_a_lost_message_is_waited_for_and_then_brings_the_births(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-operational-behavior-host-reordering-rebirth, tck-id-operational-behavior-host-reordering-param"""
    with edge_node(broker) as node, running(settings, broker, sparkplug_reorder_seconds=0.3) as run:
        born(run, node)
        node.data(3.0, seq=3)
        run.until(lambda: run.kinds() == ["NDATA3", "NBIRTH0", "DBIRTH1"], "the data, then the births")
        assert run.until_told(lambda told: told.totals["gaps"] == 1, "the gap").totals["rebirths"] == 1


def test_what_waits_for_a_lost_message_is_not_lost_with_the_host(settings: Settings, broker: RunningBroker) -> None:
    with edge_node(broker) as node, running(settings, broker, sparkplug_reorder_seconds=60) as run:
        born(run, node)
        node.data(3.0, seq=3)
        run.until(lambda: run.host._sessions.held == 1, "the message to be held back")
        assert run.kinds() == []
        run.taken.extend(message for message, _ in run.host.finish())
        assert run.kinds() == ["NDATA3"]
        assert not run.host.state.connected


def test_a_node_that_vanishes_is_offline_with_its_devices(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline,
    tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline"""
    with edge_node(broker, bd_seq=4) as node, running(settings, broker) as run:
        born(run, node)
        node.vanish()
        run.until(lambda: run.kinds() == ["NDEATH"], "the will of the node")
        told = run.until_told(lambda told: told.totals["nodes_offline"] == 1, "the node offline")
        [state] = told.nodes
        assert (state.node, state.state, state.bd_seq) == (f"{GROUP}/{NODE}", Liveness.OFFLINE, 4)
        assert state.devices == {"dev": Liveness.OFFLINE}


def test_the_will_of_an_earlier_session_of_a_node_means_nothing(settings: Settings, broker: RunningBroker) -> None:
    """tck-id-payloads-ndeath-bdseq"""
    with edge_node(broker, bd_seq=4) as first, running(settings, broker) as run:
        born(run, first)
        with edge_node(broker, bd_seq=5, name="edge-again") as second:
            second.births_now()
            run.until(lambda: "DBIRTH1" in run.kinds(), "the births of the second session")
            first.vanish()
            run.until(lambda: "NDEATH" in run.kinds(), "the will of the first session")
            second.data(1.0)
            run.until(lambda: run.kinds()[-1] == "NDATA2", "data of the second session")
            told = run.until_told(lambda told: told.totals["stale_deaths"] == 1, "the stale death")
            assert told.totals["nodes_online"] == 1
            assert told.totals["rebirths"] == 0


def test_without_a_connection_everything_known_is_stale(settings: Settings, nats_broker: RunningBroker) -> None:
    with edge_node(nats_broker) as node, running(settings, nats_broker) as run:
        born(run, node)
        nats_broker.kill()
        told = run.until_told(lambda told: told.totals["nodes_stale"] == 1, "the node to be stale")
        assert (told.online, told.totals["devices_stale"]) == (False, 1)
        nats_broker.start()


def test_whoever_cannot_land_goes_offline_and_comes_back(
    settings: Settings, broker: RunningBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "REST_SECONDS", 0.1)
    with onlooker(broker) as looking, running(settings, broker) as run:
        run.connect()

        def offline() -> bool:
            run.host.rest(0.05)
            return not run.host.state.connected

        wait_until(offline, "the host to go offline")
        wait_until(lambda: len(looking.states()) == 2, "the death")
        assert not looking.states()[-1].online
        run.connect()
        run.until(lambda: looking.states()[-1].online, "the birth")


def test_commands_of_others_and_foreign_topics_are_handed_on(settings: Settings, broker: RunningBroker) -> None:
    with onlooker(broker) as looking, running(settings, broker) as run:
        run.connect()
        topics = [
            str(SparkplugTopic(GROUP, MessageType.NCMD, NODE)),
            "spBv1.0/x",
            "spBv1.0/STATE/other",
            "spBv1.0/a/b/c/d/e",
        ]
        for topic in topics:
            looking.client.publish(topic, b"\xff")
        run.until(lambda: set(topics) <= {message.topic for message in run.taken}, "all to be handed on")
        assert {message.source for message in run.taken} == {"sparkplug"}


@pytest.mark.parametrize("host_id", ["a/b", "a+", "a#"])
def test_a_host_id_that_is_no_topic_level_is_refused(host_id: str) -> None:
    with pytest.raises(SettingsError, match="SPARKPLUG_HOST_ID"):
        load_settings(sparkplug_host_id=host_id)


def test_without_a_host_id_there_is_no_host() -> None:
    with pytest.raises(ConfigurationError, match="IOT_SPARKPLUG_HOST_ID"):
        SparkplugHost(load_settings(sparkplug_host_id=""))
