"""An edge node that dies, skips and swaps, seen by a host that keeps its sessions."""

import threading
from datetime import datetime, timedelta

import pytest

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.protocols.sparkplug_session import HostSessions, Instant, Liveness, NodeSession
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.sparkplug_host import SparkplugHost
from sensors_sim.fleet import Message
from sensors_sim.ice_plant import DEVICES, METRIC, IcePlant
from sensors_sim.node_faults import NodeFault, NodeFaults, parse_node_faults
from sensors_sim.run import run_simulator
from tests.sensors_sim.worlds import START, Labels, read
from tests.servers import RunningBroker, wait_until


class Heard:
    """A node with faults, and a host that hears it; time goes on by `run`."""

    def __init__(self, *kinds: NodeFault) -> None:
        self.labels = Labels()
        self.node = IcePlant(seed=1, start=START)
        self.faults = NodeFaults(kinds, seed=1, start=START, labels=self.labels)
        self.sessions: HostSessions[Message] = HostSessions(reorder_seconds=2, rebirth_seconds=30)
        self.now = START
        self.passed: list[Message] = []

    @property
    def session(self) -> NodeSession[Message]:
        [session] = self.sessions.nodes.values()
        return session

    def run(self, seconds: float) -> None:
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            self.now += timedelta(seconds=0.05)
            instant = Instant((self.now - START).total_seconds(), self.now)
            for message in self.faults.apply(self.node.messages(self.now), self.now):
                self.passed += self.sessions.take(message, message.topic, message.payload, instant)
            self.passed += self.sessions.expire(instant)


def test_without_a_fault_everything_passes_as_it_was_sent() -> None:
    heard = Heard()
    heard.run(20)
    assert heard.session.state is Liveness.ONLINE
    assert (heard.session.gaps, heard.session.reordered, heard.labels) == (0, 0, [])


def test_a_skipped_message_is_a_gap_with_a_label() -> None:
    heard = Heard()
    heard.run(5)
    heard.faults.ask(NodeFault.SKIP)
    heard.run(5)
    assert (heard.session.gaps, heard.session.lost) == (1, 1)
    [label] = heard.labels
    assert (label.metric, label.fault, label.start_us) == (METRIC, "gap", label.end_us)
    clean = Heard()
    clean.run(10)
    sent = {(row[2], row[1]) for row in read(clean.passed).rows}
    arrived = {(row[2], row[1]) for row in read(heard.passed).rows}
    assert sent - arrived == {(label.device_id, label.start_us)}


def test_two_messages_in_the_wrong_order_are_put_right_by_the_host() -> None:
    heard = Heard()
    heard.run(5)
    heard.faults.ask(NodeFault.REORDER)
    heard.run(5)
    assert (heard.session.reordered, heard.session.gaps, heard.labels) == (1, 0, [])


def test_the_timetable_follows_from_the_seed() -> None:
    def deaths(seed: int) -> list[datetime]:
        faults = NodeFaults([NodeFault.DIE], seed=seed, start=START, labels=Labels())
        instants = (START + timedelta(seconds=second) for second in range(600))
        found = []
        for now in instants:
            if faults.dies(now):
                found.append(now)
                faults.born_again(now)
        return found

    assert len(deaths(1)) >= 2
    assert deaths(1) == deaths(1)
    assert deaths(1) != deaths(2)


def test_a_death_is_labelled_for_all_devices_when_the_node_is_back() -> None:
    labels = Labels()
    faults = NodeFaults([], seed=1, start=START, labels=labels)
    faults.ask(NodeFault.DIE)
    assert faults.dies(START)
    assert not faults.dies(START)
    faults.born_again(START + timedelta(seconds=3))
    assert len(labels) == len(DEVICES)
    assert {(label.fault, label.end_us - label.start_us) for label in labels} == {("gap", 3_000_000)}


def test_an_unknown_fault_is_refused_with_the_ones_there_are() -> None:
    with pytest.raises(ConfigurationError, match="die, skip, reorder"):
        parse_node_faults(["explode"])


def test_faults_of_a_node_that_does_not_run_are_refused(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="ice_plant"):
        run_simulator(settings, fleets=["weather"], node_faults=["die"])


def test_a_host_sees_the_simulated_node_die_skip_and_reorder(settings: Settings, nats_broker: RunningBroker) -> None:
    settings = load_settings(data=settings.data, broker_url=nats_broker.url, sparkplug_reorder_seconds=0.5)
    stop = threading.Event()
    arguments = {"fleets": ["ice_plant"], "faults": False, "fault_rate": 30.0, "stop": stop}
    host = SparkplugHost(settings)
    runner = threading.Thread(
        target=run_simulator, args=(settings,), kwargs={**arguments, "node_faults": ["die", "skip", "reorder"]}
    )
    topics: list[str] = []

    def seen() -> bool:
        topics.extend(message.topic for message, _ in host.poll(0.05))
        counts = host.state.counts
        kinds = [topic.split("/")[2] for topic in topics]
        died = "NDEATH" in kinds and "NBIRTH" in kinds[kinds.index("NDEATH") :]
        return died and counts["gaps"] > 0 and counts["reordered"] > 0 and counts["rebirths"] > 0

    try:
        wait_until(lambda: host.poll(0.05) is not None and host.state.connected, "the host to connect")
        runner.start()
        wait_until(seen, "a death, a gap, a reordering and the births asked for")
    finally:
        stop.set()
        runner.join(15)
        host.close()
