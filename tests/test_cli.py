"""The command line: help that shows how, errors that are one message, exit codes that mean something."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from iot_pipeline.cli import app
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.stats.relations import prepare_relations
from tests.readings.landed import BUILT_IN, NOW, land, settings_in


def command_names(application: typer.Typer) -> list[str]:
    """Every command, those of groups with the name of their group: `mapping test`."""
    own = [str(one.name or one.callback.__name__) for one in application.registered_commands if one.callback]
    groups = [
        (str(group.name or group.typer_instance.info.name), group.typer_instance)
        for group in application.registered_groups
        if group.typer_instance
    ]
    return sorted([*own, *(f"{name} {inner}" for name, group in groups for inner in command_names(group))])


COMMANDS = command_names(app)


def iot(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iot_pipeline.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    done = iot(*command.split(), "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f"iot {command}" in done.stdout or f"iot {command}" in done.stdout.replace("\n", " ")


def test_help_is_quick_and_lists_every_command() -> None:
    def seconds() -> float:
        # Of the processor: what else the machine does is no matter of ours.
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = iot("--help")
        assert all(command.split()[0] in done.stdout for command in COMMANDS)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds() for _ in range(3)) < 0.5


def test_an_error_is_one_message_without_a_traceback(tmp_path: Path) -> None:
    done = iot("sql", "--data", str(tmp_path), "DROP TABLE device_minute")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("iot: DROP was refused")
    assert "Traceback" not in done.stderr
    assert "Traceback" in iot("--debug", "sql", "--data", str(tmp_path), "DROP TABLE device_minute").stderr


def test_sql_writes_what_was_asked_for(tmp_path: Path) -> None:
    query = "SELECT TIMESTAMPTZ '2026-11-22T10:42:00Z' AS minute, 'é' AS text"
    assert json.loads(iot("sql", "--data", str(tmp_path), "--format", "json", query).stdout) == [
        {"minute": "2026-11-22T10:42:00Z", "text": "é"}
    ]
    assert (
        iot("sql", "--data", str(tmp_path), "--format", "csv", query).stdout == "minute,text\n2026-11-22T10:42:00Z,é\n"
    )
    assert "2026-11-22T10:42:00Z" in iot("sql", "--data", str(tmp_path), query).stdout
    wrong = iot("sql", "--data", str(tmp_path), "--format", "xml", query)
    assert (wrong.returncode, "table, csv, json" in wrong.stderr) == (2, True)


def test_report_lists_what_can_be_asked_and_says_when_it_finds_nothing(tmp_path: Path) -> None:
    listed = iot("report").stdout
    assert listed == iot("report", "--list").stdout
    assert "customer-usage" in listed
    assert "--customer" in listed
    nowhere = iot("report", "states-messages", "--data", str(tmp_path / "nowhere"))
    assert (nowhere.returncode, "nothing is published" in nowhere.stderr) == (1, True)
    prepare_relations(DataPaths(tmp_path))
    empty = iot("report", "line-starts", "--data", str(tmp_path))
    assert (empty.returncode, empty.stdout, empty.stderr) == (0, "", "no data found\n")
    found = iot("report", "states-messages", "--data", str(tmp_path), "--format", "json")
    assert json.loads(found.stdout) == [{"messages": 0}]
    wrong = iot("report", "ice-plant", "--data", str(tmp_path), "--seconds", "3")
    assert (wrong.returncode, "it takes: period, fleet, device" in wrong.stderr) == (2, True)


def test_backfill_tells_what_a_span_is(tmp_path: Path) -> None:
    done = iot("backfill", "--data", str(tmp_path), "yesterday")
    assert done.returncode == 2
    assert "2026-11-22T10:00..2026-11-22T11:00" in done.stderr


def test_version_names_the_parts() -> None:
    assert "duckdb" in iot("version").stdout


MAPPING = 'fleet: f\ntopic: t/{d}\ndevice_id: "{d}"\nleaves: {}\n'


def test_a_mapping_is_tried_on_messages(tmp_path: Path) -> None:
    (tmp_path / "m.yaml").write_text(MAPPING)
    (tmp_path / "in.jsonl").write_text('{"id":"a","topic":"t/x","payload":{"v":1}}\n')
    (tmp_path / "good.jsonl").write_text(
        '{"id":"a","readings":[{"device_id":"x","metric":"v","ts":"RECEIVED","value":1}]}\n'
    )
    (tmp_path / "other.jsonl").write_text('{"id":"a","readings":[]}\n')
    files = [str(tmp_path / "m.yaml"), str(tmp_path / "in.jsonl")]
    done = iot("mapping", "test", *files, "--expected", str(tmp_path / "good.jsonl"))
    assert done.returncode == 0
    assert json.loads(done.stdout)["readings"][0]["value"] == 1
    assert done.stderr == "1 messages: 1 decoded, 0 no reading, 0 quarantined; 1 readings; 1 of 1 as expected\n"
    out = tmp_path / "out.jsonl"
    done = iot("mapping", "test", *files, "--expected", str(tmp_path / "other.jsonl"), "--out", str(out))
    assert (done.returncode, done.stdout) == (1, "")
    assert "a (t/x): extra   x | v |" in done.stderr
    assert json.loads(out.read_text())["id"] == "a"
    (tmp_path / "in.jsonl").write_text("\n{}\n")
    done = iot("mapping", "test", *files)
    assert done.returncode == 2
    assert "in.jsonl:2: " in done.stderr


def test_a_wrong_mapping_is_refused_with_the_valid_values(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(MAPPING + "format: xml\n")
    (tmp_path / "good.yaml").write_text(MAPPING)
    done = iot("mapping", "check", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "bad.yaml" in done.stderr
    assert "senml" in done.stderr
    assert iot("mapping", "check", str(tmp_path / "good.yaml")).stdout.startswith(
        f"{tmp_path / 'good.yaml'}: mapping good"
    )


def test_mappings_are_listed_and_described_for_editors() -> None:
    listed = json.loads(iot("mapping", "list", "--json").stdout)
    assert {"name": "weather", "format": "json", "origin": "built in"}.items() <= next(
        row.items() for row in listed if row["name"] == "weather"
    )
    assert json.loads(iot("mapping", "schema").stdout)["required"] == ["fleet", "topic", "device_id"]


def test_a_diff_says_what_would_change(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "data")
    land(settings, [(NOW, "t/x\x1b[31m", b'{"v":1}')])
    (tmp_path / "m.yaml").write_text(MAPPING)
    arguments = ["mapping", "diff", str(tmp_path / "m.yaml"), "--data", str(tmp_path / "data"), "--minutes"]
    done = iot(*arguments, "2026-11-22T10:00..2026-11-22T10:05")
    assert done.stdout.startswith("1 messages in 1 landing minutes with data: 1 added, 0 removed")
    assert r"t/x\x1b[31m" in done.stdout
    assert "\x1b" not in done.stdout
    assert json.loads(iot(*arguments, "2026-11-22T10:00", "--json").stdout)["counts"]["added"] == 1
    wrong = iot(*arguments, "yesterday")
    assert (wrong.returncode, "2026-11-22T10:00..2026-11-22T11:00" in wrong.stderr) == (2, True)


def test_quarantine_is_listed_and_shown_and_nothing_in_it_acts(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    minutes = land(settings, [(NOW, "no/body", b"\x1b]0;owned\x07\xff\n<script>")])
    build_minutes(settings, BUILT_IN, minutes)
    data = ["--data", str(tmp_path)]
    [row] = json.loads(iot("quarantine", "list", *data, "--json").stdout)
    assert (row["reason"], row["topic"], row["rows"]) == ("no_mapping", "no/body", 1)
    shown = iot("quarantine", "show", "c-1-1-0", *data).stdout
    assert r"20 bytes: \x1b]0;owned\x07\xff\n<script>" in shown
    assert "\x1b" not in shown
    assert "nothing in quarantine" in iot("quarantine", "show", *data, "--reason", "bad_json").stdout
    assert iot("quarantine", "list", *data, "--since", "2026-11-22T10:01", "--json").stdout == "[]\n"
