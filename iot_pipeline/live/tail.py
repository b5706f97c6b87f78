"""Following landing: what new files there are, and what they say by the decoders of the batch stage.

Nothing is kept here but how far the ledgers are read, and the Sparkplug births in force.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl
import structlog

from iot_pipeline.clock import DAY, day_key
from iot_pipeline.errors import DataError, MappingError
from iot_pipeline.landing.layout import read_file
from iot_pipeline.landing.ledger import LedgerCursor, LedgerLine, Position, read_since
from iot_pipeline.live.state import Arrived
from iot_pipeline.readings.build import birth_book
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.frames import ARRIVAL, decode_rows
from iot_pipeline.readings.language.mapping import MappingSet, load_mappings
from iot_pipeline.settings import Settings

log = structlog.get_logger(__name__)

# What is decoded at once. Other threads wait for the interpreter while a step of it runs, so pieces are small.
PIECE_BYTES = 1_000_000
PIECE_MESSAGES = 5_000
TRIES = 3

Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Landed files that are read together, in order of landing, all before a border or all behind it."""

    lines: tuple[LedgerLine, ...]

    @property
    def landed_at(self) -> datetime:
        """When the first of them landed."""
        return min(line.landed_at for line in self.lines)


class Tail:
    """Follows the ledgers of all collectors from a landing minute on."""

    def __init__(self, settings: Settings, first: datetime) -> None:
        """Begin behind the landing minutes before `first`.

        Raises:
            MappingError: a mapping file cannot be used.
        """
        self._settings = settings
        self._first: datetime | None = first
        self._cursor = _cursor_at(settings, first)
        self._births = birth_book(settings.paths, first)
        self._signature = _signature(settings.mappings)
        self._wrong: str | None = None
        self._decoder = MessageDecoder(load_mappings(settings.mappings), limits_of(settings), self._births)
        self.skipped = 0
        self._pending: deque[LedgerLine] = deque()
        self._failures = 0

    def look(self) -> None:
        """Look what landed since the last call; it waits, in order of receipt, until it is `done`."""
        lines, self._cursor = read_since(self._settings.paths, self._cursor)
        if self._first is not None and lines:
            # Only the first time: a file that is entered late belongs to an old minute and is new all the same.
            lines = [line for line in lines if line.minute >= self._first]
            self._first = None
        self._pending.extend(sorted(lines, key=lambda line: (line.received_first, line.file)))

    def next_group(self, border: datetime | None) -> Group | None:
        """Files that wait and are small enough to be read together; of minutes up to `border` or of later ones."""
        group: list[LedgerLine] = []
        size = rows = 0
        for line in self._pending:
            apart = border is not None and group and (line.minute <= border) != (group[-1].minute <= border)
            size, rows = size + line.bytes, rows + line.rows
            if group and (apart or size > PIECE_BYTES or rows > PIECE_MESSAGES):
                break
            group.append(line)
        return Group(tuple(group)) if group else None

    def done(self, group: Group) -> None:
        """The files of a group are taken in and wait no more."""
        for _ in group.lines:
            self._pending.popleft()
        self._failures = 0

    def failed(self, group: Group) -> None:
        """Something went wrong with a group; after some tries it is passed over, so that others are seen."""
        self._failures += 1
        if self._failures >= TRIES:
            self.skipped += len(group.lines)
            log.error("live_files_skipped", files=[line.file for line in group.lines], tries=TRIES)
            self.done(group)

    def decode(self, group: Group) -> Iterator[Arrived]:
        """What the files say, piece by piece; one that cannot be read is reported, counted and passed over."""
        frames = [frame for line in group.lines if (frame := self._read(line)) is not None]
        if frames:
            landed = (pl.concat(frames) if len(frames) > 1 else frames[0]).sort(ARRIVAL)
            for begin, end in _pieces(landed["payload"].bin.size()):
                yield self._arrived(landed.slice(begin, end - begin))

    def reload(self) -> MappingSet | None:
        """Take over changed mappings; None when nothing changed. What is wrong leaves the old ones in force.

        Raises:
            MappingError: a mapping file cannot be used, still or anew.
        """
        signature = _signature(self._settings.mappings)
        if signature == self._signature:
            if self._wrong is not None:
                raise MappingError(self._wrong)
            return None
        self._signature = signature
        try:
            mappings = load_mappings(self._settings.mappings)
        except MappingError as error:
            self._wrong = f"{error}; the mappings of before count"
            raise MappingError(self._wrong) from error
        self._wrong = None
        self._decoder = MessageDecoder(mappings, limits_of(self._settings), self._births)
        return mappings

    def _read(self, line: LedgerLine) -> pl.DataFrame | None:
        try:
            return read_file(self._settings.paths.landing / line.file)
        except DataError as error:
            self.skipped += 1
            log.warning("live_file_skipped", file=line.file, error=str(error))
            return None

    def _arrived(self, messages: pl.DataFrame) -> Arrived:
        sink = Sink()
        rows = decode_rows(messages, self._decoder, sink)
        topics = messages["topic"].to_list()
        fleets = {topic: self._fleet(topic) for topic in dict.fromkeys(topics)}
        return Arrived(
            rows=rows,
            received_us=messages["received_at"].dt.epoch("us").to_numpy(),
            collectors=messages["collector"].to_list(),
            batch=messages["batch"].to_numpy(),
            row=messages["row"].to_numpy(),
            fleets=[fleets[topic] for topic in topics],
            devices=sink.devices,
        )

    def _fleet(self, topic: str) -> str:
        mapping = self._decoder.mapping_of(topic)
        return "" if mapping is None else mapping.mapping.fleet


def _cursor_at(settings: Settings, first: datetime) -> LedgerCursor:
    """A cursor behind the journals of days that cannot hold what landed in `first` or later."""
    # Journals go by the day of the batch number, which is a moment after the receipt; a day more harms nobody.
    name = f"{day_key(first - DAY)}.jsonl"
    folders = (settings.paths.ledger / "landing").glob("*")
    return LedgerCursor({folder.name: Position(name, 0) for folder in folders if folder.is_dir()})


def _pieces(sizes: pl.Series) -> Iterator[tuple[int, int]]:
    ends = sizes.cum_sum()
    begin = 0
    while begin < len(sizes):
        before = int(ends[begin - 1]) if begin else 0
        end = int(ends.search_sorted(before + PIECE_BYTES, side="right"))
        end = min(max(end, begin + 1), begin + PIECE_MESSAGES)
        yield begin, end
        begin = end


def _signature(folder: Path | None) -> Signature:
    """Changes when a file of the folder does."""
    if folder is None:
        return ()
    found = []
    try:
        for path in sorted(folder.iterdir()):
            told = path.stat()
            found.append((path.name, told.st_mtime_ns, told.st_size))
    except OSError:
        return (("", 0, 0),)  # loading says what is wrong
    return tuple(found)
