"""What another mapping would change on landed data, told without writing anything."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from iot_pipeline.clock import MINUTE
from iot_pipeline.protocols.sparkplug_b import DataType, Metric, Payload, encode_payload
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.language.mapping import MappingSet, parse_mapping
from iot_pipeline.readings.tryout.changes import Changes, MappingChanges
from iot_pipeline.readings.tryout.sets import with_file
from iot_pipeline.settings import Settings
from tests.readings.landed import BUILT_IN, NOW, Sent, land, settings_in

PRESENT = """
name: acme
fleet: acme
topic: acme/{device}
device_id: "{device}"
leaves: {exclude: [secret]}
timestamp: {paths: ts, fallback: reject}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def sets(old: str, new: str) -> tuple[MappingSet, MappingSet]:
    present = with_file(BUILT_IN, parse_mapping(old, "own/acme.yaml", default_name="acme"))
    return present, with_file(present, parse_mapping(new, "acme.yaml", default_name="acme"))


def changes(settings: Settings, old: str, new: str, minutes: list[datetime]) -> Changes:
    compared = MappingChanges(settings, *sets(old, new), minutes[0])
    for minute in minutes:
        compared.compare(minute)
    return compared.found


def told(second: float, payload: str, topic: str = "acme/d") -> Sent:
    return NOW + timedelta(seconds=second), topic, payload.encode()


MESSAGES = [
    told(0, '{"ts":1795341600,"v":1,"secret":5}'),
    told(1, '{"ts":1795341601,"v":2}'),
    told(2, '{"at":1795341602,"v":3}'),
    told(3, '{"ts":1795341603,"w":"1,5"}'),
    told(4, "{"),
]


def counted(found: Changes) -> dict[str, int]:
    return {kind: count for kind, count in found.counts.items() if count}


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        (("", ""), {}),
        (("paths: ts", "paths: [ts, at]"), {"added": 1, "no_longer_quarantined": 1}),
        (("{exclude: [secret]}", "{}"), {"added": 1}),
        (("{exclude: [secret]}", "{exclude: [secret, v]}"), {"removed": 2}),
        (("timestamp", "scales: {v: 10}\ntimestamp"), {"changed": 2}),
        (('"{device}"', '"acme/{device}"'), {"added": 2, "removed": 2}),
        (("timestamp", "unit: bar\ntimestamp"), {"added": 2, "removed": 2}),
        (("paths: ts", "paths: at"), {"added": 1, "removed": 2, "newly_quarantined": 3, "no_longer_quarantined": 2}),
    ],
)
def test_what_changes(settings: Settings, edit: tuple[str, str], expected: dict[str, int]) -> None:
    minutes = land(settings, MESSAGES)
    found = changes(settings, PRESENT, PRESENT.replace(*edit), minutes)
    assert counted(found) == expected
    assert (found.minutes, found.messages) == (len(minutes), len(MESSAGES))


def test_changes_are_told_by_topic_device_and_metric_with_examples(settings: Settings) -> None:
    minutes = land(settings, MESSAGES)
    found = changes(settings, PRESENT, PRESENT.replace("paths: ts", "paths: [ts, at]"), minutes)
    assert found.readings.to_dicts() == [
        {"topic": "acme/d", "device_id": "d", "metric": "v", "added": 1, "removed": 0, "changed": 0}
    ]
    assert found.quarantine.to_dicts() == [
        {"topic": "acme/d", "reason": "no_timestamp", "newly_quarantined": 0, "no_longer_quarantined": 1}
    ]
    [example] = found.examples["added"]
    assert (example["device_id"], example["value"], example["value_before"]) == ("d", 3.0, None)


def test_a_mapping_for_topics_of_nobody(settings: Settings) -> None:
    minutes = land(settings, [told(0, '{"ts":1795341600,"v":1}', "new/d")])
    found = changes(settings, PRESENT, PRESENT.replace("topic: acme/", "topic: new/"), minutes)
    assert counted(found) == {"added": 1, "no_longer_quarantined": 1}


def test_births_before_the_minutes_are_in_force(settings: Settings) -> None:
    born = Payload(1795341600000, 0, [Metric("Level", 7, 1795341600000, DataType.DOUBLE, 1.5)])
    sent = Payload(1795341600500, 1, [Metric(alias=7, timestamp_ms=1795341600500, datatype=DataType.DOUBLE, value=2.5)])
    first, *rest = land(
        settings,
        [
            (NOW, "spBv1.0/acme/NBIRTH/n", encode_payload(born)),
            (NOW + 3 * MINUTE, "spBv1.0/acme/NDATA/n", encode_payload(sent)),
        ],
    )
    new = 'fleet: acme\ntopic: spBv1.0/acme/{rest...}\nformat: sparkplug_b\ndevice_id: "acme {edge}"\n'
    assert counted(changes(settings, PRESENT, "name: own\n" + new, rest)) == {"added": 1, "removed": 1}
    build_minutes(settings, BUILT_IN, [first])
    assert counted(changes(settings, PRESENT, "name: own\n" + new, rest)) == {"added": 1, "removed": 1}


def test_nothing_is_written(settings: Settings) -> None:
    minutes = land(settings, MESSAGES)
    build_minutes(settings, sets(PRESENT, PRESENT)[0], minutes)
    before = {path: path.stat().st_mtime_ns for path in settings.data.rglob("*")}
    changes(settings, PRESENT, PRESENT.replace("paths: ts", "paths: at"), minutes)
    assert {path: path.stat().st_mtime_ns for path in settings.data.rglob("*")} == before
