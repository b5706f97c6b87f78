"""Laws of the stage: order, splitting and repetition do not matter; every message is accounted for."""

import tempfile
from datetime import timedelta
from pathlib import Path

import msgspec
import polars as pl
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE
from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.protocols.sparkplug_b import DataType, Metric, Payload, encode_payload
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.frames import decode_frame
from iot_pipeline.readings.intake import outcomes
from tests.readings.landed import BUILT_IN, NOW, Sent, decode, land, mappings_of, settings_in
from tests.readings.stored import read_event_minutes

quick = hypothesis_settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
HOSTILE = mappings_of("""
fleet: hostile
topic: "#"
device_id: "{id|$.id}"
leaves: {text: reading, arrays: index}
timestamp: {paths: [ts, $.t], fallback: received}
unit: "{unit}"
quality: {path: q, good: [ok]}
attributes: {a: "{a}", b: "x{b}"}
words: {"on": 1}
""")
EACH = mappings_of("""
fleet: hostile
topic: "#"
each: items
device_id: "{key}"
values: [{path: v, metric: "m_{n}"}, {path: "w.x[0]", metric: w}]
timestamp: {paths: ts, unit: ms}
""")


def _weather(device: int, second: int, value: float) -> tuple[str, bytes]:
    time = (NOW + timedelta(seconds=second)).isoformat()
    return f"weather/{device}/observation", msgspec.json.encode(
        {"deviceid": f"d{device}", "temperature": value, "time": time, "latitude": 1.5}
    )


# A device, a second and always the same value: what is told twice is told alike, as by a resent message.
told = st.tuples(st.integers(0, 2), st.integers(-90, 90)).map(lambda at: _weather(at[0], at[1], at[0] * 1000.0 + at[1]))


@quick
@given(
    st.lists(told, min_size=1, max_size=12, unique=True),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 240), st.integers(1, 3)), min_size=0, max_size=12),
    st.randoms(use_true_random=False),
)
def test_order_splits_and_repetitions_do_not_change_what_is_stored(
    messages: list[tuple[str, bytes]], repeated: list[tuple[int, int, int]], random: object
) -> None:
    once = [(NOW + timedelta(seconds=120), topic, payload) for topic, payload in messages]
    again = [(index % len(messages), second, batch) for index, second, batch in repeated]
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        assert _stored(Path(first), {1: once}) == _stored(Path(second), _scattered(messages, again))


def _scattered(messages: list[tuple[str, bytes]], again: list[tuple[int, int, int]]) -> dict[int, list[Sent]]:
    """Each message at least once, last ones first, more copies in other batches and minutes."""
    batches: dict[int, list[Sent]] = {}
    for index, (topic, payload) in enumerate(reversed(messages)):
        batches.setdefault(1 + index % 3, []).append((NOW + timedelta(seconds=90 + index * 17), topic, payload))
    for index, second, batch in again:
        batches.setdefault(batch, []).append((NOW + timedelta(seconds=91 + second), *messages[index]))
    return batches


def _stored(folder: Path, batches: dict[int, list[Sent]]) -> list[tuple[object, ...]]:
    settings = settings_in(folder)
    minutes = {minute for batch, messages in batches.items() for minute in land(settings, messages, batch=batch)}
    for intake in build_minutes(settings, BUILT_IN, sorted(minutes)):
        assert intake.messages == intake.decoded + intake.duplicates + intake.no_reading + intake.quarantined
        assert intake.quarantined == 0
    readings = read_event_minutes(settings.paths, NOW - 5 * MINUTE, NOW + 5 * MINUTE)
    return readings.select("event_ts", "device_id", "metric", "value", "unit").rows()


@given(st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 20)))
def test_every_message_has_exactly_one_outcome(stored: set[int], repeated: set[int], problems: set[int]) -> None:
    found = outcomes(21, stored=[*stored], found=[*stored, *repeated], problems=[*problems])
    assert found.decoded + found.duplicates + found.no_reading + found.quarantined == 21
    assert min(found.decoded, found.duplicates, found.no_reading, found.quarantined) >= 0


numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(0, 2_000_000_000)
keys = st.sampled_from(["id", "ts", "t", "unit", "q", "a", "b", "items", "v", "w", "x", "n", ""]) | st.text(max_size=4)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | numbers
    | st.text(max_size=8)
    | st.sampled_from(["on", "1e999", "NaN", "2026-11-22T10:00:00"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=5),
    max_leaves=20,
)
payloads = st.binary(max_size=60) | json_values.map(msgspec.json.encode)
sparkplug_payloads = st.binary(max_size=60) | st.builds(
    lambda metrics, stamp: encode_payload(Payload(stamp, 0, metrics)),
    st.lists(
        st.builds(
            Metric,
            st.sampled_from(["", "a", "bdSeq"]),
            st.none() | st.integers(0, 3),
            st.none() | st.integers(0, 2**64 - 1),
            st.just(DataType.DOUBLE),
            st.floats(),
        ),
        max_size=3,
    ),
    st.none() | st.integers(0, 2**64 - 1),
)


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.text(min_size=1, max_size=6).filter(lambda t: "\x00" not in t), payloads), max_size=5))
def test_hostile_payloads_never_raise_and_never_disappear(messages: list[tuple[str, bytes]]) -> None:
    for mappings in (HOSTILE, EACH):
        _accounted(mappings, messages)


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(["NBIRTH/n", "NDATA/n", "DBIRTH/n/d", "DDATA/n/d"]), sparkplug_payloads), max_size=6
    )
)
def test_hostile_sparkplug_never_raises_and_never_disappears(messages: list[tuple[str, bytes]]) -> None:
    _accounted(BUILT_IN, [(f"spBv1.0/g/{kind.split('/')[0]}/{kind.split('/', 1)[1]}", data) for kind, data in messages])


def _accounted(mappings: object, messages: list[tuple[str, bytes]]) -> None:
    decoder = MessageDecoder(mappings, limits_of(settings_in(Path("/nonexistent"))))  # type: ignore[arg-type]
    rows = [(NOW, "mqtt", topic, payload, 0, False, "c", 1, row) for row, (topic, payload) in enumerate(messages)]
    decoded = decode_frame(pl.DataFrame(rows, schema=LANDING_SCHEMA, orient="row"), decoder)
    assert not [problem for problem in decoded.sink.problems if "gave up" in problem.detail]
    found = outcomes(
        len(messages),
        stored=decoded.readings["message"].to_list(),
        found=decoded.found.to_list(),
        problems=[problem.message for problem in decoded.sink.problems],
    )
    assert found.decoded + found.duplicates + found.no_reading + found.quarantined == len(messages)
    assert decoded.readings["value"].is_finite().all()


def test_a_thousand_levels_a_long_number_and_a_huge_name_are_only_reasons() -> None:
    nested = b'{"a":' * 900 + b"1" + b"}" * 900
    deeper = b"[" * 100_000
    number = b'{"id":"x","n":' + b"9" * 5000 + b"}"
    name = msgspec.json.encode({"id": "d" * 100_000, "v": 1})
    key = msgspec.json.encode({"id": "x", "k" * 10_000: 1})
    sink = decode(HOSTILE, [(NOW, "t", payload) for payload in (nested, deeper, number, name, key)])
    assert [problem.reason.value for problem in sink.problems] == [
        "no_device",
        "bad_json",
        "bad_json",
        "no_device",
        "bad_value",
    ]
    assert sink.rows == []
