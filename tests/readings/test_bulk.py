"""Reading many messages at once means the same as reading each by itself, whatever is in them."""

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.decoding import decoder as decoder_module
from iot_pipeline.readings.decoding.bulk import plan_of
from iot_pipeline.readings.decoding.bulk_columns import read_group
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.devices import device_frame
from iot_pipeline.readings.frames import Decoded, decode_frame, quarantine_frame
from iot_pipeline.readings.language.mapping import MappingSet
from sensors_sim.registry import build_fleet
from tests.readings.landed import BUILT_IN, NOW, land, mappings_of, settings_in
from tests.readings.stored import read_event_minutes

LIMITS = limits_of(settings_in(Path("/nonexistent")))
MILLISECONDS = int(NOW.timestamp() * 1000)

GATEWAY = """
fleet: meters
topic: g/{gateway}
each: box.readings
device_id: "{meter}"
timestamp: {paths: ts, unit: ms}
values:
  - {path: value, metric: register, unit: "{unit}"}
  - {path: more.rate, metric: "rate_{gateway}", unit: {template: "{kind}", table: {gas: m3/h, water: ""}}}
attributes: {kind: "{kind}", unit: "{unit}", place: "{place}"}
"""
PLAIN = """
fleet: plain
topic: p/{rest...}
device_id: "{device}"
metric: "{metric}"
timestamp: {paths: ts}
values: [{path: value}]
unit: "{unit}"
"""
SINGLE = """
fleet: single
topic: s/{device}
device_id: "{device}"
timestamp: {paths: time, unit: iso}
values: [{path: a.x}, {path: y, text: reading}, {path: 'a.z', unit: Z}]
units: {"a.*": A}
words: {"on": 1}
unit: W
attributes: {device: "{device}", note: "{note}", fixed: 7}
"""
RECEIVED = """
fleet: received
topic: "r/{device}"
device_id: "{device}"
values: [{path: v, metric: v}]
attributes: {note: "{note}"}
"""
NANOSECONDS = """
fleet: nano
topic: "n/{device}"
device_id: "{device}"
values: [{path: v, metric: v}]
timestamp: {paths: ts, unit: ns}
max_lateness: unlimited
"""
MAPPINGS = MappingSet(
    tuple(
        loaded
        for name, text in {"g": GATEWAY, "p": PLAIN, "s": SINGLE, "r": RECEIVED, "n": NANOSECONDS}.items()
        for loaded in mappings_of(f"name: {name}\n{text}")
    )
)


def decode_both(
    messages: Sequence[tuple[str, bytes]], mappings: MappingSet = MAPPINGS
) -> tuple[tuple[Decoded, MessageDecoder], tuple[Decoded, MessageDecoder]]:
    """The same messages read at once wherever there is a plan, and each by itself."""
    rows = [
        (NOW + timedelta(seconds=row // 3), "mqtt", topic, payload, 0, False, "c", 1, row)
        for row, (topic, payload) in enumerate(messages)
    ]
    landed = pl.DataFrame(rows, schema=LANDING_SCHEMA, orient="row")
    results = []
    for least in (0, 1 << 60):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decoder_module, "LEAST_AT_ONCE", least)
            decoder = MessageDecoder(mappings, LIMITS)
            results.append((decode_frame(landed, decoder), decoder))
    return results[0], results[1]


def stored(decoded: Decoded) -> list[tuple[object, ...]]:
    """What would be in files; `repr` tells -0.0 from 0.0."""
    return [(*row, repr(row[5])) for row in decoded.readings_of(decoded.order).rows()]


def assert_alike(messages: Sequence[tuple[str, bytes]], mappings: MappingSet = MAPPINGS) -> Decoded:
    (at_once, decoder), (one_by_one, other) = decode_both(messages, mappings)
    assert stored(at_once) == stored(one_by_one)
    assert sorted(at_once.found) == sorted(one_by_one.found)
    assert quarantine_frame(at_once, decoder).equals(quarantine_frame(one_by_one, other))
    assert device_frame(at_once, decoder).equals(device_frame(one_by_one, other))
    counted, expected = at_once.sink, one_by_one.sink
    assert (counted.nulls, counted.fields_rejected) == (expected.nulls, expected.fields_rejected)
    assert {name: device.message for name, device in counted.devices.items()} == {
        name: device.message for name, device in expected.devices.items()
    }
    return at_once


numbers = (
    st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([0, -0.0, 2**53, 2**53 + 1, -(2**53), 2**63, 10**400, 1e300, True, False, 1, 1.0])
)
texts = st.text(max_size=3) | st.sampled_from(["", "d1", "d2", "gas", "water", "on", "21.5", "x" * 513, "1,000"])
anything = st.recursive(
    st.none() | numbers | texts, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2)
)
TIMES = """
2026-11-22T10:00:00Z 2026-11-22T10:00:00.1234567Z 2026-11-22T10:00:07.999999+00:00 2026-11-22T10:00:00
2026-11-22t10:00:00Z 2026-11-22T11:00:00.5+01:00 2026-11-22T10:00:60Z 2026-11-22T10:00:00,5Z 2026-11-22T24:00:00Z
2026-02-30T10:00:00Z 2026-11-22 1795341630 2026-11-22T10:00:00.5z \uff12026-11-22T10:00:00Z 2026-11-22T10:00Z
2020-01-01T00:00:00Z 2026-11-22T10:00:00.Z 2026-11-22T10:00:00+00:00 2026-11-22T10:00:00.5+00:00Z
"""
instants = (
    st.integers(MILLISECONDS - 2000, MILLISECONDS + 2000)
    | st.integers(MILLISECONDS // 1000 - 2, MILLISECONDS // 1000 + 2)
    | st.integers(MILLISECONDS * 1_000_000 - 2, MILLISECONDS * 1_000_000 + 2)
    | st.sampled_from(TIMES.split())
    | st.sampled_from([0, -1, 2**62, 2**64, 1795341630.5, 99, None])
)
PIECES = (
    b"\xff",
    b"\xef\xbb\xbf",
    b'"\\ud800"',
    b"\\u0061",
    b"1e999",
    b"-",
    b"0",
    b'"meter":"d3",',
    b'"ts":null,',
    b'"value":9007199254740993,',
    b'"z":1e400,',
    b'"z":"\xff",',
    b'"\\u0076":5,',
    b"null",
    b"[",
    b" ",
    b"9" * 400,
)


def record(**fields: st.SearchStrategy[object]) -> st.SearchStrategy[dict[str, object]]:
    """Records most of whose fields are as they should be; any may be missing or anything, others may be there."""
    told = st.fixed_dictionaries({}, optional=dict(fields))
    odd = st.dictionaries(st.sampled_from([*fields, "extra", 'k"', ""]), anything, max_size=1)
    usual = st.fixed_dictionaries(dict(fields))
    return usual | st.builds(lambda one, other: {**one, **other}, usual | told, odd)


meter = record(
    meter=st.sampled_from(["d1", "d2", "d3"]),
    ts=instants,
    value=numbers,
    unit=st.sampled_from(["kWh", "m3", "", None]),
    kind=st.sampled_from(["gas", "water", "heat"]),
    place=anything,
    more=record(rate=numbers),
)
gateways = record(box=record(readings=st.lists(meter | anything, max_size=4) | st.dictionaries(texts, meter)))
plain = record(device=texts, metric=st.sampled_from(["m", "n"]), ts=instants, value=numbers, unit=texts)
single = record(time=instants, a=record(x=numbers, z=numbers), y=numbers | texts, note=anything)
value = record(v=numbers, ts=instants, note=anything)


def topics(prefix: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["d1", "d2", "x" * 600]).map(lambda device: f"{prefix}/{device}")


@st.composite
def damaged(draw: st.DrawFn, document: st.SearchStrategy[object]) -> bytes:
    """A document as bytes, sometimes with a change that JSON, UTF-8 or typed decoding stumbles over."""
    data = msgspec.json.encode(draw(document))
    if draw(st.integers(0, 3)):
        return data
    at = draw(st.integers(0, len(data)))
    piece = draw(st.sampled_from(PIECES) | st.binary(max_size=3))
    return data[:at] + piece + data[at + draw(st.integers(0, 3)) :]


messages = (
    st.tuples(topics("g"), damaged(gateways))
    | st.tuples(topics("p"), damaged(plain | st.lists(plain | anything, max_size=4)))
    | st.tuples(topics("s"), damaged(single))
    | st.tuples(topics("r"), damaged(value))
    | st.tuples(topics("n"), damaged(value))
    | st.tuples(st.sampled_from(["g/d1", "p/d1", "s/d1", "none"]), st.binary(max_size=8) | damaged(anything))
)


@hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(messages, min_size=1, max_size=8))
def test_any_messages_are_read_alike(sent: list[tuple[str, bytes]]) -> None:
    assert_alike(sent)


def read_at_once(topic: str, payloads: Sequence[bytes], mappings: MappingSet = MAPPINGS) -> set[int]:
    """Numbers of the messages that need not be read by themselves."""
    decoder = MessageDecoder(mappings, LIMITS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder_module, "LEAST_AT_ONCE", 0)
        groups = decoder.groups(0, [(topic, payload, MILLISECONDS * 1000) for payload in payloads])
    return set().union(*(read_group(group).read for group in groups))


@pytest.mark.parametrize(("topic", "fields"), [
    ("g/1", {"box": {"readings": [{"meter": "a", "ts": MILLISECONDS, "value": 1, "more": {"rate": None}, "new": 1}]}}),
    ("p/1", [{"device": "a", "metric": "m", "ts": "2026-11-22T10:00:00.5Z", "value": 1.5, "unit": None}]),
    ("p/1", {"device": "a", "metric": "m", "ts": MILLISECONDS, "value": 1.5, "unit": "", "further": {"x": "y"}}),
    ("s/1", {"time": "2026-11-22T10:00:00+00:00", "a": {"x": 1, "new": 2}, "note": ["any", "thing"]}),
    ("r/1", {"v": -1}),
    ("n/1", {"v": 1e300 / 1e300, "ts": MILLISECONDS * 1_000_000}),
])  # fmt: skip
def test_usual_messages_are_read_at_once_also_with_keys_that_nobody_reads(topic: str, fields: object) -> None:
    payload = msgspec.json.encode(fields)
    assert read_at_once(topic, [payload, payload]) == {0, 1}
    assert_alike([(topic, payload), (topic, payload)])


@pytest.mark.parametrize("fleet", ["weather", "us_states", "utility"])
def test_the_fleets_are_read_at_once(fleet: str) -> None:
    sent = list(build_fleet(fleet, seed=1, start=NOW).messages(NOW + timedelta(seconds=5)))
    decoded = assert_alike([(message.topic, message.payload) for message in sent], BUILT_IN)
    assert decoded.rows.height >= len(sent) > 0
    payloads = {message.topic: message.payload for message in sent}
    assert all(read_at_once(topic, [payload], BUILT_IN) == {0} for topic, payload in payloads.items())


@pytest.mark.parametrize(
    "told", ["quality: {path: q}", "leaves: {}", "format: ndjson", "scales: {v: 2}", "when: {path: v, exists: true}"]
)
def test_a_mapping_that_says_anything_else_has_no_plan(told: str) -> None:
    (plain,) = mappings_of(f"name: r{RECEIVED}")
    (other,) = mappings_of(f"name: r{RECEIVED}{told}\n")
    assert plan_of(plain.mapping, frozenset({"device"})) is not None
    assert plan_of(other.mapping, frozenset({"device"})) is None


def test_a_device_that_two_mappings_describe_by_equal_values_has_the_names_of_both() -> None:
    mappings = MappingSet((
        *mappings_of("{name: a, fleet: a, topic: a, device_id: d, values: [{path: v}], attributes: {site: '{x}'}}"),
        *mappings_of("{name: b, fleet: b, topic: b, device_id: d, values: [{path: v}], attributes: {line: '{x}'}}"),
    ))  # fmt: skip
    decoded = assert_alike([("a", b'{"v":1,"x":"1"}'), ("b", b'{"v":2,"x":"1"}')], mappings)
    assert decoded.sink.devices["d"].attributes == {"site": "1", "line": "1"}


def test_messages_read_at_once_and_by_themselves_take_their_turns() -> None:
    def weather(number: int, value: object, note: str) -> tuple[str, bytes]:
        fields = {"deviceid": "d", "temperature": value, "latitude": note, "time": "2026-11-22T10:00:00Z"}
        return "weather/d/observation", msgspec.json.encode({**fields, "longitude": number})

    sent = [weather(0, "1.5", "first"), weather(1, 2.5, "second"), weather(2, "3.5", "third"), weather(3, 4.5, "last")]
    decoded = assert_alike(sent, BUILT_IN)
    assert [row[5] for row in stored(decoded)] == [1.5]
    assert decoded.sink.devices["d"].attributes == {"latitude": "last", "longitude": 3}


def test_large_files_are_written_and_compared_in_slices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [(NOW, f"r/d{number % 7}", msgspec.json.encode({"v": number})) for number in range(7)]
    sent += [(NOW + timedelta(seconds=1), topic, payload) for _, topic, payload in sent]
    contents = []
    for name, rows in (("whole", 1000), ("slices", 3)):
        monkeypatch.setattr("iot_pipeline.readings.frames.SLICE_ROWS", rows)
        monkeypatch.setattr("iot_pipeline.readings.filing.SLICE_ROWS", rows)
        settings = settings_in(tmp_path / name)
        minutes = land(settings, sent)
        (built,) = build_minutes(settings, MAPPINGS, minutes)
        assert (built.readings, len(built.touched_minutes)) == (14, 1)
        (again,) = build_minutes(settings, MAPPINGS, minutes)
        assert again.touched_minutes == ()
        contents.append(read_event_minutes(settings.paths, built.touched_minutes[0], built.touched_minutes[0]))
    assert contents[0].height == 14
    assert contents[0].equals(contents[1])
