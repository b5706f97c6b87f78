"""The stage on files: what is written, replaced, announced and left alone."""

import base64
import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest

from iot_pipeline.clock import MINUTE, landing_minute, minute_key
from iot_pipeline.paths import minute_folder
from iot_pipeline.protocols.sparkplug_b import DataType, Metric, Payload, encode_payload
from iot_pipeline.readings.build import build_minutes, device_tree, intake_tree, quarantine_tree
from iot_pipeline.readings.filing import filed_file
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.readings.schema import DEVICE_SCHEMA, INTAKE_SCHEMA, QUARANTINE_SCHEMA, READING_SCHEMA
from iot_pipeline.readings.store import event_day_files, event_minute_files, open_root
from iot_pipeline.settings import Settings
from tests.readings.landed import BUILT_IN, NOW, Sent, land, mappings_of, settings_in
from tests.readings.stored import read_event_minutes

EVENT = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus" / "bad_inputs.jsonl"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path / "data")


def weather(value: float, event: datetime = EVENT, received: datetime = NOW, device: str = "st-1") -> Sent:
    payload = {"deviceid": device, "temperature": value, "latitude": 47.5, "time": event.isoformat()}
    return received, f"weather/{device}/observation", msgspec.json.encode(payload)


def ledger(settings: Settings) -> list[dict[str, object]]:
    path = settings.paths.ledger / "readings.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_minute_is_decoded_filed_and_accounted_for(settings: Settings) -> None:
    (minute,) = land(
        settings,
        [
            weather(1.0),
            weather(2.0, EVENT - timedelta(seconds=1)),
            weather(9.0),
            (NOW, "x", b"1"),
            (NOW, "weather/a/observation", b""),
        ],
    )
    (intake,) = build_minutes(settings, BUILT_IN, [minute])
    assert (intake.messages, intake.decoded, intake.duplicates, intake.no_reading, intake.quarantined) == (
        5,
        2,
        1,
        1,
        1,
    )
    assert (intake.readings, intake.reading_duplicates, intake.null_fields) == (2, 1, 0)
    assert intake.lag_max_seconds == 31.0
    assert intake.touched_minutes == (EVENT - MINUTE, EVENT)
    readings = read_event_minutes(settings.paths, EVENT, EVENT)
    assert dict(readings.schema) == READING_SCHEMA
    assert readings.rows() == [(EVENT, NOW, "mqtt", "st-1", "temperature", 1.0, None, "°C", "good", "c-1-1-0")]
    quarantine = quarantine_tree(settings.paths).read(minute, minute)
    assert dict(quarantine.schema) == QUARANTINE_SCHEMA
    assert quarantine.select("topic", "payload", "reason", "mapping", "field").rows() == [
        ("x", b"1", "no_mapping", None, None)
    ]
    devices = device_tree(settings.paths).read(minute, minute)
    assert dict(devices.schema) == DEVICE_SCHEMA
    assert devices.rows() == [
        ("st-1", "weather", '{"latitude":47.5}', EVENT - timedelta(seconds=1), EVENT, NOW, 2, None, None, 1)
    ]
    account = intake_tree(settings.paths).read(minute, minute)
    assert dict(account.schema) == INTAKE_SCHEMA
    assert account["touched_minutes"].to_list() == [[EVENT - MINUTE, EVENT]]
    assert [line["touched_minutes"] for line in ledger(settings)] == [[minute_key(EVENT - MINUTE), minute_key(EVENT)]]


def test_an_empty_minute_has_an_account_and_announces_nothing(settings: Settings) -> None:
    minutes = [EVENT, EVENT + MINUTE]
    assert [intake.messages for intake in build_minutes(settings, BUILT_IN, minutes)] == [0, 0]
    assert intake_tree(settings.paths).read(*minutes).height == 2
    assert all(tree(settings.paths).file(EVENT).exists() for tree in (quarantine_tree, device_tree, intake_tree))
    assert ledger(settings) == []


def test_building_again_changes_no_byte_and_announces_nothing(settings: Settings) -> None:
    minutes = land(settings, [weather(float(number), EVENT + timedelta(seconds=number)) for number in range(90)])
    build_minutes(settings, BUILT_IN, minutes)
    files = [path for path in settings.paths.readings.rglob("*") if path.is_file()]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in files if path.suffix == ".parquet"}
    again = build_minutes(settings, BUILT_IN, minutes)
    assert [intake.touched_minutes for intake in again] == [()] * len(minutes)
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert len(ledger(settings)) == len(minutes)


def test_a_mended_mapping_moves_readings_and_leaves_an_empty_file(settings: Settings) -> None:
    wrong = mappings_of(
        "{name: w, fleet: f, topic: 't/{d}', device_id: '{d}', leaves: {}, timestamp: {paths: a, unit: s}}"
    )
    right = mappings_of(
        "{name: w, fleet: f, topic: 't/{d}', device_id: '{d}', leaves: {exclude: [a]}, timestamp: {paths: b, unit: s}}"
    )
    at = int(EVENT.timestamp())
    (minute,) = land(settings, [(NOW, "t/d", msgspec.json.encode({"a": at - 600, "b": at, "v": 1}))])
    build_minutes(settings, wrong, [minute])
    earlier = EVENT - timedelta(minutes=10)
    assert read_event_minutes(settings.paths, earlier, earlier).height == 2
    (intake,) = build_minutes(settings, right, [minute])
    assert intake.touched_minutes == (earlier, EVENT)
    (tombstone,) = event_minute_files(settings.paths, [earlier])
    assert pl.read_parquet(tombstone).is_empty()
    assert read_event_minutes(settings.paths, EVENT, EVENT)["value"].to_list() == [1.0]
    (again,) = build_minutes(settings, right, [minute])
    assert again.touched_minutes == ()


def test_a_crash_before_the_announcement_announces_on_the_next_build(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    minutes = land(settings, [weather(1.0)])

    def dies(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("iot_pipeline.readings.build._publish", dies)
        with pytest.raises(KeyboardInterrupt):
            build_minutes(settings, BUILT_IN, minutes)
    assert ledger(settings) == []
    (intake,) = build_minutes(settings, BUILT_IN, minutes)
    assert intake.touched_minutes == (EVENT,)
    assert len(ledger(settings)) == 1


def test_a_damaged_list_of_partitions_is_found_again(settings: Settings) -> None:
    (minute,) = land(settings, [weather(1.0)])
    build_minutes(settings, BUILT_IN, [minute])
    filed_file(settings.paths, minute).write_bytes(b"{")
    (minute,) = land(settings, [weather(1.0, EVENT - MINUTE)])
    (intake,) = build_minutes(settings, BUILT_IN, [minute])
    assert intake.touched_minutes == (EVENT - MINUTE, EVENT)


def test_history_goes_to_its_day(settings: Settings) -> None:
    row = {"event_time": "2012-03-04T05:06:07Z", "flow": 3.5}
    (minute,) = land(settings, [(NOW, "replay/river/gauge", msgspec.json.encode(row))])
    (intake,) = build_minutes(settings, BUILT_IN, [minute])
    assert (intake.touched_minutes, intake.touched_days) == ((), (date(2012, 3, 4),))
    (path,) = event_day_files(settings.paths, date(2012, 3, 4))
    assert path.parent.name == "hm=day"
    assert ledger(settings)[0]["touched_days"] == ["2012-03-04"]


def test_the_first_durable_copy_wins_over_landing_minutes(settings: Settings) -> None:
    later = NOW + 3 * MINUTE
    land(settings, [weather(2.0, received=later)], batch=2)
    land(settings, [weather(1.0)], batch=3)
    minutes = [landing_minute(at, settings.intake_delay) for at in (NOW, later)]
    build_minutes(settings, BUILT_IN, minutes)
    assert read_event_minutes(settings.paths, EVENT, EVENT)["value"].to_list() == [1.0]


@pytest.mark.parametrize("order", ["decoded before", "decoded after"])
def test_births_of_earlier_minutes_name_the_data_of_later_ones(settings: Settings, order: str) -> None:
    at_ms = int(EVENT.timestamp() * 1000)
    birth = encode_payload(Payload(at_ms, 1, [Metric("measure", 7, at_ms, DataType.DOUBLE, 1.0)]))
    data = encode_payload(Payload(at_ms, 2, [Metric("", 7, at_ms + 1, value=2.0)]))
    topic = "spBv1.0/ice_plant/{}/sensors/device_1"
    (first,) = land(settings, [(NOW, topic.format("DBIRTH"), birth)], batch=1)
    (last,) = land(settings, [(NOW + 5 * MINUTE, topic.format("DDATA"), data)], batch=2)
    if order == "decoded before":
        build_minutes(settings, BUILT_IN, [first])
    (intake,) = build_minutes(settings, BUILT_IN, [last])
    assert (intake.decoded, intake.quarantined) == (1, 0)
    build_minutes(settings, BUILT_IN, [first])
    assert read_event_minutes(settings.paths, EVENT, EVENT)["value"].to_list() == [1.0, 2.0]


def test_equal_landing_gives_equal_bytes(tmp_path: Path) -> None:
    messages = [weather(float(n), EVENT + timedelta(seconds=n % 7), device=f"d{n % 5}") for n in range(200)]
    contents = []
    for name in ("a", "b"):
        settings = settings_in(tmp_path / name)
        build_minutes(settings, BUILT_IN, land(settings, messages))
        root = open_root(settings.paths)
        contents.append({path.relative_to(root): path.read_bytes() for path in sorted(root.rglob("*.parquet"))})
    assert contents[0] == contents[1]


@pytest.mark.skipif(not CORPUS.exists(), reason="the corpus of bad inputs is not here")
def test_bad_inputs_are_counted_and_crash_nothing(settings: Settings) -> None:
    mapping = """
    fleet: test
    topic: test/plant/{device}/json
    device_id: "{$.device_id|device}"
    leaves: {}
    timestamp: {paths: ts}
    max_lateness: unlimited
    """
    text = CORPUS.read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line) for line in text if line]
    sent = [(NOW, case["topic"], base64.b64decode(case["payload_base64"])) for case in cases]
    minutes = land(settings, sent)
    mappings = mappings_of(mapping)
    (intake,) = build_minutes(settings, type(mappings)((*mappings, *load_mappings(None))), minutes)
    assert intake.messages == len(cases)
    assert intake.messages == intake.decoded + intake.duplicates + intake.no_reading + intake.quarantined
    assert quarantine_tree(settings.paths).read(*minutes, *minutes)["payload"].bin.size().max() <= 4096  # type: ignore[operator]
    assert not list(minute_folder(settings.paths.landing, EVENT).glob("*.tmp"))


def test_devices_tell_how_many_of_their_readings_came_again(settings: Settings) -> None:
    (minute,) = land(settings, [weather(20.5), weather(20.5), weather(20.5), weather(3.0, device="st-2")])
    build_minutes(settings, BUILT_IN, [minute])
    told = device_tree(settings.paths).read(minute, minute).select("device_id", "reading_count", "reading_duplicates")
    assert told.rows() == [("st-1", 1, 2), ("st-2", 1, 0)]
