"""Ending the work of a question that nobody waits for any more, where the engine can be told to stop.

A thread cannot be ended, but a DuckDB query can: whoever opens a connection for a question names it here, and whoever
gives up waiting (`api/work.py`) interrupts all of them. Without anybody who could give up, nothing happens.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar

import duckdb


class Interrupts:
    """What one piece of work can be stopped by. Any thread may call `stop`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []
        self.stopped = False

    def stop(self) -> None:
        """Stop what runs, and whatever begins after it."""
        with self._lock:
            self.stopped = True
            for stop in self._stops:
                stop()

    @contextlib.contextmanager
    def during(self, stop: Callable[[], None]) -> Iterator[None]:
        """`stop` works within the block. Raises duckdb.InterruptException if the work was stopped already."""
        with self._lock:
            if self.stopped:
                raise duckdb.InterruptException("nobody waits for the answer any more")
            self._stops.append(stop)
        try:
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)


CURRENT: ContextVar[Interrupts | None] = ContextVar("interrupts", default=None)


@contextlib.contextmanager
def interruptible(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Queries of `connection` within the block end when nobody waits for them, with duckdb.InterruptException."""
    current = CURRENT.get()
    with current.during(connection.interrupt) if current is not None else contextlib.nullcontext():
        yield
