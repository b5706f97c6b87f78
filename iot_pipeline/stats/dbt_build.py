"""Running dbt inside this process: the manifest that is kept, and one invocation over a database.

What the database holds and what becomes of its tables is `build.py`'s business. Nothing here knows
Dagster; events are handed on as the dictionaries that dbt writes as JSON log lines.
"""

import contextlib
import gc
import hashlib
import json
import os
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import structlog
from filelock import FileLock

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.files import write_bytes
from iot_pipeline.paths import DBT_PROJECT, DataPaths

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest
    from dbt_common.events.base_types import EventMsg

log = structlog.get_logger(__name__)

# One of dbt's JSON log lines, parsed.
DbtEvent = Mapping[str, Any]
OnEvent = Callable[[DbtEvent], None]

DATABASE_VARIABLE = "IOT_DBT_DATABASE"
PROJECT_ENDINGS = frozenset({".sql", ".yml", ".yaml", ".md", ".csv"})
QUIET = ("--quiet", "--log-level", "none", "--log-level-file", "none", "--no-use-colors", "--no-version-check")
# dbt keeps flags, loggers and adapters in the process, so invocations take turns.
_one_at_a_time = threading.Lock()
_loaded: dict[str, "Manifest"] = {}


class DbtProjectError(ConfigurationError):
    """The models cannot be parsed. Nothing was built; published data is as it was."""


@dataclass(frozen=True, slots=True)
class NodeResult:
    """What became of one model or test: its name, dbt's status (`success`, `pass`, `error`, ...) and message."""

    unique_id: str
    name: str
    status: str
    message: str
    seconds: float


@dataclass(frozen=True, slots=True)
class DbtOutcome:
    """Results of one dbt invocation, in the order in which they came.

    Attributes:
        nodes: models and tests.
        messages: what dbt logged as errors.
        error: why the invocation failed as a whole, if it did.
    """

    nodes: tuple[NodeResult, ...]
    messages: tuple[str, ...]
    error: str | None

    @property
    def failures(self) -> list[NodeResult]:
        """Models and tests that did not pass; what was skipped because of them is not listed."""
        return [node for node in self.nodes if node.status in ("error", "fail", "runtime error")]


def prepare_manifest(paths: DataPaths) -> Path:
    """The manifest of the dbt project, parsed again only when a project file changed. Safe for many processes.

    Returns:
        `<data>/tmp/dbt/manifest.json`, with the compiled SQL in `compiled/` beside it; nothing is written into
        the project.

    Raises:
        DbtProjectError: says what dbt found wrong, and where.
    """
    folder = paths.tmp / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    with FileLock(folder / "manifest.lock"):
        fingerprint = _fingerprint()
        known = folder / "manifest.sha256"
        if not manifest.exists() or not known.exists() or known.read_text() != fingerprint:
            _parse(folder)
            write_bytes(fingerprint.encode(), known)
            log.info("dbt_project_parsed", manifest=str(manifest))
    return manifest


def run_dbt(
    paths: DataPaths,
    *,
    database: Path,
    select: str,
    first: datetime,
    end: datetime,
    seen_until: datetime | None = None,
    on_event: OnEvent | None = None,
    unit_tests: bool = False,
) -> DbtOutcome:
    """Build and test the selected models over the event times [first, end) in `database`.

    Args:
        paths: where the manifest is kept.
        database: a DuckDB file with the sources; its stem is part of the manifest: `warehouse.duckdb`.
            Nobody may have it open; it is closed again when this returns.
        select: dbt selection, e.g. `+tag:minute`.
        first: begin of the window (UTC).
        end: end of the window, not included (UTC).
        seen_until: until when what happened has been decoded (UTC), so that the rest of a day is not missed yet; `end`
            if None.
        on_event: called with each event of level info and above, in this or another thread.
        unit_tests: run dbt's unit tests too.
    """
    manifest = load_manifest(prepare_manifest(paths))
    nodes: list[NodeResult] = []
    messages: list[str] = []

    def receive(message: "EventMsg") -> None:
        # Debug events are most of them, and turning one into a dictionary costs more than making it.
        if message.info.level not in ("info", "warn", "error"):
            return
        event = _as_dict(message)
        if message.info.level == "error":
            messages.append(event["info"]["msg"])
        if (node := _node_result(event)) is not None:
            nodes.append(node)
        if on_event is not None:
            on_event(event)

    arguments = ["build", "--select", select, "--indirect-selection", "cautious"]
    arguments += [] if unit_tests else ["--exclude", "resource_type:unit_test"]
    variables = {"min_ts": first.isoformat(), "max_ts": end.isoformat()}
    variables["seen_until"] = (seen_until or end).isoformat()
    arguments += ["--vars", json.dumps(variables), "--cache-selected-only", "--no-write-json", *QUIET]
    with _collecting_nothing():
        error = _invoke(arguments, database, database.parent, manifest=manifest, callbacks=[receive])
    return DbtOutcome(tuple(nodes), tuple(messages), error)


def generate_catalog(database: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """What dbt's documents are made of: the catalog of the relations in `database`, and the manifest.

    Raises:
        DbtProjectError: says what dbt found wrong.
    """
    folder = database.parent
    error = _invoke(["docs", "generate", *QUIET], database, folder, manifest=None, callbacks=[])
    if error is not None:
        raise DbtProjectError(f"the models cannot be described: {error}; their documents are as they were before")
    catalog, manifest = (
        json.loads((folder / "target" / name).read_bytes()) for name in ("catalog.json", "manifest.json")
    )
    return catalog, manifest


def load_manifest(path: Path) -> "Manifest":
    """Dbt's own object for the manifest that `prepare_manifest` made, kept for the life of the process."""
    fingerprint = path.with_suffix(".sha256").read_text()
    if fingerprint not in _loaded:
        with _collecting_nothing():
            import dbt.cli.main  # noqa: F401, PLC0415  # needed next; it takes more than a second
            from dbt.contracts.graph.manifest import Manifest  # noqa: PLC0415
            from dbt.parser.manifest import extended_mashumuro_decoder  # noqa: PLC0415

            packed = path.with_suffix(".msgpack").read_bytes()
            manifest: Manifest = Manifest.from_msgpack(packed, decoder=extended_mashumuro_decoder)
        _loaded.clear()
        _loaded[fingerprint] = manifest
    return _loaded[fingerprint]


@contextlib.contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Pause garbage collection: what dbt makes in a second is kept anyway, and looking through it costs a sixth."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _parse(folder: Path) -> None:
    target = folder / f"parse-{uuid.uuid4().hex[:12]}"
    errors: list[str] = []

    def receive(message: "EventMsg") -> None:
        if message.info.level == "error":
            errors.append(_as_dict(message)["info"]["msg"])

    try:
        target.mkdir()
        # Compiling parses too; column lineage is worked out from the compiled SQL.
        error = _invoke(["compile", *QUIET], target / "warehouse.duckdb", target, manifest=None, callbacks=[receive])
        if error is not None:
            reasons = "\n".join(dict.fromkeys([*errors, error]))
            raise DbtProjectError(
                f"the dbt project in {DBT_PROJECT} cannot be parsed; nothing was built and published data is as it "
                f"was.\n{reasons}\nMend the file named and start again."
            )
        shutil.rmtree(folder / "compiled", ignore_errors=True)
        os.replace(target / "target" / "compiled", folder / "compiled")
        os.replace(target / "target" / "partial_parse.msgpack", folder / "manifest.msgpack")
        os.replace(target / "target" / "manifest.json", folder / "manifest.json")
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _invoke(
    arguments: list[str],
    database: Path,
    folder: Path,
    *,
    manifest: "Manifest | None",
    callbacks: list[Callable[["EventMsg"], None]],
) -> str | None:
    """One invocation; returns why it failed as a whole, or None."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  # dbt takes two seconds to import

    places = ["--project-dir", str(DBT_PROJECT), "--profiles-dir", str(DBT_PROJECT)]
    places += ["--target-path", str(folder / "target"), "--log-path", str(folder / "logs")]
    # dbt opens and closes its connection for each node. Held open here, the file is read and checkpointed once.
    with _one_at_a_time, contextlib.closing(duckdb.connect(database)):
        before = os.environ.get(DATABASE_VARIABLE)
        os.environ[DATABASE_VARIABLE] = str(database)
        try:
            result = dbtRunner(manifest=manifest, callbacks=callbacks).invoke([*arguments, *places])
        finally:
            if before is None:
                del os.environ[DATABASE_VARIABLE]
            else:
                os.environ[DATABASE_VARIABLE] = before
    if result.exception is not None:
        return f"{type(result.exception).__name__}: {result.exception}"
    return None


def _as_dict(message: "EventMsg") -> DbtEvent:
    from dbt_common.events.functions import msg_to_dict  # noqa: PLC0415

    event: DbtEvent = msg_to_dict(message)
    return event


def _node_result(event: DbtEvent) -> NodeResult | None:
    if event["info"]["name"] not in ("LogModelResult", "LogSeedResult", "LogTestResult"):
        return None
    data = event["data"]
    node = data["node_info"]
    return NodeResult(
        unique_id=node["unique_id"],
        name=node["node_name"],
        status=data["status"].lower() if "PASS" not in data["status"] else "pass",
        message=event["info"]["msg"],
        seconds=data.get("execution_time", 0.0),
    )


def _fingerprint() -> str:
    """Changes whenever the parsed project could."""
    seen = hashlib.sha256(f"{version('dbt-core')} {version('dbt-duckdb')} {DBT_PROJECT}".encode())
    for path in sorted(DBT_PROJECT.rglob("*")):
        if path.suffix in PROJECT_ENDINGS and "target" not in path.relative_to(DBT_PROJECT).parts:
            status = path.stat()
            seen.update(f"{path} {status.st_mtime_ns} {status.st_size}\n".encode())
    return seen.hexdigest()
