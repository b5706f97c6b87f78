"""One collector of an id on a data folder: a lock file beside its heartbeat.

Two of one id on different folders meet only at the broker; see `standing.py`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from iot_pipeline.errors import ConfigurationError, StorageUnavailable
from iot_pipeline.landing.heartbeat import heartbeat_file
from iot_pipeline.settings import Settings


@contextmanager
def only_collector(settings: Settings) -> Iterator[None]:
    """Hold the lock of this collector id on this data folder; the kernel frees it when the process ends.

    Raises:
        ConfigurationError: another process holds it.
        StorageUnavailable: the lock file cannot be made.
    """
    path = heartbeat_file(settings.paths, settings.collector_id).with_suffix(".lock")
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ConfigurationError(
            f"collector {settings.collector_id!r} already runs on {settings.data}; nothing was started. "
            "Stop it, or give this one another IOT_COLLECTOR_ID."
        ) from error
    except OSError as error:
        raise StorageUnavailable(f"cannot make lock {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()
