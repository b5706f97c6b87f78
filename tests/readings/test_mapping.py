"""Mapping files: what is accepted, and what the message says when one is not."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel

from iot_pipeline.errors import MappingError
from iot_pipeline.readings.language.mapping import BUILT_IN, load_mapping, load_mappings, parse_mapping
from iot_pipeline.readings.language.model import (
    Condition,
    LeafRule,
    Linear,
    Lookup,
    Mapping,
    QualityRule,
    Rewrite,
    Split,
    TimeCandidate,
    TimeRule,
    TimeShift,
    ValueRule,
    Variant,
)

GOOD = """
fleet: f
topic: a/{device}
device_id: "{device}"
leaves: {}
"""


def test_the_built_in_mappings_load_and_have_versions_of_their_own() -> None:
    mappings = load_mappings(None)
    assert len(set(mappings.versions.values())) == len(mappings.mappings) == len(list(BUILT_IN.glob("*.yaml")))


def test_the_version_is_that_of_the_content_and_not_of_its_layout() -> None:
    first = parse_mapping(GOOD, "x.yaml", default_name="x")
    same = parse_mapping(
        "# comment\nleaves: {}\ntopic: ['a/{device}']\nfleet: f\ndevice_id: '{device}'", "y", default_name="x"
    )
    other = parse_mapping(GOOD + "unit: V\n", "x.yaml", default_name="x")
    assert first.version == same.version != other.version
    assert len(first.version) == 12


def test_a_key_with_its_default_does_not_change_the_version() -> None:
    first = parse_mapping(GOOD, "x.yaml", default_name="x")
    same = parse_mapping(GOOD + "decimal_comma: false\nparts: []\nformat: json\n", "x.yaml", default_name="x")
    assert first.version == same.version


def test_what_a_part_says_counts_for_the_version_even_if_it_is_a_default() -> None:
    part = GOOD + "decimal_comma: true\nparts: [{when: {path: a, exists: true}%s}]\n"
    first = parse_mapping(part % "", "x.yaml", default_name="x")
    other = parse_mapping(part % ", decimal_comma: false", "x.yaml", default_name="x")
    assert first.version != other.version


def test_a_wrong_line_is_named_in_a_long_file() -> None:
    text = GOOD + "description: |\n  two\n  lines\nvalues:\n  - path: a\n  - {path: b, txt: x}\n"
    with pytest.raises(MappingError, match=r"^x\.yaml:11: values\.1\.txt: Extra inputs .*valid keys are: path, metric"):
        parse_mapping(text, "x.yaml", default_name="x")


def test_users_are_asked_first_and_may_replace_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "weather.yml").write_text(GOOD)
    names = [mapping.name for mapping in load_mappings(tmp_path)]
    assert names[:2] == ["mine", "weather"]
    assert names.count("weather") == 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            "colour: red",
            "x.yaml:6: colour: Extra inputs are not permitted; received 'red'; valid keys are: name, description",
        ),
        ("format: xml", "x.yaml:6: format: Input should be 'json', 'ndjson'"),
        ("leaves: {text: perhaps}", "x.yaml:5: leaves.text: Input should be 'ignore', 'reading' or 'reject'"),
        ("leaves: {globs: []}", "valid keys are: under, include, exclude, text, arrays"),
        ("timestamp: {paths: ts, unit: weeks}", "valid values are: iso, s, ms, us, ns, magnitude, auto"),
        ("timestamp: {paths: ts, zone: Mars/Olympus}", "timestamp.zone: 'Mars/Olympus' is no IANA time zone"),
        ("device_id: '{device'", "x.yaml:5: device_id: template '{device': unexpected '{'"),
        ("device_id: '[{device}'", "x.yaml:5: device_id: template '[{device}': `[` is not closed"),
        ("topic: a/#/b", "x.yaml:5: topic: `#` stands for the rest of a topic and must be its last level"),
        ("topic: 'a/{x...}y/b'", "captures whole levels and must be a level by itself"),
        ("topic: 'a/{x...}/{y...}'", "need a level between them"),
        ("topic: ['a/{x...}/b/{y...}/c/{z...}']", "at most 2 captures"),
        ("then_each: a", "then_each: `each` must name the first level"),
        ("strip_suffix: true", "strip_suffix: `unit_suffixes` must name the ends"),
        ("scales: {a: 0}", "x.yaml:6: scales: a glob cannot be empty and a scale cannot be 0"),
        ("when: {path: a}", "x.yaml:6: when: one of `exists`, `equals`, `differs` must say what is asked"),
        ("timestamp: {paths: [{zone: UTC}]}", "either `path` or `template` must say where the time is"),
        ("timestamp: {shift: {unit: s}}", "x.yaml:6: timestamp.shift: either `path` or `value` must say how long"),
        ("timestamp: {shift: {path: a, unit: d}}", "valid values are: h, min, s, ms, us, ns"),
        ("leaves: {timestamp: '{paht}_ts'}", "a place beside a leaf names one of {path}, {leaf}, {parent}, {name}"),
        ("leaves: {quality: '{path}_q'}", "quality: must say which words mean good"),
        ("split: [{path: id, pattern: '{a}{b}'}]", "something must stand between two parts"),
        ("split: [{path: id, pattern: '{device}.{b}'}]", "device is captured by `topic` already"),
        ("format: sparkplug_b\nscales: {a: 2}", "format sparkplug_b: `scales` do not apply"),
        ("topic: 'a/{device}/{path}'\nmetric: '{path}'", "metric: {path} and {leaf} are those of the value"),
        ("parts: [{values: [{path: 'a['}]}]", "x.yaml:6: parts.0.values.0.path: path 'a[': cannot read"),
        ("unpack: {a: gzip}", "Input should be 'json' or 'base64_json'"),
        ("device_id: '{a}'\ndevice_id: '{b}'", "x.yaml:6: device_id: stands on line 5 already"),
        ("unit: {template: x}", "x.yaml:6: unit.table: Field required"),
        ("topic: 'a/{x}/{x}'", "a capture name is used twice"),
        ("each: 'a[b'", "x.yaml:6: each: path 'a[b': cannot read '[b'"),
        ("format: scalar", "format scalar has one value"),
        ("words: {ON: 1}", "Input should be a valid string; received 'True' (YAML reads on, off"),
        ("max_lateness: never", "x.yaml:6: max_lateness: Input should be 'unlimited'"),
    ],
)
def test_an_error_names_the_file_the_key_and_the_choices(change: str, expected: str) -> None:
    key = change.split(":", maxsplit=1)[0]
    kept = "\n".join(line for line in GOOD.splitlines() if not line.startswith(f"{key}:"))
    with pytest.raises(MappingError) as raised:
        parse_mapping(f"{kept}\n{change}\n", "x.yaml", default_name="x")
    assert expected in str(raised.value)


def test_what_is_no_mapping_at_all_says_so(tmp_path: Path) -> None:
    for text, expected in (("- a", "expected keys and values"), ("a: [", "not YAML"), ("{}", "fleet: Field required")):
        path = tmp_path / "x.yaml"
        path.write_text(text)
        with pytest.raises(MappingError, match=expected):
            load_mapping(path)
    (tmp_path / "x.yaml").write_bytes(b"\xff")
    with pytest.raises(MappingError, match="cannot be read"):
        load_mappings(tmp_path)
    with pytest.raises(MappingError, match="is no folder"):
        load_mappings(tmp_path / "missing")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD + "name: same\n")
    (tmp_path / "b.yaml").write_text(GOOD + "name: same\n")
    with pytest.raises(MappingError, match="'same' is the name of"):
        load_mappings(tmp_path)


DOCS = (Path(__file__).resolve().parents[2] / "docs" / "mappings.md").read_text(encoding="utf-8")
MODELS: list[type[BaseModel]] = [
    Mapping,
    Variant,
    ValueRule,
    LeafRule,
    TimeRule,
    TimeCandidate,
    TimeShift,
    QualityRule,
    Condition,
    Split,
    Rewrite,
    Lookup,
    Linear,
]


@pytest.mark.parametrize("key", sorted({key for model in MODELS for key in model.model_fields}))
def test_every_key_is_documented(key: str) -> None:
    assert f"`{key}`" in DOCS or f"`{key}: " in DOCS


@pytest.mark.parametrize("example", re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)[1:])
def test_every_example_of_the_documentation_loads(example: str) -> None:
    whole = {"fleet": "f", "topic": "a/{device}", "device_id": "{device}", "leaves": {}} | yaml.safe_load(example)
    text = yaml.safe_dump({key: value for key, value in whole.items() if value is not None})
    parse_mapping(text, "docs/mappings.md", default_name="example")
