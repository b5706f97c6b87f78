"""What is promised when connections, servers or the collector go away: gaps are filled from history, or told."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog.testing
from asyncua import ua

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.settings import Settings
from iot_pipeline.sources.collector import run_collector
from iot_pipeline.sources.opcua import OpcuaSource, history, session
from tests.servers import wait_until
from tests.sources.opcua_plant import Plant, configured, connect, hear, plant, source_for, take, values_of
from tests.sources.publishing import landed_payloads


@pytest.fixture
def historian(free_port: int) -> Iterator[Plant]:
    """A server that keeps the history of its two nodes."""
    with plant(free_port, {"a": 0.0, "b": 0.0}, history=True) as running:
        yield running


def cut(server: Plant) -> None:
    """Close the connections of all clients, as a network would; the server goes on."""

    async def close() -> None:
        for client in list(server.server.bserver.clients):
            client.transport.abort()

    server.run(close())


def kept(server: Plant, name: str, value: float) -> None:
    """Wait until the server's history has it: it is told of changes by a subscription, too."""

    async def known() -> bool:
        history = await server.server.get_node(server.node_id(name)).read_raw_history()
        return any(one.Value.Value == value for one in history)

    wait_until(lambda: server.run(known()), f"{value} of {name} in the server's history")


def filled(source: OpcuaSource) -> bool:
    return source.state.counts["changes_from_history"] > 0


def test_a_restarted_server_is_subscribed_again(settings: Settings, free_port: int, tmp_path: Path) -> None:
    settings = configured(settings, f"opc.tcp://127.0.0.1:{free_port}", tmp_path, browse=[{}])
    with plant(free_port, {"a": 1.0}) as server, source_for(settings) as source:
        take(source, lambda changes: 1.0 in values_of(changes, "a"), "the first value")
        with structlog.testing.capture_logs() as logs:
            server.stop()
            take(source, lambda _: not source.state.connected, "the loss to be seen")
            assert "plant: " in str(source.state.problem)
            server.start()
            take(source, lambda _: source.state.connected, "the second connection")
            server.write("a", 2.0)
            take(source, lambda changes: 2.0 in values_of(changes, "a"), "the new value")
    assert source.state.reconnects == 1
    assert str(source.state.problem) == "None"
    # Without history nothing can be fetched: that is told, with the time in question.
    [gap] = [entry for entry in logs if entry["event"] == "opcua_gap"]
    assert gap["nodes"] == 1
    assert gap["since"] < gap["until"]


def test_what_happened_while_the_connection_was_away_comes_from_history(
    historian: Plant, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, historian.url, tmp_path, browse=[{}])
    with source_for(settings) as source:
        hear(source)
        cut(historian)
        for number in range(1, 51):
            historian.write("a", float(number))
        taken = take(source, lambda _: filled(source), "the gap to be filled")
        taken += take(source, lambda changes: 50.0 in values_of(taken + changes, "a"), "the last value")
    assert set(values_of(taken, "a")) >= {float(number) for number in range(1, 51)}


def test_a_restarted_collector_asks_from_what_it_had_landed(
    historian: Plant, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, historian.url, tmp_path, browse=[{}])
    with source_for(settings) as source:
        connect(source, acknowledge=True)
        historian.write("a", 1.0)
        take(source, lambda changes: 1.0 in values_of(changes, "a"), "a landed value", acknowledge=True)
        historian.write("a", 2.0)
        # Received, but not landed when the collector ends.
        take(source, lambda changes: 2.0 in values_of(changes, "a"), "a value that is lost with the process")
    historian.write("a", 3.0)
    historian.write("a", 4.0)
    kept(historian, "a", 4.0)
    with source_for(settings) as source:
        taken = take(source, lambda changes: {2.0, 3.0, 4.0} <= set(values_of(changes, "a")), "what was missed")
    assert 0.0 not in values_of(taken, "a")


def test_positions_do_not_pass_a_gap_that_is_not_filled(
    historian: Plant, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = configured(settings, historian.url, tmp_path, browse=[{}])
    with source_for(settings) as source:
        connect(source, acknowledge=True)
        historian.write("a", 1.0)
        take(source, lambda changes: 1.0 in values_of(changes, "a"), "a landed value", acknowledge=True)
    historian.write("a", 2.0)
    asked, go_on = threading.Event(), threading.Event()
    read_history = history.read_history

    async def slow(*arguments: Any, **options: Any) -> AsyncIterator[Any]:
        asked.set()
        while not go_on.is_set():  # noqa: ASYNC110 -- set by another thread
            await asyncio.sleep(0.02)
        async for answer in read_history(*arguments, **options):
            yield answer

    monkeypatch.setattr(session, "read_history", slow)
    with source_for(settings) as source:
        take(source, lambda _: asked.is_set(), "the question for history", acknowledge=True)
        historian.write("a", 3.0)
        # Newer than the gap, and landed; then the collector dies before the gap is filled.
        take(source, lambda changes: 3.0 in values_of(changes, "a"), "a live value", acknowledge=True)
    go_on.set()
    with source_for(settings) as source:
        take(source, lambda changes: 2.0 in values_of(changes, "a"), "the value in the gap")


async def drop_queued(server: Plant) -> None:
    """What a server does whose queue is full."""
    for subscription in subscriptions_of_clients(server):
        subscription._triggered_datachanges.clear()


async def overflow(server: Plant) -> None:
    """Drop the value 1 of node a as a full queue does, and say so with the next one."""
    await server.write_async("a", 1.0)
    await drop_queued(server)
    await server.write_async("a", 2.0, status=ua.StatusCode(0x480))  # Good, and the bit `Overflow`


def subscriptions_of_clients(server: Plant) -> list[Any]:
    """All but the one by which the server keeps its history."""
    subscriptions = server.server.iserver.subscription_service.subscriptions.values()
    return [subscription for subscription in subscriptions if subscription.pub_request_callback is not None]


def test_what_a_full_queue_dropped_comes_from_history(historian: Plant, settings: Settings, tmp_path: Path) -> None:
    settings = configured(settings, historian.url, tmp_path, browse=[{}], publishing_interval_ms=200)
    with source_for(settings) as source:
        hear(source)
        historian.run(overflow(historian))
        taken = take(source, lambda changes: 1.0 in values_of(changes, "a"), "the dropped value")
        assert source.state.counts["overflows"] == 1
    assert {change["status"] for change in taken} == {"Good"}


def test_a_notification_that_never_came_is_noticed_and_its_changes_come_from_history(
    historian: Plant, settings: Settings, tmp_path: Path
) -> None:
    async def lose_one() -> None:
        await historian.write_async("a", 1.0)
        await drop_queued(historian)
        for subscription in subscriptions_of_clients(historian):
            subscription._notification_seq += 1
        await historian.write_async("a", 2.0)

    settings = configured(settings, historian.url, tmp_path, browse=[{}], publishing_interval_ms=200)
    with source_for(settings) as source:
        hear(source)
        with structlog.testing.capture_logs() as logs:
            historian.run(lose_one())
            take(source, lambda changes: 1.0 in values_of(changes, "a"), "the value of the lost notification")
    assert "opcua_notification_missed" in [entry["event"] for entry in logs]


def test_history_is_read_page_by_page(
    historian: Plant, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "VALUES", 7)
    settings = configured(settings, historian.url, tmp_path, browse=[{}])
    with source_for(settings) as source:
        connect(source, acknowledge=True)
    begin = utc_now()
    for number in range(1, 101):
        for name in ("a", "b"):
            # Three values of each node have the same time.
            historian.write(name, float(number), at=begin + timedelta(milliseconds=number // 3))
    with source_for(settings) as source:
        taken = connect(source)
        taken += take(source, lambda _: filled(source), "the history")
        wanted = {float(number) for number in range(1, 101)}
        take(
            source,
            lambda changes: all(set(values_of(taken + changes, name)) >= wanted for name in ("a", "b")),
            "all values of both nodes",
        )


def test_what_is_landed_by_the_collector_is_complete_over_a_restart(
    historian: Plant, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, historian.url, tmp_path, browse=[{}])

    def collect_until(value: float) -> None:
        stop = threading.Event()
        thread = threading.Thread(
            target=run_collector, args=(settings,), kwargs={"stop": stop, "kind": SourceKind.opcua}
        )
        thread.start()
        try:
            text = b'"value":%.1f,' % value
            wait_until(lambda: any(text in payload for payload in landed_payloads(settings.paths)), f"{value} landed")
        finally:
            stop.set()
            thread.join(20)

    historian.write("a", 1.0)
    collect_until(1.0)
    for number in range(2, 20):
        historian.write("a", float(number))
    collect_until(10.0)
    everything = b"".join(landed_payloads(settings.paths))
    assert [number for number in range(1, 20) if b'"value":%.1f,' % number not in everything] == []


def test_positions_that_cannot_be_read_are_told_and_nothing_else_happens(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    settings = configured(settings, f"opc.tcp://127.0.0.1:{free_port}", tmp_path, browse=[{}])
    settings.paths.state.mkdir(parents=True)
    (settings.paths.state / f"opcua-positions-{settings.collector_id}.json").write_text("{torn")
    with structlog.testing.capture_logs() as logs, source_for(settings):
        pass
    assert [entry["event"] for entry in logs] == ["opcua_positions_unreadable"]
