"""OPC UA servers as a `Source`: one thread with an event loop for all of them, one queue to the collector.

The protocol's own acknowledgements end with receiving, so what is promised rests on positions and
history: see docs/opcua.md. Sessions are in `session.py`.
"""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Sequence

import structlog

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError
from iot_pipeline.landing.message import Message
from iot_pipeline.settings import Settings
from iot_pipeline.sources.opcua.config import load_config
from iot_pipeline.sources.opcua.handover import Handover, Outgoing
from iot_pipeline.sources.opcua.positions import Positions
from iot_pipeline.sources.opcua.security import default_application_uri
from iot_pipeline.sources.opcua.session import ServerSession
from iot_pipeline.sources.source import Receipt, Received, SourceState
from iot_pipeline.sources.trouble import Trouble

log = structlog.get_logger(__name__)

NAME = "opcua"
# What waits between the event loop and the collector; then the servers queue.
WAITING_BYTES = 16_000_000
CLOSE_SECONDS = 6.0


class OpcuaSource:
    """All servers of the file named by the setting `opcua`. See `Source` for what the methods promise."""

    def __init__(self, settings: Settings) -> None:
        """Read the configuration and the positions; the first `poll` connects.

        Raises:
            ConfigurationError: no file is configured, or it cannot be used.
        """
        if settings.opcua is None:
            raise ConfigurationError("IOT_OPCUA is not set: it names the file with the OPC UA servers to collect from")
        config = load_config(settings.opcua)
        self._handover = Handover(WAITING_BYTES)
        self._positions = Positions(settings.paths.state / f"opcua-positions-{settings.collector_id}.json")
        self._sessions = [
            ServerSession(
                server,
                self._handover,
                folder=settings.paths.state / "opcua",
                application_uri=config.application_uri or default_application_uri(),
                landed=self._positions.servers.get(server.name),
            )
            for server in config.servers
        ]
        self._address = ", ".join(server.url.removeprefix("opc.tcp://") for server in config.servers)
        self._unacked: dict[int, Outgoing] = {}
        self._packet = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._thread: threading.Thread | None = None
        _quieten_library()

    @property
    def address(self) -> str:
        """`host:port` of each server."""
        return self._address

    @property
    def state(self) -> SourceState:
        """Connected means: every server is, and its nodes are subscribed or polled."""
        counts: Counter[str] = Counter()
        for session in self._sessions:
            counts.update(session.counts)
        problems = [problem for session in self._sessions if (problem := session.problem) is not None]
        return SourceState(
            connected=all(session.connected for session in self._sessions),
            reconnects=sum(max(session.connections - 1, 0) for session in self._sessions),
            unacked=len(self._unacked),
            problem="; ".join(problems) or None,
            counts=dict(counts),
        )

    def poll(self, timeout: float) -> list[Received]:
        """What the servers told, in order; waits at most `timeout` seconds for the first message."""
        if self._thread is None:
            self._start()
        arrived = []
        for outgoing in self._handover.take(timeout):
            self._packet += 1
            # What is only remembered for its positions need not keep its payload.
            self._unacked[self._packet] = outgoing._replace(payload=b"")
            message = Message(utc_now(), NAME, outgoing.topic, outgoing.payload)
            arrived.append(Received(message, Receipt(0, self._packet)))
        return arrived

    def rest(self, timeout: float) -> None:
        """Wait without taking: the queue fills, publish requests stop, the servers queue."""
        self._handover.rest(timeout)

    def acknowledge(self, receipts: Sequence[Receipt]) -> None:
        """These messages are landed: move the positions of their nodes."""
        for receipt in receipts:
            landed = self._unacked.pop(receipt.packet, None)
            if landed is not None and landed.heard is not None:
                self._positions.landed(landed.server, landed.marks, landed.heard)
        self._positions.save()

    def wake(self) -> None:
        """Make a waiting `poll` or `rest` return now; any thread may call it."""
        self._handover.wake()

    def finish(self) -> list[Received]:
        """End the sessions in good order; what they had told and nobody had taken."""
        self._end_sessions()
        return self.poll(0.0) if self._thread is not None else []

    def close(self) -> None:
        """End the sessions in good order and write the positions."""
        self._end_sessions()
        self._positions.save(now=True)

    def _end_sessions(self) -> None:
        loop, thread = self._loop, self._thread
        if loop is not None and thread is not None and thread.is_alive():
            loop.call_soon_threadsafe(self._cancel)
            thread.join(CLOSE_SECONDS)
            if thread.is_alive():
                log.warning("opcua_not_closed", outcome="the servers end the sessions after their timeout")

    def _start(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="opcua", daemon=True)
        self._thread.start()
        ready.wait()

    async def _run(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(session.run()) for session in self._sessions]
        ready.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()


# Said by the session in its own words.
_KNOWN = (
    "Publish iteration crashed; retrying in 1s",
    "close_session raised during disconnect; continuing teardown",
    "close_secure_channel raised during disconnect; continuing teardown",
)


class _LibraryLog(logging.Handler):
    """What asyncua finds wrong, in its words but without its stack traces, and each once in a minute."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._troubles: dict[str, Trouble] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass a record on."""
        if record.msg in _KNOWN:
            return
        trouble = self._troubles.setdefault(str(record.msg), Trouble("opcua_library"))
        trouble.report(str(record.msg), logger=record.name)


def _quieten_library() -> None:
    logger = logging.getLogger("asyncua")
    logger.propagate = False
    if not any(isinstance(handler, _LibraryLog) for handler in logger.handlers):
        logger.addHandler(_LibraryLog())
