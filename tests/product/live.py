"""One real `iot up` as a user starts it, and how tests ask it: by command line, SQL, files and GraphQL."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl
import requests

from iot_pipeline.operations.runstate import read_report
from iot_pipeline.operations.status import Status
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.warehouse import connect
from tests.bench.instance import Instance, Run
from tests.servers import free_loopback_port

BOOT_SECONDS = 300.0
COMMAND_SECONDS = 300.0
POLL_SECONDS = 0.5
UNFINISHED = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}


@dataclass
class Live:
    """A running `iot up` on a folder and ports of its own."""

    data: Path
    log: Path
    dagster_port: int = field(default_factory=free_loopback_port)
    broker_port: int = field(default_factory=free_loopback_port)
    web_port: int = field(default_factory=free_loopback_port)
    process: "subprocess.Popen[bytes]" = field(init=False)
    started: float = field(init=False)
    """Monotonic clock at which the command was given."""

    @property
    def paths(self) -> DataPaths:
        return DataPaths(self.data)

    @property
    def settings(self) -> Settings:
        """Settings of a program beside it: same folder, same broker."""
        return load_settings(data=self.data, broker_url=f"mqtt://127.0.0.1:{self.broker_port}")

    @property
    def dagster_url(self) -> str:
        return f"http://127.0.0.1:{self.dagster_port}"

    def start(self) -> None:
        """Give the command and wait until it says that everything runs."""
        ports = ("--dagster-port", self.dagster_port, "--broker-port", self.broker_port, "--web-port", self.web_port)
        self.started = time.monotonic()
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                iot("up", "--data", str(self.data), *map(str, ports)),
                cwd=PROJECT_ROOT,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

        def ready() -> bool:
            report = read_report(self.paths)
            return report is not None and report.ready_at is not None

        self.wait(ready, "everything runs", seconds=BOOT_SECONDS)

    def wait(self, condition: Callable[[], object], what: str, *, seconds: float) -> None:
        """Wait until `condition` holds; fail with `what` in time, or at once when `iot up` has ended."""
        until = time.monotonic() + seconds
        while not condition():
            ended = self.process.poll()
            assert ended is None, f"iot up ended with {ended} before: {what}\n{self.log.read_text(errors='replace')}"
            assert time.monotonic() < until, f"waited {seconds:g} s in vain for: {what}\n{self.story()}"
            time.sleep(POLL_SECONDS)

    def command(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another `iot` command on the same data folder, as a person would in a second terminal."""
        return subprocess.run(
            iot(arguments[0], "--data", str(self.data), *arguments[1:]),
            cwd=PROJECT_ROOT,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )

    def status(self) -> Status:
        """What `iot status --json` says."""
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        return Status.model_validate_json(done.stdout)

    def query(self, sql: str, *parameters: object) -> pl.DataFrame:
        """Ask all views over a private connection, as a program in Python would."""
        with connect(self.paths) as connection:
            found: pl.DataFrame = connection.sql(sql, params=list(parameters)).pl()
            return found

    def runs(self) -> list[Run]:
        """All runs that Dagster knows, newest first."""
        return Instance(self.data, self.process.pid, self.dagster_port).runs()

    def story(self) -> str:
        """Runs so far, for the report of a failing test."""
        try:
            return "\n".join(
                f"{run.job} {run.status} {run.first}..{run.last} {run.seconds:.0f} s" for run in self.runs()
            )
        except requests.RequestException as error:
            return f"Dagster does not answer: {error}"


def iot(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "iot_pipeline.cli", *arguments]


def environment() -> dict[str, str]:
    """The developer's environment without settings of this product, which would change what is tested."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("IOT_", "DAGSTER_", "DBT_"))}
    return {**kept, "PYTHONPATH": str(PROJECT_ROOT)}


def newest_filled(tree: Path) -> datetime | None:
    """The newest minute of an open minute tree that has rows.

    The first partition of all may have none: what lands in the first seconds of a minute closes the one before.
    """
    for path in sorted(tree.glob("open/dt=*/hm=*/part.parquet"), reverse=True):
        if pl.scan_parquet(path, hive_partitioning=False).select(pl.len()).collect().item():
            return datetime.strptime(f"{path.parts[-3]}{path.parts[-2]}+0000", "dt=%Y-%m-%dhm=%H%M%z")
    return None
