"""Doctor asks real brokers: what they keep, what they dropped, whose session nobody comes back to."""

import getpass
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paho.mqtt.client import Client, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion

from iot_pipeline.operations.broker_probe import BrokerAnswer, Kept, end_session, kept_for_an_absent_client
from iot_pipeline.operations.doctor import Finding, Verdict
from iot_pipeline.operations.doctor.broker import STORED_WARN, check_broker, judge, judge_figures, judge_queue
from iot_pipeline.operations.doctor.collectors import check_collectors
from iot_pipeline.settings import Settings, load_settings
from tests.servers import Child, RunningBroker, free_loopback_port
from tests.sources.publishing import collecting, landed_payloads, payloads, publisher

DEFAULTS = "listener {port} 127.0.0.1\nallow_anonymous true\nuser {user}\n"


@pytest.fixture
def careless_broker(mosquitto_broker: RunningBroker, tmp_path: Path) -> Iterator[RunningBroker]:
    """Mosquitto with its defaults; the other one only tells where it is installed."""
    config, port = tmp_path / "careless.conf", free_loopback_port()
    config.write_text(DEFAULTS.format(port=port, user=getpass.getuser()))
    command = [mosquitto_broker.child.command[0], "-c", str(config)]
    broker = RunningBroker("careless", port, Child(command, tmp_path / "careless.log"))
    broker.start()
    yield broker
    broker.stop()


def findings(settings: Settings, broker: RunningBroker) -> dict[str, Finding]:
    found = check_broker(load_settings(data=settings.data, broker_url=broker.url))
    return {finding.check: finding for finding in found}


def test_the_defaults_of_mosquitto_are_refused(settings: Settings, careless_broker: RunningBroker) -> None:
    found = findings(settings, careless_broker)
    assert found["broker"].verdict is Verdict.fail
    assert "max_inflight_messages" in found["broker"].do
    assert found["broker queue"].verdict is Verdict.fail
    assert "kept 1,000 of 1,200" in found["broker queue"].seen
    assert "max_queued_messages" in found["broker queue"].do


def test_dropped_messages_are_told() -> None:
    [finding] = judge_figures({"publish/messages/dropped": "200"})
    assert finding.check == "broker drops"
    assert list(judge_figures({"publish/messages/dropped": "0"})) == []


def test_a_broker_that_is_set_up_as_documented_is_not_complained_about(
    settings: Settings, broker: RunningBroker
) -> None:
    found = findings(settings, broker)
    assert {finding.verdict for finding in found.values()} == {Verdict.ok}
    assert "1,200 messages and more" in found["broker queue"].seen


def test_the_documented_mosquitto_keeps_messages_of_qos_0_as_well(
    settings: Settings, mosquitto_broker: RunningBroker
) -> None:
    assert "QoS 0, too" in findings(settings, mosquitto_broker)["broker queue"].seen


def test_a_probe_is_never_landed(settings: Settings, broker: RunningBroker) -> None:
    settings = load_settings(data=settings.data, broker_url=broker.url, batch_seconds=0.3)
    with collecting(settings), publisher(broker) as sender:
        assert kept_for_an_absent_client(settings) is not None
        sender.send([b"last"])
    assert landed_payloads(settings.paths) == [b"last"]


def test_a_session_can_be_ended(settings: Settings, broker: RunningBroker) -> None:
    settings = load_settings(data=settings.data, broker_url=broker.url, collector_id="forgotten")
    with collecting(settings):
        pass
    with publisher(broker) as sender:
        sender.send(payloads(10))
    end_session(settings, "forgotten")
    present: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id="forgotten", clean_session=False, protocol=MQTTv311)

    def on_connect(client: Client, _: object, flags: object, *_more: object) -> None:
        present.append(bool(getattr(flags, "session_present", None)))
        client.disconnect()

    client.on_connect = on_connect
    client.connect("127.0.0.1", broker.port)
    client.loop_forever()
    assert present == [False]


def test_a_collector_that_was_renamed_is_told(settings: Settings, nats_broker: RunningBroker) -> None:
    old = load_settings(data=settings.data, broker_url=nats_broker.url, collector_id="old")
    assert [finding.verdict for finding in check_collectors(settings)] == [Verdict.ok]
    with collecting(old):
        refused = subprocess.run(
            [sys.executable, "-m", "iot_pipeline.cli", "forget", "old", "--data", str(settings.data)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert refused.returncode == 2
        assert "stop it first" in refused.stderr
    [finding] = check_collectors(settings)
    assert finding.verdict is Verdict.warn
    assert "'old'" in finding.seen
    assert "iot forget old" in finding.do


def test_hoarded_messages_are_told() -> None:
    told = {"clients/disconnected": "2", "store/messages/count": str(STORED_WARN)}
    [finding] = judge_figures(told)
    assert finding.check == "broker sessions"
    assert list(judge_figures({**told, "clients/disconnected": "0"})) == []


@pytest.mark.parametrize("kept", [None, Kept(0, 0)])
def test_a_broker_that_forbids_the_probe_is_not_taken_for_safe(kept: Kept | None) -> None:
    assert judge_queue(kept, mosquitto=False).verdict is Verdict.warn


def test_packets_shorter_than_payloads_may_be_are_told() -> None:
    answer = BrokerAnswer(refused=None, receive_maximum=65_535, maximum_packet=1_000)
    assert [finding.verdict for finding in judge("mqtt://x", answer, longest=2_000)] == [Verdict.ok, Verdict.warn]
