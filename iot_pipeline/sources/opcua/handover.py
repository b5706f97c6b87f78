"""From the event loop to the collector's thread: a bounded queue that lets the loop wait for room.

What is queued is not known here beyond its size. While it is full, no publish request is answered,
and the OPC UA servers queue instead.
"""

import asyncio
import contextlib
import threading
import time
from collections import deque
from datetime import datetime
from typing import NamedTuple


class Outgoing(NamedTuple):
    """A payload on its way to landing, and what may be remembered once it is landed.

    Attributes:
        server: name of the server.
        topic: topic to land it under.
        payload: its bytes.
        marks: newest timestamp of each node up to which nothing is missing, µs since 1970 UTC.
        heard: when the server said it, by the clock of this machine; None while a gap is being filled.
    """

    server: str
    topic: str
    payload: bytes
    marks: dict[str, int]
    heard: datetime | None


class Handover:
    """Single consumer (any thread), producers in one event loop."""

    def __init__(self, most_bytes: int) -> None:
        """Hold about `most_bytes` of payload; a single larger one is taken when it is empty."""
        self._most_bytes = most_bytes
        self._queue: deque[Outgoing] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._woken = False
        self._waiting: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None

    async def put(self, outgoing: Outgoing) -> None:
        """Append; waits while it is full."""
        size = len(outgoing.payload)
        while True:
            with self._changed:
                if not self._queue or self._bytes + size <= self._most_bytes:
                    self._queue.append(outgoing)
                    self._bytes += size
                    self._changed.notify_all()
                    return
                if self._waiting is None:
                    self._waiting = asyncio.get_running_loop(), asyncio.Event()
                room = self._waiting[1]
            await room.wait()

    def take(self, timeout: float) -> list[Outgoing]:
        """Everything that is queued, in order; waits at most `timeout` seconds for the first one."""
        with self._changed:
            self._wait(timeout, for_items=True)
            taken = list(self._queue)
            self._queue.clear()
            self._bytes = 0
            waiting, self._waiting = self._waiting, None
        if waiting is not None:
            loop, room = waiting
            with contextlib.suppress(RuntimeError):  # The loop is closed: nobody waits any more.
                loop.call_soon_threadsafe(room.set)
        return taken

    def rest(self, timeout: float) -> None:
        """Wait without taking."""
        with self._changed:
            self._wait(timeout, for_items=False)

    def wake(self) -> None:
        """Make a waiting `take` or `rest` return now."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def _wait(self, timeout: float, *, for_items: bool) -> None:
        deadline = time.monotonic() + timeout
        while not self._woken and not (for_items and self._queue):
            left = deadline - time.monotonic()
            if left <= 0 or not self._changed.wait(left):
                break
        self._woken = False
