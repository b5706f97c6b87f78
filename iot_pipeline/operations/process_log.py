"""The log file of one process: written by circus from the process's pipes, rotated by size."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from circus.stream import FileStream

LOG_BYTES = 10_000_000
LOG_BACKUPS = 3


class ProcessLog:
    """What circus calls a stream: a callable that takes chunks. Remembers the last line for messages."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail = ""
        self._file = FileStream(str(path), max_bytes=LOG_BYTES, backup_count=LOG_BACKUPS)

    def __call__(self, chunk: Mapping[str, Any]) -> None:
        """Append a chunk of output (bytes under `data`)."""
        self._file(chunk)
        self._tail = (self._tail + chunk["data"].decode("utf-8", errors="replace"))[-2000:]

    def open(self) -> None:
        """Open again; called before a restart."""
        self._file.open()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def where(self) -> str:
        """The last line that was written, and the file with the rest: the end of an error message."""
        lines = [line.strip() for line in self._tail.splitlines() if line.strip()]
        last = f"It last said: {lines[-1][:300]}. " if lines else ""
        return f"{last}Log: {self.path}"
