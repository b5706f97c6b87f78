"""The collector: takes messages from a source, lands them in batches, acknowledges what is durable.

It understands no payload and never loses what it took over: a message is acknowledged only after
its batch is on disk and in the ledger. Run as a process: `python -m iot_pipeline.sources.collector`.

Two threads: this one reads and acknowledges, a second one writes. At most two batches are in
memory, the one being filled and the one being written; when both are full, nothing is read.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime

import psutil
import structlog
from filelock import FileLock, Timeout

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError, IotError, StorageUnavailable
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, heartbeat_file, write_heartbeat
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.filling import Filling
from iot_pipeline.sources.mqtt import MqttSource
from iot_pipeline.sources.source import Source
from iot_pipeline.sources.trouble import Backoff, Trouble

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 1.0
# How soon a request to stop is noticed; four wake-ups a second cost nothing.
STOP_CHECK_SECONDS = 0.25
FINISH_SECONDS = 10.0


class Collector:
    """Moves messages from one source to landing until it is told to stop."""

    def __init__(self, settings: Settings, source: Source, writer: BatchWriter, stop: threading.Event) -> None:
        """The caller holds the collector's lock; `stop` ends `run`."""
        self._settings = settings
        self._source = source
        self._writer = writer
        self._stop = stop
        self._filling = Filling(settings)
        self._writing: tuple[Filling, Future[bool]] | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="landing")
        self._storage = Trouble("storage_unavailable")
        self._heartbeat = Trouble("heartbeat_unwritable")
        self._process = psutil.Process()
        self._started_at = utc_now()
        self._next_beat = 0.0
        self._beat_connected = False
        self._messages = self._payload_bytes = self._batches = 0
        self._last_received_at: datetime | None = None

    def run(self) -> None:
        """Collect until stopped, then land, acknowledge and disconnect.

        Raises whatever ended the writing thread, except for storage that is not available: that is
        waited for.
        """
        try:
            while not self._stop.is_set():
                self._step()
            self._finish()
        finally:
            self._stop.set()  # On an error, too: the writing thread waits for it between attempts.
            self._pool.shutdown()
            self._source.close()
            self._beat()

    def _step(self) -> None:
        self._settle()
        if self._writing is None and self._filling.due(unacked=self._source.state.unacked, now=utc_now()):
            self._hand_over()
        if self._filling.full and self._writing is not None:
            self._source.rest(STOP_CHECK_SECONDS)
        else:
            self._take(self._patience())
        now = time.monotonic()
        if now >= self._next_beat or self._source.state.connected != self._beat_connected:
            self._next_beat = now + HEARTBEAT_SECONDS
            self._beat()

    def _patience(self) -> float:
        """Seconds to wait for a message before something else is due."""
        if self._writing is not None or not self._filling.messages:
            return STOP_CHECK_SECONDS
        return min(STOP_CHECK_SECONDS, max(self._filling.seconds_left(), 0.0))

    def _take(self, timeout: float) -> None:
        arrived = self._source.poll(timeout)
        if not arrived:
            return
        before = self._filling.payload_bytes
        self._filling.add(arrived)
        self._messages += len(arrived)
        self._payload_bytes += self._filling.payload_bytes - before
        self._last_received_at = arrived[-1].message.received_at

    def _hand_over(self) -> None:
        batch, self._filling = self._filling, Filling(self._settings)
        landing = self._pool.submit(self._land, batch.messages)
        landing.add_done_callback(lambda _: self._source.wake())
        self._writing = batch, landing

    def _settle(self) -> None:
        """Acknowledge the written batch. An error of the writing thread is raised here."""
        if self._writing is None or not self._writing[1].done():
            return
        batch, landing = self._writing
        if landing.result():
            self._batches += 1
            self._source.acknowledge(batch.receipts)
            self._writing = None

    def _land(self, messages: Sequence[Message]) -> bool:
        """In the writing thread: try until it is durable. False when stopped before that."""
        backoff = Backoff()
        batch = self._writer.prepare(messages)
        while True:
            try:
                self._writer.land(batch)
            except StorageUnavailable as error:
                self._storage.report(str(error), batch=batch.number, rows=batch.rows)
            else:
                self._storage.over(batch=batch.number)
                return True
            if self._stop.wait(backoff.delay()):
                return False

    def _finish(self) -> None:
        """Land and acknowledge what is in memory, if that is possible in good time."""
        deadline = time.monotonic() + FINISH_SECONDS
        while time.monotonic() < deadline:
            if self._writing is None:
                if not self._filling.messages:
                    return
                self._hand_over()
            elif self._writing[1].done() and not self._writing[1].result():
                break  # Storage is away.
            self._source.rest(0.05)
            self._settle()
        log.warning("stopped_with_pending_rows", rows=self._pending_rows(), outcome="the broker delivers them again")

    def _pending_rows(self) -> int:
        writing = len(self._writing[0].messages) if self._writing is not None else 0
        return len(self._filling.messages) + writing

    def _landed_through(self, now: datetime) -> datetime:
        """Everything received before this is landed. Safe because receiving happens in this thread."""
        pending = [self._filling.earliest, self._writing[0].earliest if self._writing is not None else None]
        return min([now, *(instant for instant in pending if instant is not None)])

    def _beat(self) -> None:
        state = self._source.state
        self._beat_connected = state.connected
        now = utc_now()
        beat = CollectorHeartbeat(
            collector=self._settings.collector_id,
            pid=os.getpid(),
            started_at=self._started_at,
            written_at=now,
            connected=state.connected,
            messages=self._messages,
            payload_bytes=self._payload_bytes,
            batches=self._batches,
            duplicates_flagged=state.duplicates_flagged,
            unacked=state.unacked,
            pending_rows=self._pending_rows(),
            last_received_at=self._last_received_at,
            landed_through=self._landed_through(now),
            reconnects=state.reconnects,
            last_error=self._storage.reason or state.problem,
            broker=self._source.address,
            cpu_seconds=round(time.process_time(), 3),
            rss_bytes=self._process.memory_info().rss,
        )
        try:
            write_heartbeat(self._settings.paths, beat)
        except StorageUnavailable as error:
            self._heartbeat.report(str(error))
        else:
            self._heartbeat.over()


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


def run_collector(settings: Settings, *, stop: threading.Event) -> None:
    """Collect from the broker of `settings` until `stop` is set, then flush, acknowledge, disconnect.

    A broker or a disk that is away is waited for, with growing delays and without acknowledging.

    Raises:
        ConfigurationError: a collector with this id already runs on this data folder.
        StorageUnavailable: the data folder cannot be written at the start.
    """
    with only_collector(settings):
        writer = BatchWriter(settings.paths, settings.collector_id, intake_delay=settings.intake_delay)
        log.info("collector_started", collector=settings.collector_id, topics=list(settings.topics))
        Collector(settings, MqttSource(settings), writer, stop).run()
        log.info("collector_stopped", collector=settings.collector_id)


def main() -> int:
    """Run as a process until SIGTERM or SIGINT. Exit code 2 means that a person has to change something."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_collector(load_settings(), stop=stop)
    except IotError as error:
        log.error("collector_failed", reason=str(error))  # noqa: TRY400 -- the text is made for the reader
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
