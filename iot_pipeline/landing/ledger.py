"""The ledger: one line for each landed file, so that followers learn what is new without listing folders.

The collector appends (`append`), sensors and the live tail follow (`read_since`). The files are
journals per collector and day of flush: data/ledger/landing/<collector>/YYYY-MM-DD.jsonl
"""

import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import structlog

from iot_pipeline.clock import day_key, minute_key, parse_minute
from iot_pipeline.files import append_line
from iot_pipeline.paths import DataPaths

log = structlog.get_logger(__name__)

TAIL_BYTES = 1_000_000


class _Record(msgspec.Struct, frozen=True):
    """A line as it is written: the minute is a partition key, the instants are ISO with zone."""

    file: str
    minute: str
    rows: int
    bytes: int
    received_first: datetime
    received_last: datetime
    landed_at: datetime


@dataclass(frozen=True, slots=True)
class LedgerLine:
    """One landed file.

    Attributes:
        file: its path below data/landing, with forward slashes.
        minute: its landing minute, UTC.
        rows: messages in it.
        bytes: sum of their payloads.
        received_first: receive time of its earliest message, UTC.
        received_last: receive time of its latest message, UTC.
        landed_at: when the line was made, UTC.
    """

    file: str
    minute: datetime
    rows: int
    bytes: int
    received_first: datetime
    received_last: datetime
    landed_at: datetime


class Position(msgspec.Struct, frozen=True):
    """How far one collector's ledger is read: a file name and the offset in bytes behind its last whole line."""

    file: str
    offset: int


class LedgerCursor(msgspec.Struct, frozen=True):
    """How far all ledgers are read; `LedgerCursor()` is the beginning. JSON by msgspec, or as part of another."""

    positions: dict[str, Position] = {}


def ledger_folder(paths: DataPaths, collector: str) -> Path:
    """The journals of one collector."""
    return paths.ledger / "landing" / collector


def append(paths: DataPaths, collector: str, batch: int, line: LedgerLine) -> None:
    """Append `line` durably. Raises StorageUnavailable.

    The day is that of the batch number (µs since the epoch), which never goes back as a clock can:
    a follower that has moved on to a later file has missed nothing.
    """
    day = datetime.fromtimestamp(batch / 1_000_000, UTC)
    append_line(ledger_folder(paths, collector) / f"{day_key(day)}.jsonl", _encode(line))


def files_of_batch(paths: DataPaths, collector: str, batch: int) -> list[Path]:
    """The files that a batch was landed as, one for each landing minute that it touches; some may be gone by now.

    Args:
        paths: the trees.
        collector: id of the collector, valid as such: it is part of a path.
        batch: its number, µs since the epoch.
    """
    day = datetime.fromtimestamp(batch / 1_000_000, UTC)
    journal = ledger_folder(paths, collector) / f"{day_key(day)}.jsonl"
    try:
        content = journal.read_bytes()
    except FileNotFoundError:
        return []
    name = f"/{collector}-{batch}.parquet".encode()
    files: list[Path] = []
    found = content.find(name)
    while found >= 0:
        begin, end = content.rfind(b"\n", 0, found) + 1, content.find(b"\n", found)
        # What a crash tore was never acknowledged.
        with contextlib.suppress(ValueError):
            files.append(paths.landing / _decode(content[begin:end]).file)
        found = content.find(name, found + 1)
    return files


def last_lines(paths: DataPaths, collector: str) -> list[LedgerLine]:
    """The last lines (some thousands) of the newest journal of `collector` that has any; may be none."""
    for path in reversed(_journals(ledger_folder(paths, collector))):
        lines, _ = _whole_lines(path, _line_start(path, path.stat().st_size - TAIL_BYTES))
        if lines:
            return lines
    return []


def read_since(paths: DataPaths, cursor: LedgerCursor) -> tuple[list[LedgerLine], LedgerCursor]:
    """All lines behind `cursor`, collector by collector in order of landing, and the cursor after them.

    Only whole lines are taken: one that is being written is left for the next call, one that a crash
    tore is skipped and logged. A journal that housekeeping has removed is passed over.
    """
    lines: list[LedgerLine] = []
    positions = dict(cursor.positions)
    for folder in sorted(path for path in (paths.ledger / "landing").glob("*") if path.is_dir()):
        position = positions.get(folder.name, Position("", 0))
        for path in _journals(folder):
            if path.name < position.file:
                continue
            offset = position.offset if path.name == position.file else 0
            found, offset = _whole_lines(path, offset)
            lines += found
            position = Position(path.name, offset)
        positions[folder.name] = position
    # Sorted, because the cursor's text is part of a run key.
    return lines, LedgerCursor(dict(sorted(positions.items())))


def _journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.jsonl"))


def _whole_lines(path: Path, offset: int) -> tuple[list[LedgerLine], int]:
    with open(path, "rb") as handle:
        handle.seek(offset)
        content = handle.read()
    end = content.rfind(b"\n") + 1
    lines: list[LedgerLine] = []
    for raw in content[:end].splitlines():
        try:
            lines.append(_decode(raw))
        except ValueError as error:
            log.warning("ledger_line_skipped", file=str(path), size=len(raw), error=str(error))
    return lines, offset + end


def _line_start(path: Path, offset: int) -> int:
    """The first offset at or behind `offset` at which a line begins."""
    if offset <= 0:
        return 0
    with open(path, "rb") as handle:
        handle.seek(offset - 1)
        handle.readline()
        return handle.tell()


def _encode(line: LedgerLine) -> str:
    record = _Record(
        file=line.file,
        minute=minute_key(line.minute),
        rows=line.rows,
        bytes=line.bytes,
        received_first=line.received_first,
        received_last=line.received_last,
        landed_at=line.landed_at,
    )
    return msgspec.json.encode(record).decode()


def _decode(raw: bytes) -> LedgerLine:
    """Read one line. Raises ValueError (of which msgspec's errors are) for anything else."""
    record = msgspec.json.decode(raw, type=_Record)
    return LedgerLine(
        file=record.file,
        minute=parse_minute(record.minute),
        rows=record.rows,
        bytes=record.bytes,
        received_first=record.received_first,
        received_last=record.received_last,
        landed_at=record.landed_at,
    )
