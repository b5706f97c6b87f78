"""Mapping files: what is accepted, and what the message says when one is not."""

from pathlib import Path

import pytest

from iot_pipeline.errors import MappingError
from iot_pipeline.readings.mapping import BUILT_IN, load_mapping, load_mappings, parse_mapping

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
            "x.yaml: colour: Extra inputs are not permitted; received 'red'; valid keys are: name, description",
        ),
        ("format: xml", "x.yaml: format: Input should be 'json', 'ndjson'"),
        ("leaves: {text: perhaps}", "x.yaml: leaves.text: Input should be 'ignore', 'reading' or 'reject'"),
        ("leaves: {globs: []}", "valid keys are: under, include, exclude, text, arrays"),
        ("timestamp: {paths: ts, unit: weeks}", "valid values are: iso, s, ms, us, ns, magnitude, auto"),
        ("timestamp: {paths: ts, zone: Mars/Olympus}", "timestamp.zone: 'Mars/Olympus' is no IANA time zone"),
        ("device_id: '{device'", "x.yaml: device_id: template '{device': unexpected '{'"),
        ("device_id: '[{device}'", "x.yaml: device_id: template '[{device}': `[` is not closed"),
        ("topic: a/#/b", "x.yaml: topic.0: `#` stands for the rest of a topic and must be its last level"),
        ("topic: 'a/{x...}/b'", "must be its whole last level"),
        ("topic: 'a/{x}/{x}'", "a capture name is used twice"),
        ("each: 'a[b'", "x.yaml: each: path 'a[b': cannot read '[b'"),
        ("format: scalar", "format scalar has one value"),
        ("words: {ON: 1}", "Input should be a valid string"),
        ("max_lateness: never", "x.yaml: max_lateness"),
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
