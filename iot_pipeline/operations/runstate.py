"""What a running `iot up` tells other commands: one small JSON file, `state/up.json`.

It is a report, not a lock: the lock is `state/up.lock`, which the kernel drops with its holder.
"""

import os
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil
from pydantic import AwareDatetime, BaseModel, ValidationError

from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings

ProcessState = Literal["waiting", "starting", "running", "restarting", "stopped"]

# In the environment of every process of one `iot up`, so that leftovers are known for certain.
RUN_ID_VARIABLE = "IOT_UP_RUN"


class ProcessReport(BaseModel):
    """One process of `iot up`."""

    name: str
    state: ProcessState
    pid: int | None = None
    since: AwareDatetime | None = None
    """When the present process was started (UTC)."""
    restarts: int = 0
    last_exit: int | None = None
    """Exit code of the process before; negative: the signal that ended it."""
    log: str


class UpReport(BaseModel):
    """A whole `iot up`."""

    run_id: str
    pid: int
    started_at: AwareDatetime
    ready_at: AwareDatetime | None = None
    broker_url: str
    embedded_broker: bool
    dagster_url: str | None = None
    web_url: str | None = None
    processes: list[ProcessReport] = []

    @property
    def alive(self) -> bool:
        """Whether the `iot up` that wrote this is running still."""
        return _belongs(self.pid, self.started_at) and any(process.state != "stopped" for process in self.processes)


def report_file(paths: DataPaths) -> Path:
    """Where the report is kept."""
    return paths.state / "up.json"


def lock_file(paths: DataPaths) -> Path:
    """Held by the one `iot up` of a data folder."""
    return paths.state / "up.lock"


def write_report(paths: DataPaths, report: UpReport) -> None:
    """Replace the report. Not fsynced: after a crash of the machine nothing of it is true anyway."""
    target = report_file(paths)
    temporary = target.with_suffix(".json.tmp")
    temporary.write_text(report.model_dump_json(indent=1), encoding="utf-8")
    os.replace(temporary, target)


def read_report(paths: DataPaths) -> UpReport | None:
    """The report of the present or the last `iot up`; None when there is none that can be read."""
    try:
        return UpReport.model_validate_json(report_file(paths).read_bytes())
    except (OSError, ValidationError):
        return None


def attached(settings: Settings) -> Settings:
    """`settings` with the addresses of the `iot up` that runs on the same data folder, if one does.

    What was set on purpose (environment, `.env`, command line) stays as it is.
    """
    report = read_report(settings.paths)
    if report is None or not report.alive:
        return settings
    update: dict[str, object] = {}
    if "broker_url" not in settings.model_fields_set:
        update["broker_url"] = report.broker_url
    if "dagster_port" not in settings.model_fields_set and report.dagster_url:
        update["dagster_port"] = urlsplit(report.dagster_url).port
    return settings.model_copy(update=update)


def leftovers(run_id: str) -> list[psutil.Process]:
    """Processes that carry the mark of `run_id` and are running still, this one excepted."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get(RUN_ID_VARIABLE) == run_id:
                found.append(process)
        except (psutil.Error, OSError):  # another user's, or gone in between
            continue
    return found


def _belongs(pid: int, started_at: datetime) -> bool:
    """Whether `pid` is a process that existed at `started_at`, and not a later one of the same number."""
    try:
        return psutil.Process(pid).create_time() <= started_at.timestamp() + 1
    except psutil.Error:
        return False
