"""The simulated line over OPC UA, collected and decoded as a user would."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.opcua import OpcuaSource
from iot_pipeline.sources.source import Received
from sensors_sim.opcua_server import PASSWORD_VARIABLE, ServerOptions, serve, write_collector_config
from tests.servers import listens, wait_until

METRICS = {
    **dict.fromkeys(("current_l1", "current_l2", "current_l3"), "A"),
    "v_rms": "mm/s",
    "a_peak": "g",
    "state": None,
}


@contextmanager
def served(options: ServerOptions) -> Iterator[None]:
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=loop.run_until_complete, args=(serve(options, stop),))
    thread.start()
    try:
        wait_until(lambda: listens(options.port), "the server to listen")
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(20)
        loop.close()


def collector_for(settings: Settings, options: ServerOptions, folder: Path) -> OpcuaSource:
    path = folder / "opcua.yaml"
    write_collector_config(path, options)
    return OpcuaSource(load_settings(data=settings.data, opcua=path))


def test_the_line_is_read_with_the_names_and_units_of_the_one_that_speaks_mqtt(
    settings: Settings, free_port: int, tmp_path: Path
) -> None:
    options = ServerOptions(port=free_port, rate_factor=10)
    with served(options):
        source = collector_for(settings, options, tmp_path)
        sink = Sink()
        decoder = MessageDecoder(load_mappings(None), limits_of(settings))

        def all_metrics() -> bool:
            for told in source.poll(0.1):
                decoder.decode(told.message.topic, told.message.payload, int(time.time() * 1e6), sink)
            return {row[3] for row in sink.rows if row[2] == "line_2/press_1"} == set(METRICS)

        try:
            wait_until(all_metrics, "each metric of a machine")
        finally:
            source.close()
    assert sink.problems == []
    assert {row[3]: row[6] for row in sink.rows if row[2] == "line_2/press_1"} == METRICS
    assert {device.fleet for device in sink.devices.values()} <= {"industrial_line"}
    assert decoder.mapping_of("opcua/industrial_line").name == "line_opcua"  # type: ignore[union-attr]


def test_a_line_that_insists_on_a_user_and_on_encryption(
    settings: Settings, free_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, "s3cret")
    certificates = tmp_path / "certificates"
    options = ServerOptions(
        port=free_port, user="collector", password="s3cret", certificates=certificates, history=False
    )
    with served(options):
        trusted = settings.paths.state / "opcua" / "trusted"
        trusted.mkdir(parents=True)
        (trusted / "line.der").write_bytes((certificates / "server.der").read_bytes())
        source = collector_for(settings, options, tmp_path)
        arrived: list[Received] = []

        def something() -> bool:
            arrived.extend(source.poll(0.1))
            return bool(arrived) and source.state.connected

        try:
            wait_until(something, "a change")
        finally:
            source.close()


def test_a_user_without_a_password_is_refused(free_port: int) -> None:
    with pytest.raises(ConfigurationError, match=PASSWORD_VARIABLE):
        asyncio.run(serve(ServerOptions(port=free_port, user="collector"), asyncio.Event()))
