"""What has to be true before `iot up` starts anything; each failure is one line that says what to do.

Deeper checks of a running or resting installation are `doctor/`'s.
"""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import BrokerUnavailable, ConfigurationError
from iot_pipeline.operations.ports import answers, port_is_free
from iot_pipeline.operations.runstate import leftovers, lock_file, read_report
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings


def require_writable(folder: Path) -> None:
    """Make `folder` if need be and write a file into it. Raises ConfigurationError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-", suffix=".tmp"):
            pass
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to the data folder {folder} ({error.strerror or error}); "
            "choose another with --data or IOT_DATA"
        ) from error


def require_free_port(port: int, purpose: str, option: str) -> None:
    """Raise ConfigurationError when `port` is taken, with the process that has it if that can be seen."""
    if not port_is_free(port):
        raise ConfigurationError(f"port {port} ({purpose}) is taken{_holder(port)}; choose another with {option}")


def require_broker(settings: Settings) -> None:
    """Raise BrokerUnavailable when nothing answers at the broker's address."""
    if not answers(settings.broker_host, settings.broker_port, timeout_seconds=5):
        raise BrokerUnavailable(
            f"no broker answers at {settings.broker_url}; start it, or leave --broker-url and IOT_BROKER_URL out "
            "to use the embedded one"
        )


@contextlib.contextmanager
def only_one(paths: DataPaths) -> Iterator[None]:
    """Hold the lock of the data folder. Raises ConfigurationError when another `iot up` has it."""
    paths.state.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file(paths))
    try:
        lock.acquire(blocking=False)
    except Timeout as error:
        report = read_report(paths)
        holder = f" (pid {report.pid}, since {report.started_at:%Y-%m-%d %H:%M:%S} UTC)" if report else ""
        raise ConfigurationError(
            f"`iot up` is running already on {paths.root}{holder}; stop that one, or choose another folder with --data"
        ) from error
    try:
        yield
    finally:
        lock.release()


def clear_leftovers(paths: DataPaths) -> int:
    """End what an `iot up` that was killed has left behind; call it under the lock. How many there were."""
    report = read_report(paths)
    if report is None:
        return 0
    processes = leftovers(report.run_id)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=5)
    return len(processes)


def fix_minute_start(settings: Settings) -> date:
    """The first day with minute partitions, fixed from now on for everything that is started.

    What the data folder remembers is kept while it lies within the window, so that partitions do
    not move because somebody started the product again; a changed window counts at once.
    """
    if settings.minute_start is not None:
        return settings.minute_start
    # A folder without data needs no past: in the UI the window then begins with the product and fills up.
    computed = settings.first_minute.date() if settings.paths.landing.exists() else utc_now().date()
    file = settings.paths.state / "minute_start.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        start, window = date.fromisoformat(kept["start"]), int(kept["window_days"])
    except (OSError, ValueError, KeyError, TypeError):
        start, window = computed, 0
    today = utc_now().date()
    if window == settings.minute_window_days and timedelta(0) <= today - start < timedelta(days=window):
        return max(start, settings.history_start)
    file.write_text(json.dumps({"start": str(computed), "window_days": settings.minute_window_days}), encoding="utf-8")
    return computed


def _holder(port: int) -> str:
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.pid is not None
            if listens and tuple(connection.laddr)[1:] == (port,):
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return ""
