import shutil
from pathlib import Path

import pytest

from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.dbt_build import prepare_manifest


@pytest.fixture(scope="session")
def parsed_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dbt project is parsed once for all tests: it takes seconds."""
    return prepare_manifest(DataPaths(tmp_path_factory.mktemp("dbt"))).parent


@pytest.fixture
def settings(tmp_path: Path, parsed_project: Path) -> Settings:
    settings = load_settings(data=tmp_path / "data")
    kept = settings.paths.tmp / "dbt"
    kept.mkdir(parents=True)
    for path in parsed_project.glob("manifest.*"):
        shutil.copy2(path, kept / path.name)
    return settings
