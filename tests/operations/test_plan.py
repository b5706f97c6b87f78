"""What children of `iot up` are given: every setting that was set, and partitions that do not move."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from iot_pipeline.clock import utc_now
from iot_pipeline.operations.preflight import fix_minute_start
from iot_pipeline.operations.processes import Plan, exported
from iot_pipeline.settings import load_settings


def test_settings_survive_the_way_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        data=tmp_path, topics=["a/#", 'b "quoted"/+'], broker_password="secret", batch_seconds=0.5, mappings=tmp_path
    )
    for name, value in exported(settings).items():
        monkeypatch.setenv(name, value)
    again = load_settings()
    assert again == settings
    assert again.model_fields_set == settings.model_fields_set


def test_a_project_env_file_cannot_win_over_the_plan(tmp_path: Path) -> None:
    """Dagster lets `.env` of the working folder win over the environment: two instances would share a history."""
    plan = Plan(
        settings=load_settings(data=tmp_path),
        run_id="x",
        minute_start=utc_now().date(),
        embedded_broker=True,
        dagster=True,
        simulator=True,
        code_server_port=1,
    )
    assert plan.working_folder.is_relative_to(tmp_path)
    environment = plan.environment()
    assert environment["IOT_DAGSTER_STORAGE"] == str(tmp_path / "dagster")
    assert environment["IOT_MINUTE_START"] == utc_now().date().isoformat()


@pytest.mark.parametrize(
    ("age_days", "window_then", "kept"), [(3, 14, True), (13, 14, True), (14, 14, False), (3, 7, False)]
)
def test_the_first_minute_stays_while_it_is_in_the_window(
    tmp_path: Path, age_days: int, window_then: int, kept: bool
) -> None:
    settings = load_settings(data=tmp_path, minute_window_days=14)
    settings.paths.landing.mkdir()
    file = settings.paths.state / "minute_start.json"
    file.parent.mkdir(parents=True)
    before = utc_now().date() - timedelta(days=age_days)
    file.write_text(json.dumps({"start": str(before), "window_days": window_then}))
    start = fix_minute_start(settings)
    assert start == (before if kept else settings.first_minute.date())
    assert fix_minute_start(settings) == start


def test_the_minutes_of_a_folder_without_data_begin_today(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, minute_window_days=14)
    settings.paths.state.mkdir()
    assert fix_minute_start(settings) == utc_now().date()
