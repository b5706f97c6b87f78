"""Sets of mappings on trial, and the JSON Schema that editors use."""

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from iot_pipeline.errors import MappingError
from iot_pipeline.readings.language.mapping import BUILT_IN, load_mapping, load_mappings
from iot_pipeline.readings.tryout.schema import mapping_schema
from iot_pipeline.readings.tryout.sets import given_mappings, with_file

TEXT = 'fleet: f\ntopic: t/{d}\ndevice_id: "{d}"\nleaves: {}\n'
VALIDATOR = jsonschema.Draft202012Validator(mapping_schema())


def written(folder: Path, name: str, text: str = TEXT) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_files_and_folders_are_asked_in_the_order_given(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    written(tmp_path / "more", "b.yaml")
    written(tmp_path / "more", "a.yml")
    own = written(tmp_path, "z.yaml")
    assert [loaded.name for loaded in given_mappings([own, tmp_path / "more"], built_in=False)] == ["z", "a", "b"]


def test_built_in_mappings_come_last_and_only_when_asked_for(tmp_path: Path) -> None:
    names = [loaded.name for loaded in given_mappings([written(tmp_path, "weather.yaml")], built_in=True)]
    assert names[0] == "weather"
    assert sorted(names) == sorted(loaded.name for loaded in load_mappings(None))


def test_a_folder_without_mappings_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(MappingError, match="holds no mapping"):
        given_mappings([tmp_path], built_in=False)


def test_a_new_file_joins_where_it_would_be_asked(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    written(folder, "a.yaml")
    written(folder, "c.yaml")
    new = load_mapping(written(tmp_path, "b.yaml"))
    names = [loaded.name for loaded in with_file(load_mappings(folder), new)]
    assert names == ["a", "b", "c", *(loaded.name for loaded in load_mappings(None))]


def test_a_new_file_replaces_its_namesakes(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    written(folder, "acme.yaml", "name: old\n" + TEXT)
    changed = load_mapping(written(tmp_path, "acme.yaml"))
    assert next(iter(with_file(load_mappings(folder), changed))).origin == changed.origin
    assert "old" not in [loaded.name for loaded in with_file(load_mappings(folder), changed)]
    weather = load_mapping(written(tmp_path, "weather.yaml"))
    assert [loaded.origin for loaded in with_file(load_mappings(None), weather) if loaded.name == "weather"] == [
        weather.origin
    ]


@pytest.mark.parametrize("path", sorted(BUILT_IN.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_takes_what_the_product_takes(path: Path) -> None:
    assert [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"topics": "t"},
        {"format": "xml"},
        {"leaves": {"arrays": "maybe"}},
        {"timestamp": {"unit": "fortnight"}},
        {"attributes": {"place": [1]}},
    ],
)
def test_the_schema_marks_mistakes(wrong: dict[str, object]) -> None:
    good = yaml.safe_load(TEXT)
    assert VALIDATOR.is_valid({**good, "timestamp": {"paths": "ts"}, "attributes": {"latitude": 47.1}})
    assert not VALIDATOR.is_valid({**good, **wrong})


def test_a_schema_is_one_and_describes_its_keys() -> None:
    jsonschema.Draft202012Validator.check_schema(mapping_schema())
    assert "topic patterns" in mapping_schema()["properties"]["topic"]["description"].lower()
