"""Every test of an MQTT source runs with both readers: each on the brokers that it can talk to."""

import pytest

from tests.servers import RunningBroker


def _use(reader: str, monkeypatch: pytest.MonkeyPatch) -> str:
    # By the environment, so that processes that a test starts have it as well.
    monkeypatch.setenv("IOT_MQTT_READER", reader)
    return reader


@pytest.fixture(params=["paho", "mqtt5"])
def reader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The client in use, for tests with Mosquitto or without a broker."""
    return _use(request.param, monkeypatch)


@pytest.fixture(params=["paho-nats", "paho-mosquitto", "mqtt5-mosquitto"])
def broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunningBroker:
    """Every pair of reader and broker that the product is tested with."""
    return _pair(request, monkeypatch)


@pytest.fixture(params=["paho-nats", "mqtt5-mosquitto"])
def one_broker(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunningBroker:
    """One broker for each reader, where the broker does not matter."""
    return _pair(request, monkeypatch)


def _pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> RunningBroker:
    reader, _, name = request.param.partition("-")
    _use(reader, monkeypatch)
    running: RunningBroker = request.getfixturevalue(f"{name}_broker")
    return running
