"""Fixtures that several stages need: a data folder, settings and real brokers. Helpers are in `servers.py`."""

import getpass
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from iot_pipeline.operations.broker import broker_command
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings, load_settings
from tests.servers import Child, RunningBroker, free_loopback_port

# As facts about brokers ask for: with the defaults, Mosquitto hands out 20 messages at a time,
# keeps 1,000 for an absent client and drops the rest without a word to the publisher.
MOSQUITTO_CONFIG = """
listener {port} 127.0.0.1
user {user}
allow_anonymous true
persistence true
persistence_location {store}/
autosave_interval 5
max_inflight_messages 65535
max_queued_messages 5000000
max_queued_bytes 2147483648
"""


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


@pytest.fixture
def nats_broker(tmp_path: Path) -> Iterator[RunningBroker]:
    """The embedded broker, with the configuration that the product writes."""
    port = free_loopback_port()
    command = broker_command(DataPaths(tmp_path / "broker-data"), port)
    yield from _running(RunningBroker("nats-server", port, Child(command, tmp_path / "nats-server.log")))


@pytest.fixture
def mosquitto_broker(tmp_path: Path) -> Iterator[RunningBroker]:
    """Mosquitto, configured as the documentation asks for; skipped where it is not installed."""
    binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    if binary is None:
        pytest.skip("mosquitto is not installed")
    port = free_loopback_port()
    store = tmp_path / "mosquitto"
    store.mkdir()
    config = tmp_path / "mosquitto.conf"
    config.write_text(MOSQUITTO_CONFIG.format(port=port, store=store, user=getpass.getuser()))
    yield from _running(
        RunningBroker("mosquitto", port, Child([binary, "-c", str(config)], tmp_path / "mosquitto.log"))
    )


@pytest.fixture(params=["nats_broker", "mosquitto_broker"])
def broker(request: pytest.FixtureRequest) -> RunningBroker:
    """Every broker that the product is tested with."""
    running: RunningBroker = request.getfixturevalue(request.param)
    return running


def _running(broker: RunningBroker) -> Iterator[RunningBroker]:
    broker.start()
    yield broker
    broker.stop()
