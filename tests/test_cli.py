"""The command line: help that shows how, errors that are one message, exit codes that mean something."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iot_pipeline.cli import app
from iot_pipeline.paths import PROJECT_ROOT

COMMANDS = sorted(
    str(command.name or command.callback.__name__) for command in app.registered_commands if command.callback
)


def iot(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "iot_pipeline.cli", *arguments]
    return subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(command: str) -> None:
    done = iot(command, "--help")
    assert done.returncode == 0
    assert "Example" in done.stdout
    assert f"iot {command}" in done.stdout or f"iot {command}" in done.stdout.replace("\n", " ")


def test_help_is_quick_and_lists_every_command() -> None:
    def seconds() -> float:
        began = time.perf_counter()
        done = iot("--help")
        assert all(command in done.stdout for command in COMMANDS)
        return time.perf_counter() - began

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


def test_backfill_tells_what_a_span_is(tmp_path: Path) -> None:
    done = iot("backfill", "--data", str(tmp_path), "yesterday")
    assert done.returncode == 2
    assert "2026-11-22T10:00..2026-11-22T11:00" in done.stderr


def test_version_names_the_parts() -> None:
    assert "duckdb" in iot("version").stdout
