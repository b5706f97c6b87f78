"""Is what is installed what the lock says, are the ports free, did something killed leave a mess?"""

import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from importlib import metadata
from pathlib import Path

from iot_pipeline.operations.doctor.finding import Finding, Verdict
from iot_pipeline.operations.lockfile import locked_versions
from iot_pipeline.operations.ports import port_is_free
from iot_pipeline.operations.runstate import leftovers, read_report
from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.settings import Settings

OLD_TEMPORARY = timedelta(days=1)


def check_python(_settings: Settings) -> Iterator[Finding]:
    """The interpreter is one that the locked packages are made for."""
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        yield Finding("python", Verdict.ok, version)
    else:
        yield Finding("python", Verdict.fail, version, "install Python 3.11 or 3.12 and run `make clean up`")


def check_packages(_settings: Settings) -> Iterator[Finding]:
    """What is installed is what is locked; Dagster's three parts go together only in one version."""
    wanted = locked_versions(PROJECT_ROOT / "requirements.lock")
    installed = {name: _installed(name) for name in wanted}
    wrong = [
        f"{name} {installed[name] or 'missing'} (locked: {wanted[name]})"
        for name in wanted
        if installed[name] != wanted[name]
    ]
    if not wanted:
        yield Finding("packages", Verdict.warn, "no requirements.lock beside the code: versions are not checked")
    elif wrong:
        shown = "; ".join(wrong[:5]) + ("; ..." if len(wrong) > 5 else "")
        yield Finding("packages", Verdict.fail, shown, "run `make clean up`")
    else:
        trio = ", ".join(
            f"{name} {installed[name]}" for name in ("dagster", "dbt-core", "duckdb", "polars") if name in wanted
        )
        yield Finding("packages", Verdict.ok, f"{len(wanted)} as locked: {trio}")


def check_ports(settings: Settings) -> Iterator[Finding]:
    """What `iot up` needs is free, or it is `iot up` that has it."""
    report = read_report(settings.paths)
    if report is not None and report.alive:
        yield Finding("ports", Verdict.ok, f"in use by the running `iot up` (pid {report.pid})")
    elif port_is_free(settings.dagster_port):
        yield Finding("ports", Verdict.ok, f"{settings.dagster_port} (Dagster) is free")
    else:
        yield Finding(
            "ports", Verdict.warn, f"{settings.dagster_port} (Dagster) is taken", "use `iot up --dagster-port N`"
        )


def check_leftovers(settings: Settings) -> Iterator[Finding]:
    """Nothing remains of something that was killed."""
    report = read_report(settings.paths)
    if report is not None and not report.alive and (left := leftovers(report.run_id)):
        pids = " ".join(str(process.pid) for process in left)
        yield Finding(
            "leftovers",
            Verdict.warn,
            f"processes of an `iot up` that is gone: {pids}",
            "`iot up` ends them when it starts",
        )
    old = list(_old_temporaries(settings.paths.root))
    if old:
        yield Finding(
            "leftovers",
            Verdict.warn,
            f"{len(old)} temporary files older than a day, such as {old[0]}",
            "nothing reads them; delete them",
        )
    else:
        yield Finding("leftovers", Verdict.ok, "no old temporary files")


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _old_temporaries(root: Path) -> Iterator[Path]:
    latest = time.time() - OLD_TEMPORARY.total_seconds()
    for folder, _, names in os.walk(root):
        for name in names:
            path = Path(folder, name)
            if name.endswith(".tmp") and path.stat().st_mtime < latest:
                yield path
