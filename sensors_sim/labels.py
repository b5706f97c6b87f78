"""Truth labels: one line of JSON for each series that a fault befalls, so that detection can be measured.

A line is written when the fault reaches its first reading and tells the planned end; it is flushed before
the faulty message is published, so that no flag can be older than its label. A simulator that is stopped
in the middle of a fault leaves an end that was not reached.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Protocol

import msgspec
import structlog

from sensors_sim.fleet import iso

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Label:
    """A fault of one series. All readings sampled in [start_us, end_us] are concerned, both ends included.

    `magnitude` by kind: spike, step, drift: what was added, in the unit of the value (drift: at its end);
    stuck: the value held; noise: how many times its own standard deviation was added; late, clock: seconds;
    gap, duplicate, malformed: None. Times are those at which the readings were really sampled.
    """

    fleet: str
    device_id: str
    metric: str
    fault: str
    start_us: int
    end_us: int
    magnitude: float | None

    def line(self) -> bytes:
        """The label as JSON, with times as ISO 8601 in UTC."""
        content = {
            "fleet": self.fleet,
            "device_id": self.device_id,
            "metric": self.metric,
            "fault": self.fault,
            "start": iso(self.start_us),
            "end": iso(self.end_us),
            "magnitude": self.magnitude,
        }
        return msgspec.json.encode(content) + b"\n"


class LabelSink(Protocol):
    """Where labels go."""

    def write(self, label: Label) -> None:
        """Keep one label."""


class LabelFile:
    """`<folder>/<fleet>-<start>.jsonl`, append-only, made with its first label."""

    def __init__(self, folder: Path, fleet: str, start: datetime) -> None:
        self.path = folder / f"{fleet}-{start:%Y%m%dT%H%M%SZ}.jsonl"
        self._file: IO[bytes] | None = None

    def write(self, label: Label) -> None:
        """Append and flush. A full disk loses the label, with a warning, and not the simulation."""
        try:
            if self._file is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  # open as long as the fleet runs
            self._file.write(label.line())
        except OSError as error:
            _log.warning("label_lost", path=str(self.path), fault=label.fault, reason=error.strerror)

    def close(self) -> None:
        """Close the file; a later label would open it again."""
        if self._file is not None:
            self._file.close()
            self._file = None
