"""Quarantine: found and counted while days are open and sealed, and left by what can be read after a fix."""

from datetime import timedelta
from pathlib import Path

import pytest

from iot_pipeline.clock import MINUTE
from iot_pipeline.readings.build import build_minutes, quarantine_tree
from iot_pipeline.readings.language.mapping import MappingSet
from iot_pipeline.readings.quarantine import MINUTE as LANDING_MINUTE
from iot_pipeline.readings.quarantine import Chosen, chosen_minutes, chosen_rows, counts
from iot_pipeline.settings import Settings
from tests.readings.landed import NOW, Sent, land, mappings_of, settings_in
from tests.readings.stored import read_event_minutes

MAPPING = """
name: acme
fleet: acme
topic: acme/{device}
device_id: "{device}"
values: [{path: v, metric: v}]
timestamp: {paths: ts, fallback: reject}
"""


def sent(minute: int, topic: str, payload: str) -> Sent:
    return NOW + minute * MINUTE, topic, payload.encode()


MESSAGES = [
    sent(0, "acme/a", '{"ts":1795341600,"v":"1,5"}'),
    sent(0, "acme/b", "{"),
    sent(0, "acme/b", '{"ts":1795341600,"v":1}'),
    sent(2, "other/(x)", "1"),
    sent(5, "acme/a", '{"ts":1795341800,"v":"2,5"}'),
]
FIRST = NOW.replace(second=0)


@pytest.fixture(params=["open", "sealed"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    settings = settings_in(tmp_path)
    land(settings, MESSAGES)
    build_minutes(settings, mappings_of(MAPPING), [FIRST + index * MINUTE for index in range(7)])
    if request.param == "sealed":
        quarantine_tree(settings.paths).seal(FIRST.date())
    return settings


def test_counts_by_reason_mapping_and_topic(settings: Settings) -> None:
    assert counts(settings.paths, Chosen()).drop("first_minute", "last_minute").rows() == [
        ("bad_value", "acme", "acme/a", 2, 2, 0),
        ("bad_json", "acme", "acme/b", 1, 1, 0),
        ("no_mapping", None, "other/(x)", 1, 1, 1),
    ]


@pytest.mark.parametrize(
    ("chosen", "minutes"),
    [
        (Chosen(), [0, 2, 5]),
        (Chosen(reason="bad_value"), [0, 5]),
        (Chosen(mapping="acme", until=FIRST + MINUTE), [0]),
        (Chosen(topic="acme/?", since=FIRST + MINUTE), [5]),
        (Chosen(topic="*(x)"), [2]),
        (Chosen(topic="acme"), []),
        (Chosen(since=FIRST + timedelta(days=1)), []),
    ],
)
def test_the_minutes_that_hold_chosen_rows(settings: Settings, chosen: Chosen, minutes: list[int]) -> None:
    assert chosen_minutes(settings.paths, chosen) == [FIRST + index * MINUTE for index in minutes]


def test_rows_are_shown_newest_first_or_by_message(settings: Settings) -> None:
    newest = chosen_rows(settings.paths, Chosen(), newest=2)
    assert newest["topic"].to_list() == ["acme/a", "other/(x)"]
    [row] = chosen_rows(settings.paths, Chosen(message="c-1-1-1")).to_dicts()
    assert (row["payload"], row[LANDING_MINUTE]) == (b"{", FIRST)


def test_after_a_fix_the_chosen_minutes_move_out_what_can_be_read(settings: Settings) -> None:
    minutes = chosen_minutes(settings.paths, Chosen(reason="bad_value"))
    build_minutes(settings, mappings_of(MAPPING + "decimal_comma: true\n"), minutes)
    assert counts(settings.paths, Chosen())["reason"].to_list() == ["bad_json", "no_mapping"]
    readings = read_event_minutes(settings.paths, FIRST, FIRST + 5 * MINUTE)
    assert readings.select("device_id", "value").rows() == [("a", 1.5), ("a", 2.5), ("b", 1.0)]


def test_nothing_was_ever_quarantined(tmp_path: Path) -> None:
    assert counts(settings_in(tmp_path).paths, Chosen()).is_empty()


def test_the_device_is_told_by_the_topic_or_by_what_else_came_on_it(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    by_payload = (
        MAPPING.replace("acme", "plant").replace('"{device}"', '"{id}"').replace("plant/{device}", "plant/{line}")
    )
    land(
        settings,
        [
            sent(0, "acme/a", "{"),
            sent(0, "plant/one", '{"id":"p","v":1,"ts":1795341600}'),
            sent(0, "plant/one", "{"),
            sent(0, "plant/many", '{"id":"p","v":1,"ts":1795341600}'),
            sent(0, "plant/many", '{"id":"q","v":1,"ts":1795341600}'),
            sent(0, "plant/many", "{"),
            sent(0, "plant/none", "{"),
            sent(0, "other", "{"),
        ],
    )
    mappings = MappingSet((*mappings_of(MAPPING), *mappings_of(by_payload)))
    build_minutes(settings, mappings, [FIRST])
    found = chosen_rows(settings.paths, Chosen()).select("topic", "device_id").rows()
    assert sorted(found) == [
        ("acme/a", "a"),
        ("other", None),
        ("plant/many", None),
        ("plant/none", None),
        ("plant/one", "p"),
    ]
