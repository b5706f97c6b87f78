"""Heartbeats of collectors: a small file each, replaced about once a second.

Only the record, its writer and its readers; what a heartbeat means for health is decided by checks.
"""

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.paths import DataPaths

log = structlog.get_logger(__name__)

STALE_AFTER = timedelta(seconds=15)
"""A collector that was silent for longer is not at work; it reports about once a second."""


@dataclass(frozen=True, slots=True)
class CollectorHeartbeat:
    """What a collector said of itself. Counters are since `started_at`; instants are UTC.

    Attributes:
        collector: its id.
        pid: its process.
        started_at: when the process began to collect.
        written_at: when this was written.
        connected: whether it is connected and all its topic filters are subscribed.
        messages: messages taken over for landing.
        payload_bytes: sum of their payloads.
        batches: batches landed.
        duplicates_flagged: deliveries that carried MQTT's DUP flag, kept or not.
        unacked: messages that the broker still holds as not acknowledged.
        pending_rows: messages in memory, not landed yet.
        last_received_at: when the newest message came, None before the first.
        landed_through: every message received before this instant is landed.
        reconnects: connections that were made again.
        last_error: what is wrong at the moment, None when nothing is.
        broker: `host:port`.
        cpu_seconds: CPU time of the process.
        rss_bytes: its resident memory.
        source: its kind of connection.
        stopped: it ended in good order; whoever started it wanted that.
        landed_rows: messages whose batch is durable.
        landing_seconds: time spent on writing batches, waiting for the disk included.
        storage_failures: attempts to write a batch that failed.
        window: how many messages the sender leaves unacknowledged at most; None when it does not say.
        counts: what only this kind of source counts, by name, such as `left_to_sparkplug`.
    """

    collector: str
    pid: int
    started_at: datetime
    written_at: datetime
    connected: bool
    messages: int
    payload_bytes: int
    batches: int
    duplicates_flagged: int
    unacked: int
    pending_rows: int
    last_received_at: datetime | None
    landed_through: datetime
    reconnects: int
    last_error: str | None
    broker: str
    cpu_seconds: float
    rss_bytes: int
    source: SourceKind = SourceKind.mqtt
    stopped: bool = False
    landed_rows: int = 0
    landing_seconds: float = 0.0
    storage_failures: int = 0
    window: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)

    def age(self, now: datetime) -> timedelta:
        """How long ago this was written."""
        return now - self.written_at

    def alive(self, now: datetime) -> bool:
        """Whether this collector is at work: it reported lately and did not say that it stops."""
        return not self.stopped and self.age(now) <= STALE_AFTER


def heartbeat_file(paths: DataPaths, collector: str) -> Path:
    """Where the heartbeat of `collector` is."""
    return paths.state / f"collector-{collector}.json"


def write_heartbeat(paths: DataPaths, beat: CollectorHeartbeat) -> None:
    """Replace the heartbeat, atomically but not durably: one second later it is worthless.

    On a full disk no new file can be made, and that is when its `last_error` matters most: then the
    old file is overwritten in its place, and a reader may for once find it torn.

    Raises:
        StorageUnavailable: neither way worked.
    """
    path = heartbeat_file(paths, beat.collector)
    content = msgspec.json.encode(beat)
    temporary = path.with_suffix(".tmp")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            with open(path, "rb+") as handle:
                handle.write(content)
                handle.truncate()
    except OSError as error:
        raise StorageUnavailable(f"cannot write heartbeat {path}: {error.strerror or error}") from error


def read_heartbeats(paths: DataPaths) -> list[CollectorHeartbeat]:
    """The last heartbeat of every collector that ever ran on this data folder, by id.

    One that cannot be read is left out and logged: the next second brings another.
    """
    beats = []
    for path in paths.state.glob("collector-*.json"):
        try:
            beats.append(msgspec.json.decode(path.read_bytes(), type=CollectorHeartbeat))
        except (OSError, ValueError) as error:
            log.warning("heartbeat_unreadable", file=str(path), error=str(error))
    return sorted(beats, key=lambda beat: beat.collector)
