"""What children of `iot up` are given: every setting that was set, and partitions that do not move."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from iot_pipeline.clock import utc_now
from iot_pipeline.operations.preflight import fix_minute_start
from iot_pipeline.operations.processes import Plan, exported
from iot_pipeline.settings import load_settings


def plan(data: Path, **settings: object) -> Plan:
    return Plan(
        settings=load_settings(data=data, **settings),
        run_id="x",
        minute_start=utc_now().date(),
        embedded_broker=True,
        dagster=True,
        simulator=True,
        code_server_port=1,
    )


def test_settings_survive_the_way_through_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(
        data=tmp_path, topics=["a/#", 'b "quoted"/+'], broker_password="secret", batch_seconds=0.5, mappings=tmp_path
    )
    for name, value in exported(settings).items():
        monkeypatch.setenv(name, value)
    again = load_settings()
    assert again == settings
    assert again.model_fields_set == settings.model_fields_set


@pytest.mark.parametrize(
    ("configured", "collectors"),
    [
        ({"sparkplug_host_id": ""}, {"collector": "mqtt"}),
        ({}, {"collector": "mqtt", "collector-sparkplug": "sparkplug"}),
        (
            {"opcua": "servers.yaml"},
            {"collector": "mqtt", "collector-sparkplug": "sparkplug", "collector-opcua": "opcua"},
        ),
    ],
)
def test_each_configured_source_has_a_collector(
    tmp_path: Path, configured: dict[str, str], collectors: dict[str, str]
) -> None:
    specs = {spec.name: spec for spec in plan(tmp_path, **configured).processes()}
    assert {name: spec.command[-1] for name, spec in specs.items() if name.startswith("collector")} == collectors
    assert list(specs)[-1] == "simulator"


def test_the_api_is_a_process_of_its_own(tmp_path: Path) -> None:
    given = plan(tmp_path, web_host="0.0.0.0", web_port=8081, api_keys="a:0123456789abcdef")  # noqa: S104
    (web,) = [spec for spec in given.processes() if spec.name == "web"]
    assert web.gives_up_with == 2
    environment = given.environment()
    assert environment["IOT_API_KEYS"] == "a:0123456789abcdef"
    assert (environment["IOT_WEB_HOST"], environment["IOT_WEB_PORT"]) == ("0.0.0.0", "8081")  # noqa: S104
    assert "0123456789abcdef" not in str(web)


def test_a_project_env_file_cannot_win_over_the_plan(tmp_path: Path) -> None:
    """Dagster lets `.env` of the working folder win over the environment: two instances would share a history."""
    given = plan(tmp_path)
    assert given.working_folder.is_relative_to(tmp_path)
    environment = given.environment()
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


def test_the_embedded_broker_is_told_how_many_filters_its_largest_session_has(tmp_path: Path) -> None:
    topics = ["a/#", "b/#", "c/#"]
    planned = plan(tmp_path, topics=topics)
    planned.processes()
    config = json.loads((planned.paths.broker / "nats-server.conf").read_text())
    # More than MQTT has packet numbers, and the server refuses the subscription.
    assert 2 * len(topics) * config["mqtt"]["max_ack_pending"] <= 65_535
