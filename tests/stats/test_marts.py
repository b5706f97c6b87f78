"""Every mart has what readers rely on: grain, contract, key, an identity, examples, and words for all columns."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from iot_pipeline.paths import DBT_PROJECT
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import DAY_MODELS, DIM_DEVICE_SCHEMA, minute_marts

MARTS = sorted(path.stem for path in (DBT_PROJECT / "models" / "marts").rglob("*.sql"))
TYPES = {pl.String(): "varchar", pl.Int64(): "bigint", pl.Float64(): "double", pl.Date(): "date"}
# Figures whose unit is another column, a count, or told in the name of the column.
UNIT = re.compile(
    r"`unit`|`utility`|seconds|per cent|degrees|\bday\b|mm/s|Ah|ampere|\bA\b|\bms\b|share|unit of|ratio|times",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def manifest(parsed_dbt: Path) -> Mapping[str, Any]:
    content: Mapping[str, Any] = json.loads((parsed_dbt / "manifest.json").read_bytes())
    return content


@pytest.fixture
def schemas(settings: Settings) -> Mapping[str, Mapping[str, pl.DataType]]:
    by_day = {model.name: model.schema for model in DAY_MODELS}
    by_minute = {name: tree.schema for name, tree in minute_marts(settings.paths).items()}
    return {**by_day, **by_minute, "dim_device": DIM_DEVICE_SCHEMA}


def node(manifest: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = manifest["nodes"][f"model.iot_pipeline.{name}"]
    return found


def data_tests(manifest: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [
        one
        for one in manifest["nodes"].values()
        if one["resource_type"] == "test" and f"model.iot_pipeline.{name}" in one["depends_on"]["nodes"]
    ]


@pytest.mark.parametrize("name", MARTS)
def test_it_says_its_grain_first(manifest: Mapping[str, Any], name: str) -> None:
    assert node(manifest, name)["description"].startswith("One row per ")


@pytest.mark.parametrize("name", MARTS)
def test_its_contract_is_what_is_published(
    manifest: Mapping[str, Any], schemas: Mapping[str, Mapping[str, pl.DataType]], name: str
) -> None:
    model = node(manifest, name)
    assert model["config"]["contract"]["enforced"]
    told = {column["name"]: column["data_type"] for column in model["columns"].values()}
    assert told == {column: TYPES.get(dtype, "timestamptz") for column, dtype in schemas[name].items()}


@pytest.mark.parametrize("name", MARTS)
def test_its_key_is_tested(manifest: Mapping[str, Any], name: str) -> None:
    kinds = {one["test_metadata"]["name"] for one in data_tests(manifest, name) if one.get("test_metadata")}
    assert kinds & {"unique_combination", "unique"}


@pytest.mark.parametrize("name", sorted({*MARTS} - {"dim_device"}))
def test_an_identity_holds_over_it(manifest: Mapping[str, Any], name: str) -> None:
    """But `dim_device`: that merging devices in any order and twice gives the same is tested in Python."""
    assert [one["name"] for one in data_tests(manifest, name) if not one.get("test_metadata")]


@pytest.mark.parametrize("name", MARTS)
def test_it_has_an_example_with_rows(manifest: Mapping[str, Any], name: str) -> None:
    examples = [one for one in manifest["unit_tests"].values() if one["model"] == name]
    assert examples
    assert all(one["given"] and one["expect"]["rows"] for one in examples)


@pytest.mark.parametrize("name", MARTS)
def test_all_its_columns_are_described_with_their_units(manifest: Mapping[str, Any], name: str) -> None:
    columns = node(manifest, name)["columns"].values()
    assert [column["name"] for column in columns if not column["description"].strip()] == []
    figures = [column for column in columns if column["data_type"] == "double"]
    assert [column["name"] for column in figures if not UNIT.search(column["description"] + column["name"])] == []


def test_no_source_that_a_model_reads_is_without_words(manifest: Mapping[str, Any]) -> None:
    assert [one["name"] for one in manifest["sources"].values() if not one["description"].strip()] == []
