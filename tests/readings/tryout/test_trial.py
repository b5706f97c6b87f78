"""Samples: what a line may say, what becomes of it, and how it is compared with what was expected."""

import base64
import io
from pathlib import Path

import msgspec
import pytest

from iot_pipeline.protocols.sparkplug_b import DataType, Metric, Payload, encode_payload
from iot_pipeline.readings.language.mapping import MappingSet
from iot_pipeline.readings.tryout.report import Tally, run_samples
from iot_pipeline.readings.tryout.samples import SampleError
from iot_pipeline.settings import load_settings
from tests.readings.landed import BUILT_IN, mappings_of

ANY = mappings_of("""
fleet: test
topic: plant/{device}
device_id: "{device}"
leaves: {text: reading}
units: {t: °C}
timestamp: {paths: ts, fallback: received}
""")
Line = dict[str, object]


class Files:
    """Writes samples and expectations and runs them."""

    def __init__(self, folder: Path) -> None:
        self.messages, self.expected = folder / "messages.jsonl", folder / "expected.jsonl"
        self.told: list[str] = []
        self.tally = Tally()

    def run(
        self, messages: list[Line], expected: list[Line] | None = None, mappings: MappingSet = ANY
    ) -> list[dict[str, object]]:
        out = io.BytesIO()
        self.messages.write_bytes(b"\n".join(map(msgspec.json.encode, messages)))
        if expected is not None:
            self.expected.write_bytes(b"\n".join(map(msgspec.json.encode, expected)))
        self.tally = run_samples(
            mappings,
            load_settings(),
            messages=self.messages,
            expected=None if expected is None else self.expected,
            out=out,
            differ=self.told.append,
        )
        return [msgspec.json.decode(line) for line in out.getvalue().splitlines()]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def reading(metric: str, value: object, ts: str = "2026-11-20T10:00:00Z", **more: object) -> Line:
    return {"device_id": "d", "metric": metric, "ts": ts, "value": value, **more}


@pytest.mark.parametrize(
    "payload",
    [
        {"payload": '{"ts":1795168800,"v":1.5}'},
        {"payload": {"ts": 1795168800, "v": 1.5}},
        {"payload_base64": base64.b64encode(b'{"ts":1795168800,"v":1.5}').decode()},
    ],
)
def test_a_payload_is_a_text_or_json_or_base64(files: Files, payload: Line) -> None:
    [tried] = files.run([{"id": "a", "topic": "plant/d", "retain": True, "source": "by hand", **payload}])
    assert (tried["id"], tried["outcome"]) == ("a", "decoded")
    assert tried["readings"] == [reading("v", 1.5)]


def test_readings_show_texts_units_big_integers_and_short_times(files: Files) -> None:
    payload = '{"ts":"2026-11-20T10:00:00.5Z","t":21,"state":"run","n":18446744073709551617}'
    [tried] = files.run([{"topic": "plant/d", "payload": payload, "received_at": "2026-11-20T10:00:01.000002Z"}])
    at = "2026-11-20T10:00:00.500Z"
    assert tried["id"] == 1
    assert tried["received_at"] == "2026-11-20T10:00:01.000002Z"
    assert tried["readings"] == [
        reading("t", 21.0, at, unit="°C"),
        reading("state", "run", at),
        reading("n", 18446744073709551617, at),
    ]


def test_every_outcome_is_told_with_its_reason(files: Files) -> None:
    payloads: list[object] = ['{"v":1}', "{}", "{", '{"v":"1,000","w":1}']
    tried = files.run(
        [{"topic": "plant/d", "payload": payload} for payload in payloads] + [{"topic": "x", "payload": ""}]
    )
    assert [(one["outcome"], one.get("reason")) for one in tried] == [
        ("decoded", None),
        ("no_reading", None),
        ("quarantined", "bad_json"),
        ("decoded", None),
        ("quarantined", "no_mapping"),
    ]
    assert "quarantined_fields" not in tried[0]
    assert files.tally.summary() == "5 messages: 2 decoded, 1 no reading, 2 quarantined; 3 readings"


def test_old_samples_are_read_unless_they_say_when_they_were_received(files: Files) -> None:
    old: Line = {"topic": "plant/d", "payload": {"ts": 1262304000, "v": 1}}
    tried = files.run([old, {**old, "received_at": "2026-11-20T10:00:00Z"}])
    assert [(one["outcome"], one.get("reason")) for one in tried] == [("decoded", None), ("quarantined", "clock")]


def test_samples_of_the_future_are_refused(files: Files) -> None:
    [tried] = files.run([{"topic": "plant/d", "payload": {"ts": "2106-02-07T06:28:15Z", "v": 1}}])
    assert (tried["outcome"], tried["reason"]) == ("quarantined", "clock")


def test_repetitions_within_a_message_are_one_reading_and_between_messages_two(files: Files) -> None:
    twice: Line = {"topic": "plant/d", "payload": [{"ts": 1795168800, "v": 1}, {"ts": 1795168800, "v": 1}]}
    assert [one["readings"] for one in files.run([twice, twice])] == [[reading("v", 1.0)]] * 2


def birth() -> str:
    metrics = [Metric("Level", 7, 1795168800000, DataType.DOUBLE, 1.5)]
    return base64.b64encode(encode_payload(Payload(1795168800000, 0, metrics))).decode()


def data(value: float) -> str:
    metrics = [Metric(alias=7, timestamp_ms=1795168800000, datatype=DataType.DOUBLE, value=value)]
    return base64.b64encode(encode_payload(Payload(1795168800000, 1, metrics))).decode()


SPARKPLUG: list[Line] = [
    {"id": "birth", "topic": "spBv1.0/g/NBIRTH/n", "payload_base64": birth()},
    {"id": "data", "topic": "spBv1.0/g/NDATA/n", "payload_base64": data(2.5)},
]


def test_births_carry_over_from_line_to_line(files: Files) -> None:
    assert [one["outcome"] for one in files.run(SPARKPLUG, mappings=BUILT_IN)] == ["decoded", "decoded"]
    assert [one["outcome"] for one in files.run(SPARKPLUG[::-1], mappings=BUILT_IN)] == ["quarantined", "decoded"]


@pytest.mark.parametrize(
    ("state", "outcome"), [({}, "decoded"), ({"fresh_state": True}, "quarantined"), ({"after": ["birth"]}, "decoded")]
)
def test_an_expectation_may_choose_the_state(files: Files, state: Line, outcome: str) -> None:
    order = SPARKPLUG if state != {"after": ["birth"]} else SPARKPLUG[::-1]
    tried = files.run(order, [{"id": "data", "readings": [], **state}], BUILT_IN)
    assert {one["id"]: one["outcome"] for one in tried}["data"] == outcome


SENT: Line = {"id": "m", "topic": "plant/d", "payload": {"ts": 1795168800, "t": 21.5, "n": 3}}


@pytest.mark.parametrize(
    "expected",
    [
        {"readings": [reading("n", 3), reading("t", 21.50001)]},
        {"readings": [reading("n", 3, "2026-11-20T11:00:00+01:00"), reading("t", 21.5, unit="°C")]},
        {"readings": [reading("n", 3, unit=None)], "optional": [reading("t", 21.5), reading("x", 1)]},
        {"readings": [reading("n", True + 2), reading("t", 21.5)], "optional": True, "why": "a note"},
    ],
)
def test_equal_enough(files: Files, expected: Line) -> None:
    files.run([SENT], [{"id": "m", **expected}])
    assert (files.told, files.tally.differ) == ([], False)
    assert files.tally.summary().endswith("; 1 of 1 as expected")


@pytest.mark.parametrize(
    ("readings", "told"),
    [
        ([reading("n", 3)], "m (plant/d): extra   d | t | 2026-11-20T10:00:00Z | 21.5 °C"),
        (
            [reading("n", 3), reading("t", 21.5, unit="K")],
            (
                "m (plant/d): differs d | t | 2026-11-20T10:00:00Z | 21.5 K\n"
                "   found d | t | 2026-11-20T10:00:00Z | 21.5 °C"
            ),
        ),
        (
            [reading("n", 4), reading("t", 21.5)],
            "m (plant/d): differs d | n | 2026-11-20T10:00:00Z | 4\n   found d | n | 2026-11-20T10:00:00Z | 3.0",
        ),
        (
            [reading("n", 3), reading("t", 21.5), reading("x", 1, "RECEIVED")],
            "m (plant/d): missing d | x | RECEIVED | 1",
        ),
    ],
)
def test_differences_are_told(files: Files, readings: list[Line], told: str) -> None:
    files.run([SENT], [{"id": "m", "readings": readings}])
    assert files.told == [told]
    assert files.tally.differ


def test_the_word_received_is_the_receive_time(files: Files) -> None:
    sent: Line = {"id": "m", "topic": "plant/d", "payload": {"v": 1}}
    files.run([sent], [{"id": "m", "readings": [reading("v", 1, "RECEIVED")]}])
    assert files.told == []


def test_an_expectation_without_a_message_differs(files: Files) -> None:
    files.run([SENT], [{"id": "other", "readings": []}])
    assert files.told == ["other: expected, but there is no such message"]
    assert files.tally.differ


def test_what_should_have_been_read_is_told_with_the_reason_why_it_was_not(files: Files) -> None:
    files.run([{**SENT, "payload": "{"}], [{"id": "m", "readings": [reading("n", 3)]}])
    assert [line.split(": ")[1][:11] for line in files.told] == ["missing d |", "quarantined"]


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"{", "messages.jsonl:2: "),
        (b'{"topic":"x"}', "messages.jsonl:2: expected either `payload` or `payload_base64`"),
        (b'{"topic":"x","payload":"","payload_base64":""}', "messages.jsonl:2: expected either"),
        (b'{"topic":"x","payload_base64":"?"}', "messages.jsonl:2: payload_base64"),
        (b'{"payload":"1"}', "messages.jsonl:2: Object missing required field `topic`"),
        (b'{"topic":"x","payload":"1","received_at":"2026-11-20"}', "messages.jsonl:2: received_at"),
    ],
)
def test_a_bad_line_is_told_with_its_number(files: Files, line: bytes, error: str) -> None:
    files.messages.write_bytes(b"\n" + line + b"\n")
    with pytest.raises(SampleError, match=error):
        run_samples(
            ANY, load_settings(), messages=files.messages, expected=None, out=io.BytesIO(), differ=files.told.append
        )


@pytest.mark.parametrize(
    ("expected", "error"),
    [
        ([{"id": 1, "readings": [reading("v", 1, "noon")]}], "expected.jsonl:1: ts: 'noon'"),
        ([{"id": 1, "readings": []}, {"id": 1, "readings": []}], "expected.jsonl:2: id 1 was there before"),
        ([{"id": 1}], "expected.jsonl:1: Object missing required field `readings`"),
        ([{"id": 1, "readings": [], "after": ["nobody"]}], "no message has the id 'nobody'"),
    ],
)
def test_a_bad_expectation_is_told(files: Files, expected: list[Line], error: str) -> None:
    with pytest.raises(SampleError, match=error):
        files.run([SENT], expected)
