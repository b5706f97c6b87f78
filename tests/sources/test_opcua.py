"""The OPC UA source against real servers: what is landed, under which names, with which quality."""

import asyncio
import math
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from asyncua import Server, ua

from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Row, Sink
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.settings import Settings
from iot_pipeline.sources.opcua import OpcuaSource, subscription
from iot_pipeline.sources.opcua import source as source_module
from iot_pipeline.sources.source import Received
from tests.readings.landed import decode_all
from tests.servers import wait_until
from tests.sources.opcua_plant import URI, Plant, changes_of, configured, connect, plant, source_for, take, values_of

AT = datetime(2026, 11, 20, 8, 0, 0, 123456, tzinfo=UTC)


def decoded(settings: Settings, received: list[Received]) -> tuple[list[Row], Sink]:
    sink = Sink()
    now_us = int(time.time() * 1e6)
    messages = [(told.message.topic, told.message.payload, now_us) for told in received]
    decode_all(MessageDecoder(load_mappings(None), limits_of(settings)), messages, sink)
    return sink.rows, sink


def collected(source: OpcuaSource, metric: str, count: int) -> list[Received]:
    """Messages until `count` changes of `metric` are in."""
    taken: list[Received] = []

    def done() -> bool:
        taken.extend(source.poll(0.05))
        return len(values_of(changes_of(taken), metric)) >= count

    wait_until(done, f"{count} changes of {metric}")
    return taken


def test_a_thousand_nodes_at_five_changes_a_second_are_complete(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    names = [f"n{number}" for number in range(1_000)]
    rounds = 15

    async def write_rounds(server: Plant) -> None:
        for turn in range(1, rounds + 1):
            began = time.monotonic()
            for name in names:
                await server.write_async(name, float(turn))
            await asyncio.sleep(max(0.0, 0.2 - (time.monotonic() - began)))

    with plant(free_port, dict.fromkeys(names, 0.0)) as server:
        settings = configured(settings, server.url, tmp_path, browse=[{}], publishing_interval_ms=200)
        with source_for(settings) as source:
            first = connect(source)
            server.run(write_rounds(server))
            rest = take(source, lambda changes: len(changes) + len(first) >= 1_000 * (rounds + 1), "all changes")
    seen: dict[str, list[float]] = {name: [] for name in names}
    for change in first + rest:
        seen[change["metric"]].append(change["value"])
    expected = [float(turn) for turn in range(rounds + 1)]
    assert [name for name in names if seen[name] != expected] == []


def test_readings_have_the_time_name_unit_and_quality_of_the_server(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    async def with_unit(server: Server) -> None:
        node = server.get_node(ua.NodeId("pressure", 2))
        unit = ua.EUInformation(DisplayName=ua.LocalizedText("bar"))
        await node.add_property(ua.NodeId("pressure.unit", 2), "0:EngineeringUnits", unit)

    with plant(free_port, {"pressure": 0.0}, prepare=with_unit) as server:
        with source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source:
            connect(source)
            statuses = ("Good", "UncertainLastUsableValue", "BadSensorFailure", "GoodClamped")
            for number, status in enumerate(statuses):
                code = ua.StatusCode(getattr(ua.StatusCodes, status))
                server.write("pressure", 10.0 + number, status=code, at=AT.replace(second=number))
            taken = collected(source, "pressure", 4)
        rows, sink = decoded(settings, taken)
    assert sink.problems == []
    at_us = int(AT.timestamp()) * 1_000_000 + 123456
    told = [row[1:] for row in rows if at_us <= row[1] < at_us + 60_000_000]
    assert told == [
        (at_us + number * 1_000_000, "plant/plant", "pressure", 10.0 + number, None, "bar", quality)
        # This server gives no value away whose status is bad.
        for number, quality in ((0, "good"), (1, "uncertain"), (3, "good"))
    ]
    landed = [change["status"] for change in changes_of(taken)][-4:]
    assert landed == list(statuses)


def test_what_was_told_and_not_taken_is_not_lost_at_the_end(settings: Settings, free_port: int, tmp_path: Path) -> None:
    with (
        plant(free_port, {"level": 1.0}) as server,
        source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source,
    ):
        collected(source, "level", 1)
        server.write("level", 2.0)
        wait_until(lambda: bool(source._handover._queue), "the change to be told")
        assert values_of(changes_of(source.finish()), "level") == [2.0]
        assert not source.state.connected


def test_a_bad_status_without_a_value_is_no_reading_by_rule(settings: Settings, free_port: int, tmp_path: Path) -> None:
    with plant(free_port, {"level": 1.0}) as server:
        with source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source:
            collected(source, "level", 1)
            server.write("level", ua.Variant(), status=ua.StatusCode(ua.StatusCodes.BadNoCommunication))
            taken = collected(source, "level", 1)
        rows, sink = decoded(settings, taken)
    assert (rows, sink.problems, sink.nulls) == ([], [], 1)


def test_the_time_of_the_server_stands_in_for_that_of_the_source(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    with plant(free_port, {"level": 1.0}) as server:
        with source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source:
            collected(source, "level", 1)
            before = time.time()
            server.write("level", 2.0, source=False)
            taken = collected(source, "level", 1)
        rows, _ = decoded(settings, taken)
    assert before - 1 <= rows[-1][1] / 1e6 <= time.time()


def test_numbers_that_json_does_not_have_are_quarantined_and_the_rest_is_read(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    with plant(free_port, {"level": 1.0}) as server:
        with source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source:
            collected(source, "level", 1)
            for value in (math.nan, math.inf, -math.inf, 5.0):
                server.write("level", value)
            taken = collected(source, "level", 4)
        rows, sink = decoded(settings, taken)
    assert values_of(changes_of(taken), "level") == ["NaN", "Infinity", "-Infinity", 5.0]
    assert [row[4] for row in rows] == [5.0]
    assert {problem.reason for problem in sink.problems} == {"bad_value"}
    assert sink.fields_rejected == 3


def test_each_type_of_value_lands_as_what_it_is(settings: Settings, free_port: int, tmp_path: Path) -> None:
    values = {
        "switch": True,
        "count": ua.Variant(2**63, ua.VariantType.UInt64),
        "state": "007",
        "label": ua.LocalizedText("ready"),
        "curve": [1.0, 2.0, 3.0],
        "raw": b"\x00\xff",
    }
    with plant(free_port, values) as server:
        with source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source:
            received = collected(source, "raw", 1)
        rows, sink = decoded(settings, received)
    changes = {change["metric"]: change for change in changes_of(received)}
    assert changes["curve"]["value"] is None
    assert changes["curve"]["array"] == [1.0, 2.0, 3.0]
    assert sink.problems == []
    assert {row[3]: row[4:6] for row in rows} == {
        "switch": (1.0, None),
        "count": (float(2**63), str(2**63)),
        "state": (None, "007"),
        "label": (None, "ready"),
        "raw": (None, "AP8="),
    }


def test_a_bad_node_id_stops_nothing_and_is_told_once(settings: Settings, free_port: int, tmp_path: Path) -> None:
    nodes = ["ns=2;s=a", "ns=2;s=nowhere", "nsu=urn:nobody;s=b", {"id": "ns=2;s=b", "device": "boiler", "metric": "t"}]
    settings = configured(settings, f"opc.tcp://127.0.0.1:{free_port}", tmp_path, nodes=nodes)
    with (
        plant(free_port, {"a": 1.0, "b": 2.0}),
        structlog.testing.capture_logs() as logs,
        source_for(settings) as source,
    ):
        taken = take(source, lambda changes: len(changes) >= 3, "two values and one status")
        problem = source.state.problem or ""
        assert source.state.connected
        assert source.state.counts["nodes_missing"] == 2
    assert {(change["device"], change["metric"], change.get("value")) for change in taken} == {
        ("plant/plant", "a", 1.0),
        ("boiler", "t", 2.0),
        ("plant", "nowhere", None),
    }
    assert "BadNodeIdUnknown" in [change["status"] for change in taken]
    assert "2 nodes cannot be collected" in problem
    assert [entry["event"] for entry in logs].count("opcua_nodes_missing") == 1


def test_browsing_obeys_globs_and_its_limit(settings: Settings, free_port: int, tmp_path: Path) -> None:
    browse = [{"include": ["plant/*"], "exclude": ["*/b"], "most": 2}]
    settings = configured(settings, f"opc.tcp://127.0.0.1:{free_port}", tmp_path, browse=browse)
    with (
        plant(free_port, {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}),
        structlog.testing.capture_logs() as logs,
        source_for(settings) as source,
    ):
        taken = take(source, lambda changes: len(changes) >= 2, "two values")
    assert {change["metric"] for change in taken} == {"a", "c"}
    assert "opcua_browse_cut" in [entry["event"] for entry in logs]


def test_nodes_keep_their_names_when_namespaces_are_numbered_anew(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    settings = configured(settings, f"opc.tcp://127.0.0.1:{free_port}", tmp_path, nodes=[f"nsu={URI};s=a"])
    names = []
    for namespaces in ((URI,), ("urn:other", "urn:third", URI)):
        with plant(free_port, {"a": 1.0}, namespaces=namespaces), source_for(settings) as source:
            names += [change["node"] for change in take(source, bool, "a value")]
    assert names == [f"nsu={URI};s=a"] * 2


def test_what_cannot_be_monitored_is_polled(
    settings: Settings, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plant(free_port, {"a": 1.0, "b": 1.0}) as server:
        service = server.server.iserver.subscription_service
        create = service.create_monitored_items

        async def refuse_b(parameters: ua.CreateMonitoredItemsParameters) -> list[ua.MonitoredItemCreateResult]:
            results: list[ua.MonitoredItemCreateResult] = await create(parameters)
            for item, result in zip(parameters.ItemsToCreate, results, strict=True):
                if item.ItemToMonitor.NodeId.Identifier == "b":
                    result.StatusCode = ua.StatusCode(ua.StatusCodes.BadTooManyMonitoredItems)
            return results

        monkeypatch.setattr(service, "create_monitored_items", refuse_b)
        with source_for(configured(settings, server.url, tmp_path, nodes=["ns=2;s=a", "ns=2;s=b"])) as source:
            taken = connect(source)
            assert source.state.counts["nodes_polled"] == 1
            taken += take(source, lambda changes: {"a", "b"} <= {c["metric"] for c in taken + changes}, "both values")
            server.write("b", 2.0)
            later = take(source, lambda changes: 2.0 in values_of(changes, "b"), "the new value of b")
    assert later.count(later[-1]) == 1


def has(value: float, changes: list[dict[str, Any]]) -> bool:
    return value in values_of(changes, "a")


def test_a_server_without_subscriptions_is_polled(settings: Settings, free_port: int, tmp_path: Path) -> None:
    with plant(free_port, {"a": 1.0}) as server:
        server.server.iserver.max_subscriptions = 0
        with source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source:
            take(source, lambda changes: 1.0 in values_of(changes, "a"), "the first value")
            for value in (2.0, 3.0):
                server.write("a", value)
                take(source, partial(has, value), "the next value")


def test_while_nothing_is_taken_the_server_queues_and_nothing_is_lost(
    settings: Settings, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_module, "WAITING_BYTES", 2_000)

    async def write_all(server: Plant) -> None:
        for number in range(1, 401):
            await server.write_async("a", float(number))
            await asyncio.sleep(0.002)

    with plant(free_port, {"a": 0.0}) as server:
        settings = configured(settings, server.url, tmp_path, browse=[{}], queue_size=1_000)
        with source_for(settings) as source:
            first = connect(source)
            server.run(write_all(server))
            source.rest(0.3)
            assert source._handover._bytes <= 2_000 + source_module.WAITING_BYTES + 300_000
            rest = take(source, lambda changes: 400.0 in values_of(changes, "a"), "the last value")
    assert values_of(first + rest, "a") == [float(number) for number in range(401)]


def test_closing_is_quick_and_ends_the_session_at_the_server(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    with plant(free_port, {"a": 1.0}) as server:
        with source_for(configured(settings, server.url, tmp_path, browse=[{}])) as source:
            connect(source)
            subscriptions = server.server.iserver.subscription_service.subscriptions
            assert len(subscriptions) == 1
            began = time.monotonic()
        assert time.monotonic() - began < 25
        assert not source.state.connected
        wait_until(lambda: not subscriptions, "the subscription to be deleted")


def test_waking_ends_a_poll_at_once(settings: Settings, free_port: int, tmp_path: Path) -> None:
    url = f"opc.tcp://127.0.0.1:{free_port}"
    with source_for(configured(settings, url, tmp_path, browse=[{}])) as source:
        source.wake()
        began = time.monotonic()
        assert source.poll(30) == []
        assert time.monotonic() - began < 25
        wait_until(lambda: source.poll(0.05) == [] and source.state.problem is not None, "the refusal")
        assert source.state.problem == "plant: Connection refused"


def test_a_silent_server_is_connected_to_again(
    settings: Settings, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(subscription, "KEEPALIVE_SECONDS", 0.1)
    settings = configured(settings, f"opc.tcp://127.0.0.1:{free_port}", tmp_path, browse=[{}])
    with plant(free_port, {"a": 1.0}) as server, source_for(settings) as source:
        connect(source)
        subscriptions = server.server.iserver.subscription_service.subscriptions
        number = next(iter(subscriptions))
        # The server forgets the subscription and does not say so.
        server.run(subscriptions[number].stop())
        take(source, lambda _: source.state.reconnects > 0, "a new session")
        server.write("a", 2.0)
        take(source, lambda changes: 2.0 in values_of(changes, "a"), "the new value")


def test_a_text_that_does_not_change_is_told_again_as_long_as_the_server_publishes(
    settings: Settings, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "STILL_SECONDS", 0.2)
    monkeypatch.setattr(subscription, "KEEPALIVE_SECONDS", 0.1)
    with plant(free_port, {"state": "idle", "level": 1.0}) as server:
        own = configured(settings, server.url, tmp_path, browse=[{}])
        with source_for(own) as source:
            taken = collected(source, "state", 3)
            server.write("state", "running")
            taken += collected(source, "state", 3)
    told = [change for change in changes_of(taken) if change["metric"] == "state"]
    texts = [change["text"] for change in told]
    assert texts == sorted(texts), "nothing is told again once it changed"
    assert set(texts) == {"idle", "running"}
    # What is told again happened when the server published that nothing changed; it was never heard of its source.
    again = [change["server_ts"] for change in told if "source_ts" not in change]
    assert len(again) >= 3
    assert again == sorted(set(again))
    assert len(values_of(changes_of(taken), "level")) == 1
    rows, sink = decoded(settings, taken)
    assert sink.problems == []
    assert len(rows) == len(told) + 1
