from datetime import UTC, datetime
from pathlib import Path

import pytest

from iot_pipeline.clock import MINUTE
from iot_pipeline.paths import DBT_PROJECT
from iot_pipeline.settings import Settings
from iot_pipeline.stats.dbt_build import prepare_manifest, run_dbt
from iot_pipeline.stats.inputs import day_input_files
from iot_pipeline.stats.run_sources import make_day_sources, make_minute_sources
from iot_pipeline.stats.session import engine

TEN = datetime(2026, 11, 22, 10, 42, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["minute", "day"])
def test_unit_tests_of_the_models_pass(settings: Settings, tmp_path: Path, kind: str) -> None:
    database = tmp_path / "warehouse.duckdb"
    with engine(settings.paths, database) as connection:
        if kind == "minute":
            make_minute_sources(connection, settings, [], TEN, TEN)
        else:
            make_day_sources(connection, settings, [day_input_files(settings.paths, TEN.date())], [TEN.date()])
    outcome = run_dbt(
        settings.paths, database=database, select=f"+tag:{kind}", first=TEN, end=TEN + MINUTE, unit_tests=True
    )
    unit_tests = [node for node in outcome.nodes if node.unique_id.startswith("unit_test.")]
    assert not outcome.failures, outcome.messages
    assert outcome.error is None
    assert len(unit_tests) == {"minute": 4, "day": 21}[kind]


def test_the_project_is_parsed_once_and_nothing_is_written_into_it(settings: Settings) -> None:
    before = sorted(DBT_PROJECT.rglob("*"))
    manifest = prepare_manifest(settings.paths)
    made = manifest.stat().st_mtime_ns
    assert prepare_manifest(settings.paths) == manifest
    assert manifest.stat().st_mtime_ns == made
    manifest.with_suffix(".sha256").write_text("of another project")
    prepare_manifest(settings.paths)
    assert manifest.stat().st_mtime_ns > made
    assert sorted(DBT_PROJECT.rglob("*")) == before


def test_every_model_has_a_file_of_the_same_name_that_describes_it() -> None:
    models = {path.stem for path in (DBT_PROJECT / "models").rglob("*.sql")}
    described = {path.stem for path in (DBT_PROJECT / "models").rglob("*.yml")}
    assert models <= described
