import json
import stat
from pathlib import Path

from paho.mqtt.client import Client, MQTTMessage, MQTTv311
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from iot_pipeline.operations.broker import MAX_ACK_PENDING, broker_binary, broker_command
from iot_pipeline.paths import DataPaths
from tests.servers import Child, RunningBroker, free_loopback_port


def test_the_binary_is_the_installed_package_s() -> None:
    assert broker_binary().stat().st_mode & stat.S_IXUSR


def test_nothing_listens_beyond_the_loopback(data_paths: DataPaths, free_port: int) -> None:
    command = broker_command(data_paths, free_port)
    config = json.loads((data_paths.broker / "nats-server.conf").read_text())
    assert command[1:] == ["--config", str(data_paths.broker / "nats-server.conf")]
    assert config["mqtt"]["listen"] == f"127.0.0.1:{free_port}"
    assert config["listen"].startswith("127.0.0.1:")
    assert config["jetstream"]["store_dir"].startswith(str(data_paths.root))
    assert config["mqtt"]["max_ack_pending"] == MAX_ACK_PENDING


def test_many_filters_fit_into_one_session(data_paths: DataPaths, tmp_path: Path) -> None:
    topics = [f"plant{number}/#" for number in range(7)]
    port = free_loopback_port()
    command = broker_command(data_paths, port, filters=len(topics))
    broker = RunningBroker("nats-server", port, Child(command, tmp_path / "nats-server.log"))
    broker.start()
    refused: list[bool] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id="many", clean_session=False, protocol=MQTTv311)
    client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])

    def on_subscribe(client: Client, _: object, _mid: int, reasons: list[ReasonCode], _properties: object) -> None:
        refused.extend(reason.is_failure for reason in reasons)
        client.disconnect()

    client.on_subscribe = on_subscribe
    for _ in range(2):
        client.connect("127.0.0.1", port)
        client.loop_forever()
    broker.stop()
    assert refused == [False] * 2 * len(topics)


def test_a_published_message_survives_a_killed_broker(nats_broker: RunningBroker) -> None:
    sleeper = Client(CallbackAPIVersion.VERSION2, client_id="sleeper", clean_session=False, protocol=MQTTv311)
    got: list[bytes] = []
    sleeper.on_connect = lambda client, *_: client.subscribe("#", 1)
    sleeper.on_subscribe = lambda client, *_: client.disconnect()
    sleeper.connect("127.0.0.1", nats_broker.port)
    sleeper.loop_forever()

    publisher = Client(CallbackAPIVersion.VERSION2, client_id="publisher", protocol=MQTTv311)
    publisher.connect("127.0.0.1", nats_broker.port)
    publisher.loop_start()
    publisher.publish("plant/one", b"kept", qos=1).wait_for_publish(10)
    publisher.disconnect()
    publisher.loop_stop()

    nats_broker.kill()
    nats_broker.start()

    def on_message(client: Client, _: object, message: MQTTMessage) -> None:
        got.append(bytes(message.payload))
        client.disconnect()

    sleeper.on_subscribe = None
    sleeper.on_message = on_message
    sleeper.connect("127.0.0.1", nats_broker.port)
    sleeper.loop_forever()
    assert got == [b"kept"]
