"""`iot collect --init`: what is sent after it is kept, although no collector has run yet."""

import os
import subprocess
import sys

import pytest

from iot_pipeline.errors import BrokerUnavailable, ConfigurationError
from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources import preparing
from iot_pipeline.sources.preparing import prepare_session
from tests.servers import RunningBroker, wait_until
from tests.sources.publishing import collecting, landed_payloads, payloads, publisher


def init(settings: Settings, broker: RunningBroker) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iot_pipeline.cli", "collect", "--init"]
    command += ["--data", str(settings.data), "--broker-url", broker.url]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_what_is_sent_after_it_and_before_the_collector_is_landed(settings: Settings, broker: RunningBroker) -> None:
    done = init(settings, broker)
    assert done.returncode == 0, done.stderr
    assert "keeps messages for 'collector-1' from now on: #" in done.stdout
    sent = payloads(3_000)
    with publisher(broker) as sender:
        sender.send(sent)
    assert init(settings, broker).returncode == 0  # Once more: nothing is taken away from the collector.
    settings = load_settings(data=settings.data, broker_url=broker.url, batch_seconds=0.3)
    with collecting(settings):
        wait_until(lambda: len(set(landed_payloads(settings.paths))) == len(sent), "all landed")
    assert sorted(set(landed_payloads(settings.paths))) == sent


def test_a_running_collector_is_left_alone(settings: Settings, one_broker: RunningBroker) -> None:
    settings = load_settings(data=settings.data, broker_url=one_broker.url)
    with collecting(settings), pytest.raises(ConfigurationError, match="already runs"):
        prepare_session(settings)


@pytest.mark.usefixtures("reader")
def test_a_broker_that_is_away_is_told(settings: Settings, free_port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparing, "PATIENCE_SECONDS", 0.3)
    settings = load_settings(data=settings.data, broker_url=f"mqtt://127.0.0.1:{free_port}")
    with pytest.raises(BrokerUnavailable, match="Connection refused"):
        prepare_session(settings)


@pytest.mark.parametrize("kind", [SourceKind.sparkplug, SourceKind.opcua])
def test_only_mqtt_has_a_session(settings: Settings, kind: SourceKind) -> None:
    with pytest.raises(ConfigurationError, match="only mqtt"):
        prepare_session(settings, kind)
