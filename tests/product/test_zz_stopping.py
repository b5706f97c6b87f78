"""The end: what the run left in logs and history, and that one signal stops all of it. Runs last, as its name says."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from iot_pipeline.operations.runstate import leftovers, read_report
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from tests.product.live import UNFINISHED, Live, environment, iot
from tests.servers import free_loopback_port

STOP_SECONDS = 20.0
TROUBLE = re.compile(r"\bERROR\b|\[error|\bCRITICAL\b|Traceback|\[(ERR|FTL)\]")


@pytest.mark.usefixtures("first_minute")
def test_no_run_failed(live: Live) -> None:
    runs = live.runs()
    assert {run.job for run in runs} >= {"minute_chain"}
    assert [run for run in runs if run.status not in {"SUCCESS", *UNFINISHED}] == []


@pytest.mark.usefixtures("first_minute")
def test_no_log_tells_of_an_error(live: Live) -> None:
    found = [
        f"{path.name}:{number}: {line}"
        for path in sorted(live.paths.logs.rglob("*"))
        if path.is_file()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if TROUBLE.search(line)
    ]
    assert found == []


def test_one_signal_stops_everything(live: Live) -> None:
    report = read_report(live.paths)
    assert report is not None
    assert leftovers(report.run_id)
    began = time.monotonic()
    live.process.send_signal(signal.SIGTERM)
    code = live.process.wait(timeout=STOP_SECONDS)
    print(f"stopped in {time.monotonic() - began:.1f} s")
    assert code == 0, live.log.read_text()
    assert leftovers(report.run_id) == []
    assert not live.status().running


def test_a_short_run_elsewhere_ends_well_by_itself(tmp_path: Path) -> None:
    ports = ("--dagster-port", "--broker-port", "--web-port")
    options = [text for name in ports for text in (name, str(free_loopback_port()))]
    done = subprocess.run(
        iot("up", "--data", str(tmp_path / "second"), "--no-simulator", "--for", "3", *options),
        cwd=PROJECT_ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "Everything runs" in done.stdout
    report = read_report(DataPaths(tmp_path / "second"))
    assert report is not None
    assert leftovers(report.run_id) == []
