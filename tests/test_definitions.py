"""What Dagster is told of the project: complete, described, and changed on purpose only."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml

import iot_pipeline
from iot_pipeline.operations import backfill
from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.settings import load_settings
from tests.asset_graph import SNAPSHOT, UPDATE, graph
from tests.pipeline.world import define

CONCEPTS = {"assets", "checks", "definitions", "jobs", "partitions", "resources", "schedules", "sensors"}
PACKAGE = Path(iot_pipeline.__file__).parent


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return define(load_settings(data=tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key)


def test_the_asset_graph_is_as_in_the_snapshot(definitions: dg.Definitions) -> None:
    kept = yaml.safe_load(SNAPSHOT.read_text())
    assert graph(definitions) == kept, f"if this change is meant: `{UPDATE}`, then read the difference"


@pytest.mark.parametrize("told", ["description", "owners", "group_name", "kinds"])
def test_every_asset_tells(specs: list[dg.AssetSpec], told: str) -> None:
    assert [spec.key.to_user_string() for spec in specs if not getattr(spec, told)] == []


def test_every_asset_that_we_make_links_to_its_code(definitions: dg.Definitions) -> None:
    made = [asset for asset in definitions.resolve_asset_graph().asset_nodes if asset.is_materializable]
    assert [node.key for node in made if "dagster/code_references" not in node.metadata] == []
    for node in made:
        for reference in node.metadata["dagster/code_references"].code_references:
            assert isinstance(reference, dg.LocalFileCodeReference)
            assert Path(reference.file_path).is_file()


def test_every_job_sensor_and_schedule_is_described(definitions: dg.Definitions) -> None:
    repository = definitions.get_repository_def()
    told = {sensor.name: sensor.description for sensor in repository.sensor_defs}
    told |= {schedule.name: schedule.description for schedule in repository.schedule_defs}
    told |= {job.name: job.description for job in repository.get_all_jobs() if not job.name.startswith("__")}
    assert [name for name, description in told.items() if not description] == []


def test_late_minutes_are_not_looked_for_in_step_with_the_minute_chain(definitions: dg.Definitions) -> None:
    (sensor,) = (one for one in definitions.get_repository_def().sensor_defs if one.name == "late_minutes")
    assert 60 % (sensor.minimum_interval_seconds or 60)


def test_backfills_by_hand_cover_the_assets_of_their_partitions(definitions: dg.Definitions) -> None:
    by_partitions: dict[str, set[str]] = {}
    for node in definitions.resolve_asset_graph().asset_nodes:
        if isinstance(node.partitions_def, dg.TimeWindowPartitionsDefinition):
            by_partitions.setdefault(node.partitions_def.cron_schedule, set()).add(node.key.to_user_string())
    assert by_partitions == {"* * * * *": set(backfill.MINUTE_ASSETS), "0 0 * * *": set(backfill.DAY_ASSETS)}


def test_only_files_named_after_concepts_of_dagster_import_it() -> None:
    importing = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if imports_dagster(path)}
    assert {path for path in importing if Path(path).stem not in CONCEPTS} == set()


def imports_dagster(path: Path) -> bool:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            continue
        if any(name.partition(".")[0].startswith("dagster") for name in names):
            return True
    return False


def test_dagster_accepts_its_configuration_and_the_definitions(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(PROJECT_ROOT),
        "IOT_DATA": str(tmp_path / "data"),
        "IOT_DAGSTER_STORAGE": str(tmp_path / "storage"),
    }
    command = [str(Path(sys.executable).with_name("dagster")), "definitions", "validate", "--log-level", "warning"]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    warned = [line for line in told.splitlines() if "warning" in line.lower()]
    # Dagster would rather see its own next command line tool used.
    assert [line for line in warned if "SupersessionWarning" not in line] == []
