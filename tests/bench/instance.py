"""A real `iot up` on a data folder and ports of its own, and questions to its Dagster."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import requests

from iot_pipeline.operations.ports import free_port

PROJECT = Path(__file__).resolve().parents[2]
RUNS = """
query { runsOrError(limit: 1000) { ... on Runs { results {
  runId status jobName creationTime startTime endTime tags { key value }
} } } }"""


@dataclass(frozen=True, slots=True)
class Run:
    """One Dagster run; times are UNIX seconds."""

    job: str
    status: str
    created: float
    started: float | None
    ended: float | None
    first: str
    last: str

    @property
    def seconds(self) -> float:
        """Wall seconds from creation, so with the time in the queue, to the end."""
        return (self.ended or time.time()) - self.created


@dataclass(frozen=True, slots=True)
class Instance:
    """A running `iot up`."""

    data: Path
    pid: int
    dagster_port: int

    def runs(self) -> list[Run]:
        """All runs that Dagster knows, newest first."""
        answer = requests.post(f"http://127.0.0.1:{self.dagster_port}/graphql", json={"query": RUNS}, timeout=60)
        answer.raise_for_status()
        return [_run(raw) for raw in answer.json()["data"]["runsOrError"]["results"]]


def _run(raw: dict[str, object]) -> Run:
    tags = {str(tag["key"]): str(tag["value"]) for tag in raw["tags"]}  # type: ignore[attr-defined]
    single = tags.get("dagster/partition", "")
    return Run(
        job=str(raw["jobName"]),
        status=str(raw["status"]),
        created=float(str(raw["creationTime"])),
        started=_seconds(raw["startTime"]),
        ended=_seconds(raw["endTime"]),
        first=tags.get("dagster/asset_partition_range_start", single),
        last=tags.get("dagster/asset_partition_range_end", single),
    )


def _seconds(value: object) -> float | None:
    return None if value is None else float(str(value))


@contextlib.contextmanager
def running(data: Path, *options: str) -> Iterator[Instance]:
    """`iot up` on `data` with free ports; stopped by SIGTERM at the end. Its output goes to `<data>.log`."""
    port = free_port()
    command = [sys.executable, "-m", "iot_pipeline.cli", "up", "--data", str(data)]
    command += [
        "--dagster-port",
        str(port),
        "--web-port",
        str(free_port()),
        "--broker-port",
        str(free_port()),
        *options,
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("IOT_")}
    with data.with_suffix(".log").open("w") as log:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=log, stderr=subprocess.STDOUT, env=environment)
        try:
            _wait_until_up(process, port, data.with_suffix(".log"))
            yield Instance(data, process.pid, port)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=60)


def _wait_until_up(process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
    until = time.monotonic() + 240
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"iot up ended with {process.returncode}:\n{log.read_text()}")
        with contextlib.suppress(requests.RequestException):
            if requests.get(f"http://127.0.0.1:{port}/server_info", timeout=5).ok:
                return
        time.sleep(1)
    raise RuntimeError(f"Dagster did not answer within 240 s:\n{log.read_text()}")
