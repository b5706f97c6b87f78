"""The simulator and the load against a real broker: births, pace, an outage, a clean end, acknowledgements."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from iot_pipeline.errors import BrokerUnavailable, ConfigurationError
from iot_pipeline.protocols.sparkplug_b import DataType, Metric, Payload, decode_payload, encode_payload
from iot_pipeline.settings import Settings, load_settings
from sensors_sim.fleet import Message
from sensors_sim.ice_plant import COMMAND_TOPIC, REBIRTH
from sensors_sim.load import batch_payload, run_load
from sensors_sim.registry import FLEETS
from sensors_sim.run import main, run_simulator
from tests.sensors_sim.worlds import START, read
from tests.servers import RunningBroker, wait_until

Heard = list[tuple[str, bytes]]


@contextmanager
def listening(broker: RunningBroker, qos: int = 0) -> Iterator[tuple[paho.Client, Heard]]:
    """A client subscribed to everything, and what it heard so far."""
    heard: Heard = []
    subscribed = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener")
    client.on_message = lambda _c, _u, message: heard.append((message.topic, bytes(message.payload)))
    client.on_connect = lambda c, *_: c.subscribe("#", qos)
    client.on_subscribe = lambda *_: subscribed.set()
    client.reconnect_delay_set(1, 1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        assert subscribed.wait(10)
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def simulating(settings: Settings, fleets: list[str]) -> Iterator[Callable[[], None]]:
    """A running simulator; call what it gives to end it in good order."""
    stop = threading.Event()
    runner = threading.Thread(
        target=run_simulator, args=(settings,), kwargs={"fleets": fleets, "stop": stop, "faults": False}
    )
    runner.start()

    def end() -> None:
        stop.set()
        runner.join(15)
        assert not runner.is_alive()

    try:
        yield end
    finally:
        end()


def count(heard: Heard, kind: str) -> int:
    return sum(kind in topic for topic, _ in heard)


@pytest.fixture
def local(nats_broker: RunningBroker, settings: Settings) -> Settings:
    return load_settings(data=settings.data, broker_url=nats_broker.url)


def test_all_fleets_speak_and_the_node_dies_properly(nats_broker: RunningBroker, local: Settings) -> None:
    with listening(nats_broker) as (client, heard), simulating(local, list(FLEETS)) as end:
        for topic in ("DDATA", "weather/", "line/", "utility/", "us/"):
            wait_until(lambda topic=topic: count(heard, topic) > 0, f"a message of {topic}")  # type: ignore[misc]
        rebirth = Payload(1, None, [Metric(REBIRTH, None, 1, DataType.BOOLEAN, True)])
        client.publish(COMMAND_TOPIC, encode_payload(rebirth))
        wait_until(lambda: count(heard, "NBIRTH") == 2, "the rebirth asked for")
        end()
        wait_until(lambda: count(heard, "NDEATH") == 1, "the death certificate")
    births = [decode_payload(p).metrics[0].value for topic, p in heard if "NBIRTH" in topic]
    [death] = [decode_payload(p).metrics[0].value for topic, p in heard if "NDEATH" in topic]
    assert set(births) == {death}
    sparkplug = [topic.split("/")[2] for topic, _ in heard if topic.startswith("spBv1.0") and "NCMD" not in topic]
    assert sparkplug[:12] == ["NBIRTH", *["DBIRTH"] * 10, "DDATA"]


def test_after_an_outage_it_goes_on_with_new_births(nats_broker: RunningBroker, local: Settings) -> None:
    with simulating(local, ["ice_plant", "weather"]):
        with listening(nats_broker) as (_, heard):
            wait_until(lambda: count(heard, "weather/") > 0, "the first reading")
        nats_broker.kill()
        nats_broker.start()
        with listening(nats_broker) as (_, again):
            # QoS 1, sent once more after the outage, can arrive before the first births.
            wait_until(lambda: count(again, "DDATA") > 20 and count(again, "weather/") > 3, "readings after the outage")
    # Beside them the broker keeps certificates, of the session before, too.
    assert sum(topic.startswith("spBv1.0/") and "NBIRTH" in topic for topic, _ in again) <= 1


def test_it_waits_for_a_broker_that_is_not_there_yet(nats_broker: RunningBroker, local: Settings) -> None:
    nats_broker.stop()
    with simulating(local, ["weather"]):
        nats_broker.start()
        with listening(nats_broker) as (_, heard):
            wait_until(lambda: count(heard, "weather/") > 0, "the first reading")


def test_without_a_broker_it_ends_at_once_when_told(settings: Settings, free_port: int) -> None:
    with simulating(load_settings(broker_url=f"mqtt://127.0.0.1:{free_port}"), ["weather", "ice_plant"]):
        pass


def test_wrong_arguments_start_nothing(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigurationError, match="valid values are"):
        run_simulator(settings, fleets=["nothing"])


def test_load_is_acknowledged_whole(nats_broker: RunningBroker, local: Settings) -> None:
    with listening(nats_broker, qos=1) as (_, heard):
        summary = run_load(local, rate=100, batch=100, seconds=1)
        assert summary.sent == summary.acknowledged == pytest.approx(100, abs=5)
        assert summary.readings == 100 * summary.sent
        wait_until(lambda: len(heard) == summary.sent, "all batches")
    sink = read(Message(START, topic, payload) for topic, payload in heard)
    # Their time is the present, which the tests' own is not: only the clock may object.
    assert {problem.reason.value for problem in sink.problems} <= {"clock"}


def test_load_of_one_batch_has_as_many_readings_as_asked_for() -> None:
    assert batch_payload(0, 100).count(b'"meter"') == 100
    assert batch_payload(0, 3) != batch_payload(1, 3)


def test_load_says_what_is_wrong(free_port: int, settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="rate"):
        run_load(settings, rate=0)
    with pytest.raises(BrokerUnavailable, match=str(free_port)):
        run_load(load_settings(broker_url=f"mqtt://127.0.0.1:{free_port}"), rate=1, seconds=1)


def test_the_command_explains_a_wrong_fleet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--fleets", "wether"]) == 2
    assert "valid values are: ice_plant" in capsys.readouterr().err
