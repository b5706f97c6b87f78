"""Fixtures that several stages need: a data folder, settings and real brokers. Helpers are in `servers.py`."""

import getpass
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from iot_pipeline.operations.broker import broker_command
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.settings import Settings, load_settings
from tests.servers import Child, RunningBroker, free_loopback_port

# A busy machine is no reason to fail: properties are about what comes out, not about how long it takes.
hypothesis.settings.register_profile("unhurried", deadline=None)
hypothesis.settings.load_profile("unhurried")

MOSQUITTO_CONFIG = PROJECT_ROOT / "docs" / "mosquitto.conf"


@pytest.fixture
def free_port() -> int:
    """A loopback port that nothing listens on."""
    return free_loopback_port()


@pytest.fixture
def data_paths(tmp_path: Path) -> DataPaths:
    """The trees of an empty data folder."""
    return DataPaths(tmp_path / "data")


@pytest.fixture
def settings(data_paths: DataPaths, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Default settings on that data folder, whatever the environment of the developer says."""
    monkeypatch.chdir(tmp_path)  # No .env there.
    return load_settings(data=data_paths.root)


@pytest.fixture(scope="session")
def parsed_dbt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that dbt's manifest is kept in, parsed once for all workers: it takes seconds. To be copied."""
    from iot_pipeline.stats.dbt_build import prepare_manifest  # noqa: PLC0415  # most tests need no dbt

    own = tmp_path_factory.getbasetemp()
    common = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return prepare_manifest(DataPaths(common / "dbt")).parent


@pytest.fixture
def nats_broker(tmp_path: Path) -> Iterator[RunningBroker]:
    """The embedded broker, with the configuration that the product writes."""
    port = free_loopback_port()
    command = broker_command(DataPaths(tmp_path / "broker-data"), port)
    yield from _running(RunningBroker("nats-server", port, Child(command, tmp_path / "nats-server.log")))


@pytest.fixture
def mosquitto_broker(tmp_path: Path) -> Iterator[RunningBroker]:
    """Mosquitto with the configuration that the documentation ships; skipped where it is not installed."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        pytest.skip("mosquitto is not installed")
    port = free_loopback_port()
    store = tmp_path / "mosquitto"
    store.mkdir()
    config = tmp_path / "mosquitto.conf"
    config.write_text(mosquitto_config(port, store))
    yield from _running(
        RunningBroker("mosquitto", port, Child([binary, "-c", str(config)], tmp_path / "mosquitto.log"))
    )


def mosquitto_config(port: int, store: Path) -> str:
    """The configuration that the documentation ships, on a port and in a folder of the test."""
    text = MOSQUITTO_CONFIG.read_text()
    for shipped, ours in {
        "listener 1883 127.0.0.1": f"listener {port} 127.0.0.1",
        # Started as root it would become the user `mosquitto`, who may not write there.
        "persistence_location /var/lib/mosquitto/": f"persistence_location {store}/\nuser {getpass.getuser()}",
    }.items():
        assert text.count(f"\n{shipped}\n") == 1
        text = text.replace(shipped, ours)
    return text


@pytest.fixture(params=["nats_broker", "mosquitto_broker"])
def broker(request: pytest.FixtureRequest) -> RunningBroker:
    """Every broker that the product is tested with."""
    running: RunningBroker = request.getfixturevalue(request.param)
    return running


def _running(broker: RunningBroker) -> Iterator[RunningBroker]:
    broker.start()
    yield broker
    broker.stop()
