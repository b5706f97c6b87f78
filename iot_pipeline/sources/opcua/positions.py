"""How far each node is landed, kept on disk, so that a restart knows from where to ask for history.

A position is written only for what is landed. It may be behind, which costs reading again what is
there already; it is never ahead.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.files import write_bytes
from iot_pipeline.sources.trouble import Trouble

log = structlog.get_logger(__name__)

WRITE_SECONDS = 5.0
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Landed(msgspec.Struct):
    """One server: newest landed timestamp of each node (µs since 1970 UTC), and when it was last heard (UTC)."""

    nodes: dict[str, int] = msgspec.field(default_factory=dict)
    heard: datetime | None = None


class Positions:
    """The positions of all servers of one collector. One thread uses it."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier process left; a file that cannot be read counts as none, and is told."""
        self._path = path
        self._dirty = False
        self._written = time.monotonic()
        self._trouble = Trouble("opcua_positions_unwritable")
        self.servers = self._read()

    def landed(self, server: str, marks: Mapping[str, int], heard: datetime) -> None:
        """Note what is durable now."""
        known = self.servers.setdefault(server, Landed())
        for node, instant in marks.items():
            if instant > known.nodes.get(node, instant - 1):
                known.nodes[node] = instant
        known.heard = heard if known.heard is None else max(known.heard, heard)
        self._dirty = True

    def save(self, *, now: bool = False) -> None:
        """Write the file if it changed and is due. A disk that refuses is told and tried again later."""
        if not self._dirty or (not now and time.monotonic() - self._written < WRITE_SECONDS):
            return
        self._written = time.monotonic()
        try:
            write_bytes(msgspec.json.encode(self.servers), self._path)
        except StorageUnavailable as error:
            self._trouble.report(str(error))
        else:
            self._dirty = False
            self._trouble.over()

    def _read(self) -> dict[str, Landed]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=dict[str, Landed])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            log.warning(
                "opcua_positions_unreadable",
                file=str(self._path),
                reason=str(error),
                outcome="what was missed while the collector was away is not asked for",
            )
            return {}


def at_mark(mark: int) -> datetime:
    """The instant (UTC) of a position."""
    return EPOCH + mark * _MICROSECOND


def mark_of(instant: datetime) -> int:
    """The position of an instant: µs since 1970 UTC."""
    return (instant - EPOCH) // _MICROSECOND
