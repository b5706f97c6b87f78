"""Payloads of real devices, decoded by the built-in mappings: every expected reading and nothing else.

The corpus lies beside the project and is no part of it; without it these tests are skipped.
"""

import base64
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.language.times import EPOCH, MICROSECOND, microseconds
from iot_pipeline.settings import load_settings
from tests.readings.landed import BUILT_IN, NOW, decode_all

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"
FAMILIES = sorted(path.name for path in CORPUS.glob("*/")) if CORPUS.is_dir() else []
pytestmark = pytest.mark.skipif(not FAMILIES, reason="the corpus is not here")


class Message(msgspec.Struct):
    id: str
    topic: str
    payload: str | None = None
    payload_base64: str | None = None

    def bytes(self) -> bytes:
        return (self.payload or "").encode() if self.payload_base64 is None else base64.b64decode(self.payload_base64)


class Reading(msgspec.Struct):
    device_id: str
    metric: str
    ts: str
    value: int | float
    unit: str | None = None


class Expected(msgspec.Struct):
    id: str
    readings: list[Reading]
    after: list[str] = []
    fresh_state: bool = False


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def _family(name: str) -> tuple[dict[str, Message], list[Expected]]:
    messages = [msgspec.json.decode(line, type=Message) for line in _lines(CORPUS / name / "messages.jsonl")]
    expected = [msgspec.json.decode(line, type=Expected) for line in _lines(CORPUS / name / "expected.jsonl")]
    return {message.id: message for message in messages}, expected


def _cases() -> list[object]:
    return [
        pytest.param(messages[case.id], [messages[before] for before in case.after], case, id=case.id)
        for family in FAMILIES
        for messages, expected in [_family(family)]
        for case in expected
    ]


def _decode(messages: list[Message]) -> Sink:
    sink = Sink()
    decoder = MessageDecoder(BUILT_IN, limits_of(load_settings()))
    decode_all(decoder, ((message.topic, message.bytes(), microseconds(NOW)) for message in messages), sink)
    return sink


@pytest.mark.parametrize(("message", "before", "case"), _cases())
def test_each_message_gives_the_expected_readings_and_no_other(
    message: Message, before: list[Message], case: Expected
) -> None:
    sink = _decode([*before, message])
    found = {(row[2], row[3]): row for row in sink.rows if row[0] == len(before)}
    assert len(found) == sum(row[0] == len(before) for row in sink.rows)
    assert set(found) == {(reading.device_id, reading.metric) for reading in case.readings}
    for reading in case.readings:
        _, event_us, _, _, value, text, unit, quality = found[reading.device_id, reading.metric]
        assert unit == reading.unit, reading.metric
        assert quality == "good"
        assert _same(value, text, reading.value), reading.metric
        at = EPOCH + event_us * MICROSECOND
        assert at == (NOW if reading.ts == "RECEIVED" else _instant(reading.ts)), reading.metric


def _same(value: float | None, text: str | None, expected: float) -> bool:
    if isinstance(expected, int):
        return value == expected or text == str(expected)
    return value is not None and math.isclose(value, expected, rel_tol=1e-6)


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_message_of_a_family_has_an_outcome_and_a_mapping(family: str) -> None:
    messages, _ = _family(family)
    sink = _decode(list(messages.values()))
    assert not [problem for problem in sink.problems if "gave up" in problem.detail]
    topics = [message.topic for message in messages.values()]
    assert {topics[problem.message] for problem in sink.problems if problem.reason == "no_mapping"} == set()


def test_no_topic_is_taken_by_two_mappings_by_accident() -> None:
    topics = {message.topic for family in FAMILIES for message in _family(family)[0].values()}
    for topic in topics:
        takers = [mapping.name for mapping in BUILT_IN if mapping.match(topic) is not None]
        assert len(takers) == 1 or topic.startswith("spBv1.0/"), (topic, takers)


def test_messages_of_long_ago_are_read_however_late() -> None:
    messages, expected = _family("tasmota")
    case = next(case for case in expected if case.readings)
    sink = Sink()
    decoder = MessageDecoder(BUILT_IN, limits_of(load_settings()))
    later = NOW + timedelta(days=3650)
    decode_all(decoder, [(messages[case.id].topic, messages[case.id].bytes(), microseconds(later))], sink)
    assert len(sink.rows) == len(case.readings)
