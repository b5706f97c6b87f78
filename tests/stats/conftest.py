import shutil
from pathlib import Path

import pytest

from iot_pipeline.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, parsed_dbt: Path) -> Settings:
    settings = load_settings(data=tmp_path / "data")
    kept = settings.paths.tmp / "dbt"
    kept.mkdir(parents=True)
    for path in parsed_dbt.glob("manifest.*"):
        shutil.copy2(path, kept / path.name)
    return settings
