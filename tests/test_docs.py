"""Documents say what the code says: every setting, command, reason, sensor and view, and examples that load."""

import re
from pathlib import Path

import pytest
import yaml

from iot_pipeline.cli import app
from iot_pipeline.readings.language.mapping import parse_mapping
from iot_pipeline.readings.schema import QuarantineReason
from iot_pipeline.settings import Settings
from iot_pipeline.stats.views import view_queries
from tests.asset_graph import SNAPSHOT
from tests.test_cli import command_names

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
MAPPINGS = (ROOT / "docs" / "mappings.md").read_text()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_documented_with_its_description(name: str) -> None:
    assert f"| `IOT_{name.upper()}` |" in OPERATIONS
    assert (Settings.model_fields[name].description or "?") in OPERATIONS


def test_every_command_is_in_the_readme() -> None:
    names = command_names(app)
    assert {"up", "mapping test", "quarantine retry"} <= set(names)
    assert [name for name in names if f"`iot {name}`" not in README] == []


@pytest.mark.parametrize("reason", QuarantineReason)
def test_every_reason_of_quarantine_is_explained(reason: QuarantineReason) -> None:
    assert f"`{reason.value}`" in MAPPINGS


def test_every_view_is_in_the_readme(settings: Settings) -> None:
    assert [view for view in view_queries(settings.paths) if f"`{view}`" not in README] == []


def test_the_example_mapping_loads() -> None:
    example, *_ = re.findall(r"```yaml\n(.*?)```", MAPPINGS, re.DOTALL)
    assert parse_mapping(example, "docs/mappings.md", default_name="example").name == "pump_room"


def test_every_sensor_and_schedule_is_documented() -> None:
    graph = yaml.safe_load(SNAPSHOT.read_text())
    assert [name for name in (*graph["sensors"], *graph["schedules"]) if f"`{name}`" not in OPERATIONS] == []


@pytest.mark.parametrize("document", [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")], ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text())
    assert [target for target in targets if not (document.parent / target).exists()] == []
