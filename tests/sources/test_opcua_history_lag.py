"""Servers whose history knows a value some time after it was heard: gaps are asked about until it has caught up."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog.testing
from asyncua import ua

from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.landing.layout import landed_minutes
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.settings import Settings
from iot_pipeline.sources.collector import run_collector
from iot_pipeline.sources.opcua import OpcuaSource
from iot_pipeline.stats.relations import prepare_relations
from iot_pipeline.stats.warehouse import connect as connect_warehouse
from tests.servers import free_loopback_port, wait_until
from tests.sources.opcua_plant import (
    LaggingHistorian,
    Plant,
    configured,
    connect,
    hear,
    plant,
    source_for,
    take,
    values_of,
)
from tests.sources.publishing import landed_payloads
from tests.sources.test_opcua_gaps import cut, overflow


@pytest.fixture(scope="module")
def running() -> Iterator[tuple[Plant, LaggingHistorian]]:
    """One server for all tests: it takes seconds to start."""
    historian = LaggingHistorian()
    with plant(free_loopback_port(), {"a": 0.0, "b": 0.0}, historian=historian) as server:
        yield server, historian


@pytest.fixture
def historian(running: tuple[Plant, LaggingHistorian]) -> LaggingHistorian:
    """It has caught up, and nobody has asked it yet."""
    server, historian = running
    server.run(historian.catch_up())
    historian.asked.clear()
    return historian


@pytest.fixture
def server(running: tuple[Plant, LaggingHistorian], historian: LaggingHistorian) -> Plant:
    """Two nodes at zero."""
    running[0].write("a", 0.0)
    return running[0]


def landed(source: OpcuaSource, value: float) -> None:
    """Take until `value` of node a is there, and say that it is landed."""
    take(source, lambda changes: value in values_of(changes, "a"), f"{value}, landed", acknowledge=True)


def miss(server: Plant, historian: LaggingHistorian, *, first: int, last: int) -> None:
    """Values that nobody hears, and that are in no history yet."""
    historian.lags = True
    for number in range(first, last + 1):
        server.write("a", float(number))


def test_what_a_late_history_lacked_at_first_is_asked_for_again(
    server: Plant, historian: LaggingHistorian, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, server.url, tmp_path, browse=[{}])
    with source_for(settings) as source:
        hear(source)
        cut(server)
        miss(server, historian, first=1, last=50)
        taken = take(source, lambda changes: 50.0 in values_of(changes, "a"), "the first value of the new session")
        taken += take(source, lambda _: len(historian.asked) >= 3, "the history to be asked again")
        assert set(values_of(taken, "a")) <= {0.0, 50.0}  # what is heard
        server.run(historian.catch_up())
        wanted = {float(number) for number in range(1, 51)}
        take(source, lambda changes: wanted <= set(values_of(changes, "a")), "all that was missed")


def test_a_history_that_has_no_data_yet_is_asked_again(
    server: Plant, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = server.server.iserver.history_manager
    read_history = manager.read_history
    asked: list[ua.HistoryReadParameters] = []

    async def nothing_at_first(parameters: ua.HistoryReadParameters) -> list[ua.HistoryReadResult]:
        asked.append(parameters)
        if len(asked) > 1:
            results: list[ua.HistoryReadResult] = await read_history(parameters)
            return results
        nothing = ua.StatusCode(ua.StatusCodes.BadNoData)
        return [ua.HistoryReadResult(StatusCode=nothing) for _ in parameters.NodesToRead]

    monkeypatch.setattr(manager, "read_history", nothing_at_first)
    settings = configured(settings, server.url, tmp_path, browse=[{}])
    with source_for(settings) as source:
        hear(source)
        cut(server)
        server.write("a", 1.0)
        server.write("a", 2.0)
        take(source, lambda changes: 1.0 in values_of(changes, "a"), "the value that nobody heard")


def test_nobody_asks_again_where_history_has_reached_what_is_heard(
    server: Plant, historian: LaggingHistorian, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, server.url, tmp_path, browse=[{}])
    with source_for(settings) as source, structlog.testing.capture_logs() as logs:
        hear(source)
        cut(server)
        take(source, lambda _: "opcua_gap_filled" in [entry["event"] for entry in logs], "the end of the gaps")
        [told] = [entry for entry in logs if entry["event"].startswith("opcua_gap")]
        assert (told["log_level"], told["nodes"]) == ("info", 2)
        assert sorted(node.Identifier for node, _ in historian.asked) == ["a", "b"]


def test_a_collector_that_stops_before_the_history_has_caught_up_asks_again_when_it_is_back(
    server: Plant, historian: LaggingHistorian, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, server.url, tmp_path, browse=[{}])
    with source_for(settings) as source:
        connect(source, acknowledge=True)
        server.write("a", 1.0)
        landed(source, 1.0)
    miss(server, historian, first=2, last=3)
    with source_for(settings) as source:
        landed(source, 3.0)
        take(source, lambda _: bool(historian.asked), "the question that comes too early", acknowledge=True)
        server.write("a", 4.0)
        landed(source, 4.0)
    server.run(historian.catch_up())
    with source_for(settings) as source:
        take(source, lambda changes: 2.0 in values_of(changes, "a"), "the value in the gap")


def test_a_history_that_does_not_catch_up_in_time_is_told_and_asked_no_more(
    server: Plant, historian: LaggingHistorian, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, server.url, tmp_path, nodes=["ns=2;s=a"], history_lag_s=0.2)
    with source_for(settings) as source:
        connect(source, acknowledge=True)
        server.write("a", 1.0)
        landed(source, 1.0)
    miss(server, historian, first=2, last=3)
    with source_for(settings) as source, structlog.testing.capture_logs() as logs:
        landed(source, 3.0)
        wait_until(lambda: "opcua_gap" in [entry["event"] for entry in logs], "the gap to be told")
        [told] = [entry for entry in logs if entry["event"] == "opcua_gap"]
        assert told["nodes"] == 1
        assert told["since"] < told["until"]
        assert "history_lag_s" in told["outcome"]
        server.write("a", 4.0)
        landed(source, 4.0)
    before = len(historian.asked)
    with source_for(settings) as source:
        take(source, lambda _: len(historian.asked) > before, "the question of the next collector")
    # It goes on from what was landed after the gap was given up.
    assert min(since for _, since in historian.asked[before:]) > min(since for _, since in historian.asked[:before])


def test_what_a_full_queue_dropped_is_asked_for_until_a_late_history_has_it(
    server: Plant, historian: LaggingHistorian, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, server.url, tmp_path, browse=[{}], publishing_interval_ms=200)
    with source_for(settings) as source:
        hear(source)
        historian.lags = True
        server.run(overflow(server))
        taken = take(source, lambda _: len(historian.asked) >= 2, "the history to be asked again")
        assert 1.0 not in values_of(taken, "a")
        server.run(historian.catch_up())
        take(source, lambda changes: 1.0 in values_of(changes, "a"), "the dropped value")


def test_what_was_heard_and_told_by_history_is_one_reading(
    server: Plant, historian: LaggingHistorian, settings: Settings, tmp_path: Path
) -> None:
    settings = configured(settings, server.url, tmp_path, nodes=["ns=2;s=a"])
    collect_until(settings, lambda text: '"value":0.0,' in text)
    miss(server, historian, first=1, last=5)

    def told_again(text: str) -> bool:
        if '"value":5.0,' in text and len(historian.asked) >= 2 and historian.lags:
            server.run(historian.catch_up())
        return all(f'"value":{number}.0,' in text for number in range(1, 6)) and text.count('"value":5.0,') >= 2

    collect_until(settings, told_again)
    build_minutes(settings, load_mappings(None), landed_minutes(settings.paths, None))
    prepare_relations(settings.paths)
    with connect_warehouse(settings.paths) as warehouse:
        rows = warehouse.execute("select value from readings where metric = 'a' order by value").fetchall()
    assert rows == [(float(number),) for number in range(6)]


def collect_until(settings: Settings, enough: Callable[[str], bool]) -> None:
    """Run a collector until all payloads that were landed are enough."""
    stop = threading.Event()
    thread = threading.Thread(target=run_collector, args=(settings,), kwargs={"stop": stop, "kind": SourceKind.opcua})
    thread.start()
    try:
        wait_until(lambda: enough(b"".join(landed_payloads(settings.paths)).decode()), "enough to be landed")
    finally:
        stop.set()
        thread.join(20)
