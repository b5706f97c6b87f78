"""Waiting for a socket in a way that another thread can end.

What is read or written then is the business of the source.
"""

import contextlib
import select
import socket
import ssl
from typing import Protocol


class Waitable(Protocol):
    """What the operating system can wait for."""

    def fileno(self) -> int:
        """Its file descriptor."""
        ...


class Wakeup:
    """A pair of sockets: `wake` makes a `wait` return, from any thread."""

    def __init__(self) -> None:
        """Open the pair."""
        self._reader, self._writer = socket.socketpair()
        self._reader.settimeout(0.0)
        self._writer.settimeout(0.0)

    def wake(self) -> None:
        """Make a `wait` that is going on, or the next one, return now."""
        with contextlib.suppress(BlockingIOError):  # Full of wake-ups: it will wake.
            self._writer.send(b"\0")

    def wait(self, timeout: float, connection: Waitable | None, *, read: bool, write: bool) -> tuple[bool, bool]:
        """Wait at most `timeout` seconds; whether `connection` can be read and written, where that was asked."""
        # What TLS has decrypted already is not seen by `select`.
        buffered = read and isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
        reads = [self._reader, connection] if connection is not None and read else [self._reader]
        writes = [connection] if connection is not None and write else []
        readable, writable, _ = select.select(reads, writes, [], 0.0 if buffered else timeout)
        if self._reader in readable:
            with contextlib.suppress(BlockingIOError):
                self._reader.recv(4096)
        return buffered or connection in readable, bool(writable)

    def close(self) -> None:
        """Release the sockets."""
        self._reader.close()
        self._writer.close()
