"""Following landing: bad files, changed mappings, several collectors, Sparkplug births over a restart."""

from datetime import timedelta
from pathlib import Path

from iot_pipeline.clock import MINUTE
from iot_pipeline.landing.layout import landed_files
from iot_pipeline.landing.message import Message
from iot_pipeline.live.model import LiveState
from iot_pipeline.protocols.sparkplug_b import (
    DataType,
    MessageType,
    Metric,
    Payload,
    SparkplugTopic,
    encode_payload,
)
from tests.live.world import MAPPING, NOW, Told, ago, land, layer_on, minute, publish_minutes, settings_in, turn, writer

SINCE = NOW - timedelta(hours=26)


def test_a_file_that_cannot_be_read_is_passed_over_and_counted(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    layer = layer_on(own)
    land(own, [Told(ago(3), 1.0)], [Told(ago(2), 2.0)])
    first, second = landed_files(own.paths, minute(1)) or landed_files(own.paths, minute(0))
    first.write_bytes(b"PAR1 torn")
    turn(layer)
    assert [one.value for one in layer.latest("pump")] == [2.0]
    second.unlink()
    land(own, [Told(ago(1), 3.0)])
    turn(layer)
    status = layer.status()
    assert [one.value for one in layer.latest("pump")] == [3.0]
    assert status.files_skipped == 1
    assert status.error is None


def test_a_changed_mapping_counts_for_what_lands_after_it(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    layer = layer_on(own)
    path = tmp_path / "mappings" / "bench.yaml"
    path.write_text(MAPPING.replace('metric: "{metric}"', 'metric: "new_{metric}"'))
    turn(layer)
    land(own, [Told(ago(1), 1.0)])
    turn(layer)
    assert [one.metric for one in layer.latest("pump")] == ["new_pressure"]


def test_a_wrong_mapping_leaves_the_old_one_in_force_and_is_told(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    layer = layer_on(own)
    path = tmp_path / "mappings" / "bench.yaml"
    path.write_text("nonsense: true")
    turn(layer)
    land(own, [Told(ago(1), 1.0)])
    turn(layer)
    assert [one.value for one in layer.latest("pump")] == [1.0]
    assert "bench.yaml" in (layer.status().error or "")
    path.write_text(MAPPING + "description: mended\n")
    turn(layer)
    assert layer.status().error is None


def test_what_two_collectors_landed_of_one_message_counts_once(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    told = [Told(ago(100 - second), float(second)) for second in range(100)]
    layer = layer_on(own)
    for begin in range(0, 100, 20):
        land(own, told[begin : begin + 20])
        land(own, told[begin : begin + 20], collector="c-2")
        turn(layer)
    assert sum(one.count for one in layer.minutes("pump", "pressure", "bar", since=SINCE)) == 100
    assert layer.status().duplicates == 100


def test_a_copy_is_recognised_long_after_newer_readings_came(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    told = [Told(ago(3000 - second), float(second)) for second in range(900)]
    land(own, told, told[:1])
    assert layer_on(own).status().duplicates == 1


def test_quarantined_messages_are_no_readings(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    writer(own).write([Message(NOW, "mqtt", "bench/pump/pressure", b"{"), Told(ago(1), 1.0).message])
    assert layer_on(own).status().readings == 1


def sparkplug(kind: MessageType, *metrics: Metric, seq: int, at_seconds: float) -> Message:
    topic = str(SparkplugTopic("plant", kind, "edge", None))
    sent = ago(at_seconds)
    return Message(sent, "sparkplug", topic, encode_payload(Payload(int(sent.timestamp() * 1000), seq, list(metrics))))


def test_births_before_a_restart_name_the_metrics_after_it(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    files = writer(own, "c-1-sparkplug")
    birth = sparkplug(
        MessageType.NBIRTH,
        Metric("bdSeq", datatype=DataType.INT64, value=1),
        Metric("temperature", 7, datatype=DataType.DOUBLE, value=20.0),
        seq=0,
        at_seconds=2000,
    )
    files.write([birth])
    publish_minutes(own, [], minute(2))
    files.write([sparkplug(MessageType.NDATA, Metric("", 7, value=21.5), seq=1, at_seconds=20)])
    layer = layer_on(own)
    readings = [
        one for device in layer.devices(fleet=None, prefix=None, limit=9, after=None) for one in layer.latest(device)
    ]
    assert [(one.metric, one.value) for one in readings] == [("temperature", 21.5)]


def test_landed_files_that_appear_late_in_the_ledger_are_taken_in(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    layer = layer_on(own)
    at = NOW - 50 * MINUTE
    land(own, [Told(at, 1.0, received_at=at)])
    turn(layer)
    assert layer.status().readings == 1


def test_the_layer_is_rebuilding_before_and_stale_without_its_thread(tmp_path: Path) -> None:
    own = settings_in(tmp_path)
    layer = layer_on(own)
    assert layer.status().state is LiveState.STALE
    assert layer.status().progress == 1.0
