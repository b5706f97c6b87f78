"""The host's sessions of edge nodes. A test marked with `tck` shows that statement of the specification."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.protocols import sparkplug_session
from iot_pipeline.protocols.sparkplug_b import DataType, MessageType, Metric, Payload, SparkplugTopic, encode_payload
from iot_pipeline.protocols.sparkplug_session import HostSessions, Instant, Liveness, NodeSession

START = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
START_MS = int(START.timestamp() * 1000)
REORDER, REBIRTH = 2.0, 30.0
KEY = ("plant", "edge")


@dataclass
class World:
    """Sessions, a clock that stands still unless it is moved, and an edge node that speaks by hand."""

    sessions: HostSessions[str] = field(
        default_factory=lambda: HostSessions(reorder_seconds=REORDER, rebirth_seconds=REBIRTH)
    )
    elapsed: float = 0.0

    @property
    def now(self) -> Instant:
        return Instant(1000.0 + self.elapsed, START + timedelta(seconds=self.elapsed))

    @property
    def node(self) -> NodeSession[str]:
        return self.sessions.nodes[KEY]

    def state(self, device: str | None = None) -> Liveness:
        return self.node.state if device is None else self.node.devices[device].state

    def send(
        self,
        kind: str,
        seq: int | None = None,
        *,
        device: str | None = None,
        alias: int | None = None,
        sent_ms: int | None = None,
        bd_seq: int | None = None,
        retained: bool = False,
    ) -> list[str]:
        """A message named by its kind and seq arrives now; gives what is passed on."""
        metrics = [] if bd_seq is None else [Metric("bdSeq", datatype=DataType.INT64, value=bd_seq)]
        if alias is not None:
            name = f"m{alias}" if kind.endswith("BIRTH") else ""
            metrics.append(Metric(name, alias, datatype=DataType.DOUBLE, value=1.0))
        at_ms = START_MS + int(self.elapsed * 1000) if sent_ms is None else sent_ms
        topic = SparkplugTopic(*KEY[:1], MessageType(kind), KEY[1], device)
        payload = encode_payload(Payload(at_ms, seq, metrics))
        name = kind if seq is None else f"{kind}{seq}"
        return self.sessions.take(name, str(topic), payload, self.now, retained=retained)

    def pass_time(self, seconds: float) -> list[str]:
        """Time goes by; gives what is passed on because of it."""
        self.elapsed += seconds
        return self.sessions.expire(self.now)

    def rebirths(self) -> int:
        """Rebirth requests that are due now."""
        return len(self.sessions.rebirths(self.now))


def born(device: str | None = "dev") -> World:
    """A node with bdSeq 7 and alias 1, and a device with alias 2, both online; the next seq is 2."""
    world = World()
    assert world.send("NBIRTH", 0, alias=1, bd_seq=7) == ["NBIRTH0"]
    if device is not None:
        assert world.send("DBIRTH", 1, device=device, alias=2) == ["DBIRTH1"]
    return world


def numbers(world: World, seqs: Sequence[int]) -> list[str]:
    return [name for seq in seqs for name in world.send("NDATA", seq, alias=1)]


def test_messages_in_order_pass_at_once() -> None:
    world = born()
    assert numbers(world, [2, 3, 4]) == ["NDATA2", "NDATA3", "NDATA4"]
    assert (world.node.last_seq, world.node.gaps, world.rebirths()) == (4, 0, 0)
    assert world.sessions.deadline is None


def test_seq_255_is_followed_by_0() -> None:
    """tck-id-payloads-sequence-num-incrementing"""
    world = born()
    seqs = [seq % 256 for seq in range(2, 600)]
    assert len(numbers(world, seqs)) == len(seqs)
    assert (world.node.last_seq, world.node.gaps) == (seqs[-1], 0)


def test_a_message_out_of_order_starts_the_reorder_timeout() -> None:
    """tck-id-operational-behavior-host-reordering-start"""
    world = born()
    assert numbers(world, [3]) == []
    assert world.sessions.deadline == world.now.monotonic + REORDER
    assert world.sessions.held == 1


def test_the_missing_message_within_the_timeout_ends_it() -> None:
    """tck-id-operational-behavior-host-reordering-success"""
    world = born()
    numbers(world, [4, 3])
    world.pass_time(REORDER - 0.1)
    assert numbers(world, [2]) == ["NDATA2", "NDATA3", "NDATA4"]
    assert world.sessions.deadline is None
    assert world.pass_time(10) == []
    assert (world.node.reordered, world.node.gaps, world.rebirths(), world.sessions.held) == (2, 0, 0, 0)


def test_after_the_timeout_what_waited_passes_and_a_rebirth_is_requested() -> None:
    """tck-id-operational-behavior-host-reordering-rebirth"""
    world = born()
    numbers(world, [5, 3])
    assert world.pass_time(REORDER - 0.01) == []
    assert world.rebirths() == 0
    assert world.pass_time(0.02) == ["NDATA3", "NDATA5"]
    assert world.rebirths() == 1
    assert (world.node.gaps, world.node.lost, world.node.last_seq) == (1, 2, 5)
    assert numbers(world, [6]) == ["NDATA6"]


def test_the_timeout_is_a_parameter_and_may_be_zero() -> None:
    """tck-id-operational-behavior-host-reordering-param"""
    world = born()
    world.sessions = HostSessions(reorder_seconds=0, rebirth_seconds=REBIRTH)
    world.send("NBIRTH", 0, alias=1, bd_seq=7)
    assert numbers(world, [2]) == ["NDATA2"]
    assert world.rebirths() == 1


def test_each_gap_has_a_timeout_of_its_own() -> None:
    world = born()
    numbers(world, [3])
    world.pass_time(1)
    numbers(world, [5])
    assert numbers(world, [2]) == ["NDATA2", "NDATA3"]
    assert world.sessions.deadline == world.now.monotonic + REORDER
    assert world.pass_time(REORDER) == ["NDATA5"]


def test_a_message_that_was_given_up_passes_when_it_comes_after_all() -> None:
    world = born()
    numbers(world, [3])
    world.pass_time(REORDER)
    assert numbers(world, [2, 4]) == ["NDATA2", "NDATA4"]
    assert (world.node.late, world.node.gaps) == (1, 1)


def test_a_repeated_number_delays_nothing_but_itself() -> None:
    world = born()
    assert numbers(world, [2, 2, 3, 4]) == ["NDATA2", "NDATA3", "NDATA4"]
    assert world.pass_time(REORDER) == ["NDATA2"]
    assert numbers(world, [5]) == ["NDATA5"]
    assert (world.node.gaps, world.rebirths()) == (0, 0)


def test_more_than_half_the_numbers_lost_is_one_gap() -> None:
    world = born()
    numbers(world, [200, 201])
    assert world.pass_time(REORDER) == ["NDATA200", "NDATA201"]
    assert numbers(world, [202]) == ["NDATA202"]
    assert (world.node.gaps, world.node.lost) == (1, 198)


def test_data_before_any_birth_passes_and_requests_a_rebirth() -> None:
    world = World()
    assert world.send("NDATA", 9, alias=1) == ["NDATA9"]
    assert world.state() is Liveness.UNKNOWN
    assert world.rebirths() == 1


@pytest.mark.parametrize(
    ("kind", "device", "alias"),
    [("NDATA", None, 99), ("DDATA", "dev", 1), ("DDATA", "other", 2)],
    ids=["alias of no birth", "alias of another device", "device without birth"],
)
def test_data_that_no_birth_explains_requests_a_rebirth(kind: str, device: str | None, alias: int) -> None:
    world = born()
    assert world.send(kind, 2, device=device, alias=alias) == [f"{kind}2"]
    assert world.rebirths() == 1


def test_rebirth_requests_to_a_node_are_limited_and_not_forgotten() -> None:
    world = World()
    for seq in range(5):
        world.send("NDATA", seq, alias=1)
    assert world.rebirths() == 1
    world.send("NDATA", 5, alias=1)
    assert world.rebirths() == 0
    assert world.sessions.deadline == 1000.0 + REBIRTH
    world.pass_time(REBIRTH)
    assert world.rebirths() == 1
    assert world.node.rebirths == 2


def test_a_birth_withdraws_the_wish_for_one() -> None:
    world = World()
    world.send("NDATA", 5, alias=1)
    world.send("NBIRTH", 0, alias=1, bd_seq=7)
    assert world.rebirths() == 0
    assert world.sessions.deadline is None


def test_a_birth_begins_the_numbers_anew() -> None:
    world = born()
    numbers(world, range(2, 50))
    assert world.send("NBIRTH", 0, alias=1, bd_seq=7) == ["NBIRTH0"]
    assert numbers(world, [1]) == ["NDATA1"]
    assert world.node.gaps == 0


def test_what_overtook_its_own_birth_waits_for_it() -> None:
    world = born()
    numbers(world, range(2, 50))
    world.pass_time(1)
    assert world.send("DBIRTH", 1, device="dev", alias=2, sent_ms=START_MS + 500) == []
    assert world.send("NBIRTH", 0, alias=1, bd_seq=7, sent_ms=START_MS + 500) == ["NBIRTH0", "DBIRTH1"]
    assert world.state("dev") is Liveness.ONLINE
    assert (world.node.gaps, world.rebirths()) == (0, 0)


def test_what_waited_in_the_session_before_passes_before_the_birth() -> None:
    world = born()
    numbers(world, [7, 5])
    world.pass_time(1)
    assert world.send("NBIRTH", 0, alias=1, bd_seq=8) == ["NDATA5", "NDATA7", "NBIRTH0"]


def test_a_node_death_of_this_session_takes_node_and_devices_offline() -> None:
    """tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline,
    tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline"""
    world = born()
    world.pass_time(5)
    assert world.send("NDEATH", bd_seq=7, sent_ms=START_MS - 60_000) == ["NDEATH"]
    assert (world.state(), world.node.since) == (Liveness.OFFLINE, world.now.utc)
    device = world.node.devices["dev"]
    assert (device.state, device.since) == (Liveness.OFFLINE, world.now.utc)


def test_a_node_death_of_another_session_means_nothing() -> None:
    """tck-id-payloads-ndeath-bdseq"""
    world = born()
    assert world.send("NDEATH", bd_seq=6) == ["NDEATH"]
    assert world.state() is Liveness.ONLINE
    assert world.node.stale_deaths == 1
    assert numbers(world, [2]) == ["NDATA2"]


def test_what_waits_passes_before_the_death_of_its_node() -> None:
    world = born()
    numbers(world, [4, 3])
    assert world.send("NDEATH", bd_seq=7) == ["NDATA3", "NDATA4", "NDEATH"]
    assert world.sessions.deadline is None


def test_data_after_the_death_requests_a_rebirth() -> None:
    world = born()
    world.send("NDEATH", bd_seq=7)
    assert numbers(world, [2]) == ["NDATA2"]
    assert world.rebirths() == 1
    assert world.state() is Liveness.OFFLINE


def test_a_device_death_takes_that_device_offline_at_the_time_in_its_payload() -> None:
    """tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline"""
    world = born()
    world.send("DBIRTH", 2, device="other", alias=3)
    world.pass_time(5)
    assert world.send("DDEATH", 3, device="dev", sent_ms=START_MS + 1_000) == ["DDEATH3"]
    dev, other = world.node.devices["dev"], world.node.devices["other"]
    assert (dev.state, dev.since) == (Liveness.OFFLINE, START + timedelta(seconds=1))
    assert other.state is Liveness.ONLINE
    assert world.state() is Liveness.ONLINE


def test_everything_is_stale_when_the_host_loses_its_connection() -> None:
    """Chapter 5.3, not testable there: all metrics of known nodes become STALE."""
    world = born()
    numbers(world, [3])
    world.pass_time(1)
    assert world.sessions.disconnected(world.now) == ["NDATA3"]
    assert world.state() is Liveness.STALE
    assert (world.state("dev"), world.node.devices["dev"].since) == (Liveness.STALE, world.now.utc)
    assert world.sessions.deadline is None
    assert numbers(world, [9]) == ["NDATA9"]
    assert world.rebirths() == 1
    world.send("NBIRTH", 0, alias=1, bd_seq=7)
    assert world.state() is Liveness.ONLINE


def test_a_retained_message_belongs_to_no_session() -> None:
    world = World()
    assert world.send("NBIRTH", 0, alias=1, bd_seq=7, retained=True) == ["NBIRTH0"]
    assert not world.sessions.nodes


@pytest.mark.parametrize("topic", ["spBv1.0/STATE/host", "spBv1.0/plant/NCMD/edge", "spBv1.0/plant/XDATA/edge", "x"])
def test_what_is_no_message_of_an_edge_node_passes(topic: str) -> None:
    world = World()
    assert world.sessions.take("m", topic, b"\xff", world.now) == ["m"]
    assert not world.sessions.nodes


def test_bytes_that_are_no_payload_pass_and_disturb_nothing() -> None:
    world = born()
    assert world.sessions.take("bad", "spBv1.0/plant/NDATA/edge", b"\xff\xff", world.now) == ["bad"]
    assert numbers(world, [2]) == ["NDATA2"]


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparkplug_session, "MOST_HELD", 10)
    world = born()
    assert numbers(world, range(3, 14)) == [f"NDATA{seq}" for seq in range(3, 14)]
    assert world.sessions.held == 0
    assert world.rebirths() == 1


def test_nodes_are_bounded_and_the_others_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparkplug_session, "MOST_NODES", 1)
    world = born()
    data = encode_payload(Payload(1, 9))
    assert world.sessions.take("m", "spBv1.0/plant/NDATA/invented", data, world.now) == ["m"]
    assert list(world.sessions.nodes) == [KEY]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["NDATA", "DDATA", "DBIRTH", "DDEATH", "NBIRTH", "NDEATH"]),
            st.none() | st.integers(0, 255) | st.integers(0, 6),
            st.sampled_from([0.0, 0.1, 3.0, 40.0]),
            st.integers(-2_000, 2_000),
        ),
        max_size=60,
    ),
    st.sampled_from([0.0, REORDER]),
)
def test_every_message_is_passed_on_once_whatever_comes(
    script: list[tuple[str, int | None, float, int]], reorder: float
) -> None:
    world = World(HostSessions(reorder_seconds=reorder, rebirth_seconds=REBIRTH))
    passed: list[str] = []
    for index, (kind, seq, pause, shift) in enumerate(script):
        passed += world.pass_time(pause)
        topic = SparkplugTopic("plant", MessageType(kind), "edge", "dev" if kind.startswith("D") else None)
        payload = encode_payload(Payload(max(START_MS + shift, 0), seq, [Metric("bdSeq", value=seq or 0)]))
        passed += world.sessions.take(f"{index}", str(topic), payload, world.now)
        world.sessions.rebirths(world.now)
    passed += world.pass_time(reorder)
    assert sorted(passed, key=int) == [f"{index}" for index in range(len(script))]
    assert world.sessions.held == 0
    world.sessions.rebirths(world.now)
    assert world.sessions.deadline is None or world.sessions.deadline > world.now.monotonic


@given(st.permutations(range(2, 12)))
def test_any_order_within_the_timeout_comes_out_in_order(order: list[int]) -> None:
    world = born()
    assert numbers(world, order) == [f"NDATA{seq}" for seq in range(2, 12)]
    assert (world.node.gaps, world.sessions.held, world.rebirths()) == (0, 0, 0)
