"""Bad inputs among good ones: nothing dies, every good reading is stored, each bad one ends as expected.

The inputs of the shared corpus are shuffled into a thousand good messages and go the real way: landed,
decoded, filed. What the corpus leaves open is decided in `CHOSEN` and told in docs/mappings.md.
"""

import base64
import copy
import csv
import io
import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from iot_pipeline.readings.build import build_minutes, quarantine_tree
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.intake import IntakeMinute
from iot_pipeline.readings.language.mapping import MappingSet, parse_mapping
from iot_pipeline.readings.language.times import microseconds
from iot_pipeline.readings.store import open_root
from iot_pipeline.settings import Settings, load_settings
from tests.readings.landed import BUILT_IN, NOW, Sent, decode, decode_all, land, mappings_of, settings_in
from tests.readings.stored import read_files
from tests.readings.test_laws import json_values

BAD_INPUTS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus" / "bad_inputs.jsonl"
GOOD = 1_000
LIMITS = limits_of(load_settings())
OWN = {
    # What the corpus calls its default mapping.
    "plant": """
fleet: plant
topic: test/plant/{device}/json
device_id: "{device_id|device}"
timestamp: {paths: ts, zone: Europe/Berlin}
leaves: {}
max_lateness: unlimited
""",
    "boiler": """
fleet: home
topic: home/{device}/{metric}
format: scalar
device_id: "{device}"
metric: "{metric}"
""",
    "meters": """
fleet: meters
topic: meters/{device}/data
device_id: "{device}"
leaves: {}
""",
    "cloud": """
fleet: cloud
topic: "{iccid}/messages"
device_id: "{device.iccid}"
metric: "{leaf}"
timestamp: {paths: received, unit: ms}
leaves: {under: payload.value}
same_device: "{iccid}"
max_lateness: unlimited
""",
}
MAPPINGS = MappingSet((*(parse_mapping(text, name, default_name=name) for name, text in OWN.items()), *BUILT_IN))
# Where the corpus leaves a choice: the reason in quarantine, or (device, metric, value) of what is stored.
CHOSEN: dict[str, object] = {
    "scalar_NaN_Inf": "bad_value",
    "uint64_over_int64": [("dev-1", "cnt", "18446744073709551615")],
    "iso_dst_gap": [("dev-1", "temp", 20.5)],
    "iso_dst_fold": [("dev-1", "temp", 20.5)],
    "year_2036": "clock",
    "type_change_3_string": [("dev-1", "flow", 12.5)],
    "type_change_4_bool": [("dev-1", "flow", 1.0)],
    "type_change_5_object": [("dev-1", "flow.a", 1.0)],
    "key_case_only": [("dev-1", "Temp", 1.0), ("dev-1", "temp", 2.0)],
    "key_empty": "bad_value",
    "key_device_id_clash": [("dev-2", "temp", 5.0)],
    "sparkplug_ndeath_wrong_bdseq": [],
    "huge_300k": [("dev-1", "temp", 20.5)],
    "nesting_200": "wrong_shape",
    "topic_backslash": [("..\\..\\windows", "temp", 20.5)],
    "inject_very_long": "no_device",
    "inject_proto_key": [
        ("dev-1", "__class__", 2.0),
        ("dev-1", "__proto__.x", 1.0),
        ("dev-1", "constructor", 3.0),
        ("dev-1", "temp", 20.5),
    ],
    "wide_5000_keys": [("dev-1", f"m{number}", float(number)) for number in range(5000)],
}


class Case(msgspec.Struct):
    name: str
    topic: str
    payload_base64: str
    expected: list[dict[str, Any]] | str

    @property
    def payload(self) -> bytes:
        return base64.b64decode(self.payload_base64)


CASES = (
    [msgspec.json.decode(line, type=Case) for line in BAD_INPUTS.read_bytes().splitlines()]
    if BAD_INPUTS.exists()
    else []
)
needs_corpus = pytest.mark.skipif(not CASES, reason="the corpus is not here")


def _good(number: int) -> Sent:
    at = NOW + timedelta(milliseconds=number)
    payload = {"ts": at.isoformat(), "temp": number / 10}
    return at, f"test/plant/good-{number % 50}/json", msgspec.json.encode(payload)


def _shuffled(seed: int) -> tuple[list[Sent], dict[int, Case]]:
    """Good and bad messages in an order of their own, and which rows are which cases."""
    order: list[Case | int] = [*CASES, *range(GOOD)]
    random.Random(seed).shuffle(order)
    sent = [
        _good(one) if isinstance(one, int) else (NOW + timedelta(microseconds=row), one.topic, one.payload)
        for row, one in enumerate(order)
    ]
    # Landing files are read by time of receipt: rows keep the number that they were landed with.
    return sent, {row: one for row, one in enumerate(order) if isinstance(one, Case)}


class Outcome:
    """What the pipeline stored of a run of messages, by the row they were landed in."""

    def __init__(self, settings: Settings, sent: list[Sent]) -> None:
        minutes = land(settings, sent)
        self.intakes: list[IntakeMinute] = build_minutes(settings, MAPPINGS, minutes)
        self.readings = read_files(sorted(open_root(settings.paths).glob("dt=*/hm=*/*.parquet")))
        tree = quarantine_tree(settings.paths)
        self.quarantine = pl.concat([pl.read_parquet(tree.file(minute)) for minute in minutes])
        self.stored = self._by_row(self.readings)
        self.refused = self._by_row(self.quarantine)

    @cached_property
    def identities(self) -> set[tuple[str, str, str]]:
        """Device, metric and time of all that is stored."""
        return {(row["device_id"], row["metric"], _told(row, NOW)) for row in self.readings.to_dicts()}

    @staticmethod
    def _by_row(frame: pl.DataFrame) -> dict[int, list[dict[str, Any]]]:
        found: dict[int, list[dict[str, Any]]] = {}
        for row in frame.to_dicts():
            found.setdefault(int(row["message_id"].rsplit("-", 1)[1]), []).append(row)
        return found


@needs_corpus
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bad_inputs_among_good_ones_end_as_expected(tmp_path: Path, seed: int) -> None:
    sent, cases = _shuffled(seed)
    outcome = Outcome(settings_in(tmp_path), sent)
    good = outcome.readings.filter(pl.col("device_id").str.starts_with("good-"))
    assert sorted(good["value"]) == [number / 10 for number in range(GOOD)]
    told = {case.name: _problem(case, outcome, row, sent[row][0]) for row, case in cases.items()}
    assert {name: problem for name, problem in told.items() if problem} == {}
    for intake in outcome.intakes:
        assert intake.messages == intake.decoded + intake.duplicates + intake.no_reading + intake.quarantined
    assert sum(intake.messages for intake in outcome.intakes) == len(sent)
    assert outcome.readings["value"].drop_nulls().is_finite().all()


def _problem(case: Case, outcome: Outcome, row: int, received: datetime) -> str | None:
    """How a case ended otherwise than it should; None when it did not."""
    stored, refused = outcome.stored.get(row, []), outcome.refused.get(row, [])
    reasons = {problem["reason"] for problem in refused}
    chosen = CHOSEN.get(case.name)
    if isinstance(case.expected, list) and chosen is None:
        wanted = sorted((one["device_id"], one["metric"], one["ts"], float(one["value"])) for one in case.expected)
        found = sorted((one["device_id"], one["metric"], _told(one, received), one["value"]) for one in stored)
        same = _all_but_repeated(found, wanted, outcome.identities)
        return None if same and not _unnamed(case, reasons) else f"stored {found[:5]}, refused {reasons}"
    if isinstance(chosen, list):
        got = sorted((one["device_id"], one["metric"], one["text"] or one["value"]) for one in stored)
        same = _all_but_repeated(got, sorted(chosen), {row[:2] for row in outcome.identities})
        return None if same and not reasons else f"stored {got[:5]}, refused {reasons}, chosen {chosen[:5]}"
    if isinstance(chosen, str) or str(case.expected).startswith("dead_letter"):
        fits = reasons and not stored and (chosen is None or chosen in reasons)
        return None if fits else f"stored {stored[:2]}, refused {reasons}, expected {chosen or case.expected}"
    if str(case.expected).startswith("no_reading"):
        return None if not stored and not reasons else f"stored {stored[:2]}, refused {reasons}"
    return f"nobody decided what {case.expected!r} means"


def _all_but_repeated(found: list[Any], wanted: list[Any], identities: set[Any]) -> bool:
    """Whether what is stored is what is wanted; another case may have told the same identity before."""
    length = len(next(iter(identities)))
    missing = [one for one in wanted if one not in found]
    return all(one in wanted for one in found) and all(one[:length] in identities for one in missing)


def _unnamed(case: Case, reasons: set[str]) -> bool:
    """Whether something was refused though the case says nothing of it."""
    return bool(reasons) and case.name not in ("json_string_NaN", "json_array_one_bad")


def _told(reading: dict[str, Any], received: datetime) -> str:
    at: datetime = reading["event_ts"].astimezone(UTC)
    if at == received:
        return "RECEIVED"
    return at.isoformat(timespec="milliseconds" if at.microsecond % 1000 == 0 and at.microsecond else "auto").replace(
        "+00:00", "Z"
    )


HOSTILE = [
    "x'; DROP TABLE readings; --",
    "x'); COPY (SELECT 1) TO '/tmp/x.csv'; --",
    "{{ exceptions.raise_compiler_error('x') }}",
    "{% raw %}",
    '=HYPERLINK("http://example.invalid","x")',
    "@SUM(A1)",
    "../../etc/passwd",
    "..\\..\\windows",
    "day=2026-11-21",
    "dt=*",
    "dev*[1]?",
    "<script>alert(1)</script>",
    "%s%n{0}{device}",
    "a\n2026-11-21 ERROR forged\r\n",
    'a,b|c"d',
    "null",
    "NaN",
    "007",
    "CON",
    "\u202egnp.exe",
    "a\u0301 e\u0301",
    "👩\u200d👧",
    "__proto__",
]


def test_hostile_names_are_stored_literally_and_act_nowhere(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    sent = [
        (NOW, "test/plant/x/json", msgspec.json.encode({"device_id": name, "ts": NOW.isoformat(), name: 1.5}))
        for name in HOSTILE
    ]
    outcome = Outcome(settings, sent)
    assert sorted(outcome.readings["device_id"]) == sorted(HOSTILE)
    assert sorted(outcome.readings["metric"]) == sorted(HOSTILE)
    names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
    assert not [path for path in names for name in HOSTILE[:6] if name in path]
    with duckdb.connect() as database:
        database.register("readings", outcome.readings.to_arrow())
        for name in HOSTILE:
            found = database.execute("SELECT count(*) FROM readings WHERE device_id = ?", [name]).fetchone()
            assert found == (1,)
    text = outcome.readings.select("device_id", "metric").write_csv()
    assert sorted(row[0] for row in list(csv.reader(io.StringIO(text)))[1:]) == sorted(HOSTILE)


@pytest.mark.parametrize(
    ("payload", "reasons", "readings"),
    [
        (b'{"ts":1795341600,"a":1,"a":2}', [], 1),  # the last of two equal keys counts
        (b'{"ts":1795341600,"a":"\\ud800"}', ["bad_json"], 0),  # half a surrogate pair
        (b'{"ts":1795341600,"\\udc00":1}', ["bad_json"], 0),
        (b'{"ts":1795341600,"a":"\xed\xa0\x80"}', ["bad_encoding"], 0),  # a surrogate in UTF-8
        (b'{"ts":1795341600,"a":"\xff"}', ["bad_encoding"], 0),
        ('{"ts":1795341600,"a":1}'.encode("utf-16"), ["bad_encoding"], 0),
        (b'\xef\xbb\xbf{"ts":1795341600,"a":1}', [], 1),  # a byte order mark
        (b'{"ts":1795341600,"a":1}\n\n', [], 1),
        (b'{"ts":1795341600,"a":1}\x00', ["bad_json"], 0),
        (b'{"ts":1795341600,"a":01}', ["bad_json"], 0),
        (b'{"ts":1795341600,"a":+1}', ["bad_json"], 0),
        (b'{"ts":1795341600,"a":0x1F}', ["bad_json"], 0),
        (b'{"ts":1795341600,"a":.5}', ["bad_json"], 0),
        (b'{"ts":1795341600,"a":1e400}', ["bad_json"], 0),
        (b'{"ts":1795341600,"a":1e-400}', [], 1),
        (b'{"ts":1795341600,"a":-0.0}', [], 1),
        (b'{"ts":1795341600,"a":1,}', ["bad_json"], 0),
        (b'{"ts":1795341600 /* now */,"a":1}', ["bad_json"], 0),
        (b"{'ts':1795341600}", ["bad_json"], 0),
        (b'{"ts":1795341600,"a":"' + b"9" * 5000 + b'"}', [], 0),  # a text, and no number anybody reads
        (b'{"ts":1795341600,"a":' + b"9" * 400 + b"}", ["bad_value"], 0),
        (b'{"ts":1795341600,"a":"1,5"}', ["bad_value"], 0),
        (b'{"ts":1795341600,"a":"1 000"}', ["bad_value"], 0),
        (b'{"ts":1795341600,"a":"\xd9\xa1\xd9\xa2"}', [], 0),  # digits of another script are text
        (b'{"ts":0,"a":1}', ["no_timestamp"], 0),
        (b'{"ts":-1,"a":1}', ["no_timestamp"], 0),
        (b'{"ts":1e300,"a":1}', ["no_timestamp"], 0),
        (b'{"ts":true,"a":1}', ["no_timestamp"], 0),
        (b'{"ts":[1795341600],"a":1}', ["no_timestamp"], 0),
        (b'{"ts":"9999-12-31T23:59:59Z","a":1}', ["clock"], 0),
        (b'{"ts":"0001-01-01T00:00:00Z","a":1}', ["no_timestamp"], 0),
        (b'{"ts":"2026-02-30T00:00:00Z","a":1}', ["no_timestamp"], 0),
        (b'{"ts":"2026-11-22T10:00:60Z","a":1}', ["no_timestamp"], 0),  # a leap second
        (b'{"ts":1795341600,"device_id":7,"a":1}', [], 1),
        (b'{"ts":1795341600,"device_id":7.5,"a":1}', ["no_device"], 0),
        (b'{"ts":1795341600,"device_id":"","a":1}', [], 1),  # an empty name is none: the topic's counts
        (b'{"ts":1795341600,"device_id":"' + b"d" * 513 + b'","a":1}', ["no_device"], 0),
        (b'{"ts":1795341600,"' + b"k" * 513 + b'":1}', ["bad_value"], 0),
        (b"null", [], 0),
        (b"[]", [], 0),
        (b"{}", ["no_timestamp"], 0),
        (b" ", ["bad_json"], 0),
        (b"7", ["wrong_shape"], 0),
        (b"[" * 2000 + b"]" * 2000, ["bad_json"], 0),
    ],
)
def test_what_a_parser_may_meet(payload: bytes, reasons: list[str], readings: int) -> None:
    sink = decode(MAPPINGS, [(NOW, "test/plant/d/json", payload)])
    assert [problem.reason.value for problem in sink.problems] == reasons
    assert len(sink.rows) == readings


def test_the_last_of_two_equal_keys_counts() -> None:
    sink = decode(MAPPINGS, [(NOW, "test/plant/d/json", b'{"ts":1795341600,"a":1,"a":2}')])
    assert [row[4] for row in sink.rows] == [2.0]


@needs_corpus
@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.tuples(st.sampled_from(CASES or [Case("", "t", "", "")]), st.binary(max_size=8), st.integers(0, 2_000)),
        max_size=6,
    )
)
def test_mutilated_inputs_never_raise(cut: list[tuple[Case, bytes, int]]) -> None:
    messages = [
        (NOW, case.topic, case.payload[:at] + noise + case.payload[at + len(noise) :])
        for case, noise, at in cut
        if len(case.payload) < 3_000
    ]
    sink = decode(MAPPINGS, messages)
    assert not [problem for problem in sink.problems if "gave up" in problem.detail]


def _every_feature() -> Iterator[object]:
    """Mappings of the golden cases with the payloads that they were written for."""
    for path in sorted((Path(__file__).parent / "golden").glob("*.yaml")):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        told = [(case["topic"], case["payload"]) for case in content["cases"] if "topic" in case and "payload" in case]
        if "mapping" in content and told:
            yield pytest.param(yaml.safe_dump(content["mapping"]), told, id=path.stem)


def _places(value: object) -> list[tuple[Any, Any]]:
    """Each container within a document, with each of its keys."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, inner in items for place in ((value, key), *_places(inner))]


@pytest.mark.parametrize(("mapping", "told"), list(_every_feature()))
@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_no_feature_fails_when_a_part_of_a_message_is_something_else(
    mapping: str, told: list[tuple[str, object]], data: st.DataObject
) -> None:
    topic, payload = data.draw(st.sampled_from(told))
    document = {"": copy.deepcopy(payload)}
    container, key = data.draw(st.sampled_from(_places(document)))
    container[key] = data.draw(json_values)
    sink = Sink()
    decoder = MessageDecoder(mappings_of(mapping), LIMITS)
    decode_all(decoder, [(topic, msgspec.json.encode(document[""]), microseconds(NOW))], sink)
    assert not [problem for problem in sink.problems if "gave up" in problem.detail or problem.reason == "no_mapping"]
    assert all(row[4] is None or math.isfinite(row[4]) for row in sink.rows)
