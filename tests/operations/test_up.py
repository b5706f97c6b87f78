"""`iot up` as a person uses it: refusals before anything starts, and a whole life from boot to stop."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from iot_pipeline.operations.ports import free_port
from iot_pipeline.operations.runstate import UpReport, leftovers, read_report
from iot_pipeline.operations.up import typed
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.settings import load_settings
from iot_pipeline.sources.lock import only_collector

PATIENCE_SECONDS = 120


def iot(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "iot_pipeline.cli", *arguments]


def refused(*arguments: str) -> str:
    """Run `iot up` that must refuse at once; its one line."""
    done = subprocess.run(
        iot("up", *arguments), cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


@contextmanager
def running(data: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`iot up` with broker and collector only; killed with all it started if the test fails."""
    process = subprocess.Popen(
        iot("up", "--data", str(data), "--no-dagster", "--no-simulator", *arguments),
        cwd=PROJECT_ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        if report := read_report(DataPaths(data)):
            for left in leftovers(report.run_id):
                left.kill()


def report_once(data: Path, condition: str) -> UpReport:
    """The report as soon as `condition` (an expression over `report`) holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        report = read_report(DataPaths(data))
        if report is not None and eval(condition, {"report": report}):  # noqa: S307
            return report
        time.sleep(0.05)
    pytest.fail(f"never {condition}: {read_report(DataPaths(data))}")


READY = "report.ready_at is not None and all(process.state == 'running' for process in report.processes)"


def test_commands_are_told_as_they_are_typed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside = tmp_path / "a b" / "bin"
    beside.mkdir(parents=True)
    (beside / "iot").touch(mode=0o755)
    monkeypatch.setattr(sys, "executable", str(beside / "python"))
    monkeypatch.setenv("PATH", "/nowhere")
    assert typed("iot") == f"'{beside}/iot'"
    monkeypatch.chdir(tmp_path / "a b")
    assert typed("iot") == "bin/iot"
    monkeypatch.setenv("PATH", str(beside))
    assert typed("iot") == "iot"


def test_a_taken_port_is_told_and_nothing_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        text = refused("--data", str(tmp_path / "d"), "--dagster-port", port)
        assert f"port {port} (Dagster) is taken" in text
        assert "--dagster-port" in text
        text = refused("--data", str(tmp_path / "d"), "--no-dagster", "--broker-port", port)
        assert f"port {port} (embedded broker) is taken" in text
    assert read_report(DataPaths(tmp_path / "d")) is None


def test_an_unwritable_folder_is_told_and_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    text = refused("--data", str(tmp_path / "file" / "data"))
    assert text.count("\n") == 1
    assert "cannot write to the data folder" in text
    assert "--data" in text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--broker-url", "localhost:1883"), "mqtt://host"),
        (("--broker-url", "mqtt://user:secret@localhost"), "IOT_BROKER_PASSWORD"),
        (("--broker-url", "mqtt://localhost", "--broker-port", "1"), "--broker-port"),
        (("--dagster-port", "70000"), "65535"),
        (("--for", "soon"), "--for"),
    ],
)
def test_bad_arguments_are_told(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    text = refused("--data", str(tmp_path / "d"), *arguments)
    assert told in text
    assert "secret" not in text
    assert not (tmp_path / "d").exists()


def test_a_wrong_mapping_is_told_and_nothing_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pump.yaml").write_text('topic: a/{x}\nfleet: f\ndevice_id: "{x}"\nleavs: {}\n')
    monkeypatch.setenv("IOT_MAPPINGS", str(tmp_path))
    text = refused("--data", str(tmp_path / "d"))
    assert "pump.yaml" in text
    assert "leavs" in text
    assert "leaves" in text
    assert read_report(DataPaths(tmp_path / "d")) is None


def test_a_broker_that_is_not_there_is_told(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    command = iot("up", "--no-dagster", "--data", str(tmp_path), "--broker-url", url)
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert done.returncode == 1
    assert f"no broker answers at {url}" in done.stderr


def test_a_whole_life(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        report = report_once(tmp_path, READY)
        assert [entry.name for entry in report.processes] == ["broker", "collector", "collector-sparkplug"]

        assert "is running already" in refused("--data", str(tmp_path), "--no-dagster")

        first = report.processes[1].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        again = report_once(tmp_path, f"report.processes[1].state == 'running' and report.processes[1].pid != {first}")
        assert again.processes[1].restarts == 1

        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=20)
        assert process.returncode == 0
        assert leftovers(report.run_id) == []
    assert "collector was ended by SIGKILL; starting it again" in output
    assert "collector is back" in output
    assert "everything ended" in output
    assert "Traceback" not in output
    after = read_report(DataPaths(tmp_path))
    assert after is not None
    assert {entry.state for entry in after.processes} == {"stopped"}


def test_a_source_that_is_not_configured_has_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IOT_SPARKPLUG_HOST_ID", "")
    with running(tmp_path):
        assert [entry.name for entry in report_once(tmp_path, READY).processes] == ["broker", "collector"]


def test_a_collector_whose_id_is_taken_ends_the_start(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    with only_collector(settings), running(tmp_path) as process:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 1
    assert "collector refused to start" in output
    assert "'collector-1' already runs" in output


def test_for_stops_by_itself(tmp_path: Path) -> None:
    with running(tmp_path, "--for", "0.5") as process:
        assert process.wait(timeout=PATIENCE_SECONDS) == 0


def test_for_fails_when_a_process_failed(tmp_path: Path) -> None:
    with running(tmp_path, "--for", "4") as process:
        report = report_once(tmp_path, READY)
        assert report.processes[1].pid is not None
        os.kill(report.processes[1].pid, signal.SIGKILL)
        assert process.wait(timeout=PATIENCE_SECONDS) == 1


def test_two_instances_side_by_side(tmp_path: Path) -> None:
    with running(tmp_path / "one"):
        one = report_once(tmp_path / "one", READY)
        with running(tmp_path / "two"):
            two = report_once(tmp_path / "two", READY)
    assert one.broker_url != two.broker_url


def test_a_killed_one_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path) as process:
        report = report_once(tmp_path, READY)
        children = [psutil.Process(entry.pid) for entry in report.processes]
        process.kill()
        _, alive = psutil.wait_procs(children, timeout=5)
        assert alive == []


def test_an_interrupt_reaches_one_that_was_started_in_the_background(tmp_path: Path) -> None:
    shell = subprocess.Popen(
        ["bash", "-c", f"{' '.join(iot('up', '--data', str(tmp_path), '--no-dagster', '--no-simulator'))} & wait"],
        cwd=PROJECT_ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        report = report_once(tmp_path, READY)
        os.kill(report.pid, signal.SIGINT)
        assert shell.wait(timeout=PATIENCE_SECONDS) == 0
        assert leftovers(report.run_id) == []
    finally:
        shell.kill()
        shell.wait()
