"""The collector: takes messages from a source, lands them in batches, acknowledges what is durable.

It understands no payload and never loses what it took over: a message is acknowledged only after
its batch is on disk and in the ledger. Run as a process, one for each kind of source:
`python -m iot_pipeline.sources.collector [--source KIND]`.

Two threads: this one reads and acknowledges, a second one writes. At most two batches are in
memory, the one being filled and the one being written; when both are full, nothing is read.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import psutil
import structlog

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError, IotError, StorageUnavailable
from iot_pipeline.landing.collectors import SPARKPLUG_TOPICS, SourceKind, collector_id, configured_kinds, settings_of
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, read_heartbeats, write_heartbeat
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.sources.filling import Filling
from iot_pipeline.sources.kinds import make_source
from iot_pipeline.sources.lock import only_collector
from iot_pipeline.sources.source import Received, Source
from iot_pipeline.sources.steady_clock import SteadyClock
from iot_pipeline.sources.trouble import Backoff, Trouble

log = structlog.get_logger(__name__)

HEARTBEAT_SECONDS = 1.0
# How soon a request to stop is noticed; four wake-ups a second cost nothing.
STOP_CHECK_SECONDS = 0.25
FINISH_SECONDS = 10.0


@dataclass(slots=True)
class LandingCounts:
    """What the writing thread did so far; only that thread changes it."""

    batches: int = 0
    rows: int = 0
    seconds: float = 0.0
    failures: int = 0


class Collector:
    """Moves messages from one source to landing until it is told to stop."""

    def __init__(
        self,
        settings: Settings,
        source: Source,
        writer: BatchWriter,
        stop: threading.Event,
        *,
        kind: SourceKind = SourceKind.mqtt,
        leave: str | None = None,
    ) -> None:
        """The caller holds the lock of `settings.collector_id`; `stop` ends `run`.

        Messages whose topic begins with `leave` are acknowledged and counted, and landed by somebody else.
        """
        self._settings = settings
        self._source = source
        self._writer = writer
        self._stop = stop
        self._kind = kind
        self._leave = leave
        self._filling = Filling(settings, leave)
        self._writing: tuple[Filling, Future[bool]] | None = None
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="landing")
        self._storage = Trouble("storage_unavailable")
        self._heartbeat = Trouble("heartbeat_unwritable")
        self._set_back = Trouble("clock_set_back")
        self._clock = SteadyClock()
        self._landing = LandingCounts()
        self._process = psutil.Process()
        self._started_at = utc_now()
        self._next_beat = 0.0
        self._beat_connected = False
        self._messages = self._payload_bytes = self._left = 0
        self._last_received_at: datetime | None = None
        self._stopped = False

    def run(self) -> None:
        """Collect until stopped, then land, acknowledge and disconnect.

        Raises whatever ended the writing thread, except for storage that is not available: that is
        waited for.
        """
        try:
            while not self._stop.is_set():
                self._step()
            self._finish()
            self._stopped = True
        finally:
            self._stop.set()  # On an error, too: the writing thread waits for it between attempts.
            self._pool.shutdown()
            self._source.close()
            self._beat()

    def _step(self) -> None:
        self._settle()
        state, instant = self._source.state, self._clock.now()
        if self._writing is None and self._filling.due(unacked=state.unacked, window=state.window, now=instant):
            self._hand_over()
        if self._filling.full and self._writing is not None:
            self._source.rest(STOP_CHECK_SECONDS)
        else:
            self._take(self._source.poll(self._patience()))
        now = time.monotonic()
        if now >= self._next_beat or self._source.state.connected != self._beat_connected:
            self._next_beat = now + HEARTBEAT_SECONDS
            self._beat()

    def _patience(self) -> float:
        """Seconds to wait for a message before something else is due."""
        if self._writing is not None or not self._filling.messages:
            return STOP_CHECK_SECONDS
        return min(STOP_CHECK_SECONDS, max(self._filling.seconds_left(), 0.0))

    def _take(self, received: list[Received]) -> None:
        arrived = self._clock.in_order(received)
        if not arrived:
            return
        filling = self._filling
        before, held, left = filling.payload_bytes, len(filling.messages), filling.left
        filling.add(arrived)
        self._messages += len(filling.messages) - held
        self._left += filling.left - left
        self._payload_bytes += filling.payload_bytes - before
        self._last_received_at = arrived[-1].message.received_at

    def _hand_over(self) -> None:
        batch, self._filling = self._filling, Filling(self._settings, self._leave)
        landing = self._pool.submit(self._land, batch)
        landing.add_done_callback(lambda _: self._source.wake())
        self._writing = batch, landing

    def _settle(self) -> None:
        """Acknowledge what is durable, in order of arrival. An error of the writing thread is raised here."""
        if self._writing is not None and self._writing[1].done():
            batch, landing = self._writing
            if landing.result():
                self._source.acknowledge(batch.receipts)
                self._writing = None
        if self._writing is None and not self._filling.messages and self._filling.receipts:
            # Nothing but messages that somebody else lands.
            self._source.acknowledge(self._filling.receipts)
            self._filling = Filling(self._settings, self._leave)

    def _land(self, filling: Filling) -> bool:
        """In the writing thread: try until it is durable. False when stopped before that."""
        backoff = Backoff()
        counts = self._landing
        began = time.monotonic()
        batch = self._writer.prepare(filling.messages)
        while True:
            try:
                self._writer.land(batch)
            except StorageUnavailable as error:
                counts.failures += 1
                self._storage.report(str(error), batch=batch.number, rows=batch.rows)
            else:
                self._storage.over(batch=batch.number)
                counts.batches += 1
                counts.rows += batch.rows
                counts.seconds += time.monotonic() - began
                return True
            if self._stop.wait(backoff.delay()):
                return False

    def _finish(self) -> None:
        """Land and acknowledge what is in memory, if that is possible in good time."""
        deadline = time.monotonic() + FINISH_SECONDS
        self._take(self._source.finish())
        self._settle()
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
        # Others judge the age of a heartbeat by the machine's clock.
        now, steady = utc_now(), self._clock.now()
        if (reason := self._clock.problem) is not None:
            self._set_back.report(reason)
        else:
            self._set_back.over()
        landing = self._landing
        left = {"left_to_sparkplug": self._left} if self._leave is not None else {}
        beat = CollectorHeartbeat(
            collector=self._settings.collector_id,
            pid=os.getpid(),
            started_at=self._started_at,
            written_at=now,
            connected=state.connected,
            messages=self._messages,
            payload_bytes=self._payload_bytes,
            batches=landing.batches,
            duplicates_flagged=state.duplicates_flagged,
            unacked=state.unacked,
            pending_rows=self._pending_rows(),
            last_received_at=self._last_received_at,
            landed_through=self._landed_through(steady),
            reconnects=state.reconnects,
            last_error=self._storage.reason or state.problem or self._set_back.reason or self._abandoned(now),
            broker=self._source.address,
            cpu_seconds=round(time.process_time(), 3),
            rss_bytes=self._process.memory_info().rss,
            source=self._kind,
            stopped=self._stopped,
            landed_rows=landing.rows,
            landing_seconds=round(landing.seconds, 3),
            storage_failures=landing.failures,
            window=state.window,
            counts={**state.counts, **left},
        )
        try:
            write_heartbeat(self._settings.paths, beat)
        except StorageUnavailable as error:
            self._heartbeat.report(str(error))
        else:
            self._heartbeat.over()

    def _abandoned(self, now: datetime) -> str | None:
        """What is wrong when messages are left to a Sparkplug host that does not run; said once it has happened."""
        if not self._left:
            return None
        host = collector_id(self._settings, SourceKind.sparkplug)
        if any(beat.collector == host and beat.alive(now) for beat in read_heartbeats(self._settings.paths)):
            return None
        return (
            f"Sparkplug messages are left to collector {host!r}, which does not run here: start it with "
            "`iot collect --source sparkplug`, or set IOT_SPARKPLUG_HOST_ID to nothing to land them as they come"
        )


def run_collector(settings: Settings, *, stop: threading.Event, kind: SourceKind = SourceKind.mqtt) -> None:
    """Collect from the source of `kind` until `stop` is set, then flush, acknowledge, disconnect.

    A broker, a server or a disk that is away is waited for, with growing delays and without acknowledging.

    Raises:
        ConfigurationError: the settings do not ask for this kind, a collector with this id already runs on
            this data folder, or another client uses its id at the broker.
        StorageUnavailable: the data folder cannot be written at the start.
    """
    require_configured(settings, kind)
    own = settings_of(settings, kind)
    # The host lands Sparkplug messages in the order that its session needs; here they would come twice.
    hosted = kind is SourceKind.mqtt and SourceKind.sparkplug in configured_kinds(settings)
    with only_collector(own):
        writer = BatchWriter(own.paths, own.collector_id, intake_delay=own.intake_delay)
        source = make_source(own, kind)
        log.info("collector_started", collector=own.collector_id, source=str(kind), address=source.address)
        Collector(own, source, writer, stop, kind=kind, leave=SPARKPLUG_TOPICS if hosted else None).run()
        log.info("collector_stopped", collector=own.collector_id)


def require_configured(settings: Settings, kind: SourceKind) -> None:
    """Raise ConfigurationError unless the settings ask for a collector of `kind`."""
    if kind not in configured_kinds(settings):
        variable = {SourceKind.sparkplug: "IOT_SPARKPLUG_HOST_ID", SourceKind.opcua: "IOT_OPCUA"}[kind]
        raise ConfigurationError(f"no source {kind} is configured; set {variable} first. Nothing was started.")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as a process until SIGTERM or SIGINT. Exit code 2 means that a person has to change something."""
    parser = argparse.ArgumentParser(prog="python -m iot_pipeline.sources.collector", description=main.__doc__)
    parser.add_argument("--source", type=SourceKind, choices=list(SourceKind), default=SourceKind.mqtt)
    options = parser.parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        run_collector(load_settings(), stop=stop, kind=options.source)
    except IotError as error:
        log.error("collector_failed", reason=str(error))  # noqa: TRY400 -- the text is made for the reader
        return 2 if isinstance(error, ConfigurationError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
