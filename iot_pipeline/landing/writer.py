"""From a batch of messages to durable files and their ledger lines.

When a batch is due, retries and acknowledgements belong to the collector. After `land` returned,
the messages survive a crash of this machine; if it raised, calling it again goes on where it stopped.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import structlog

from iot_pipeline.clock import DAY, utc_now
from iot_pipeline.errors import DataError, StorageUnavailable
from iot_pipeline.files import fsync_folder, write_parquet
from iot_pipeline.landing import layout, ledger
from iot_pipeline.landing.ledger import LedgerLine
from iot_pipeline.landing.message import LANDING_SCHEMA, Message
from iot_pipeline.paths import DataPaths

log = structlog.get_logger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(slots=True)
class _Part:
    """The rows of a batch that belong to one landing minute, and how far they have come."""

    minute: datetime
    frame: pl.DataFrame
    renamed: bool = False
    entered: bool = False


@dataclass(slots=True)
class Batch:
    """A numbered batch on its way to disk: one part for each landing minute that it touches."""

    number: int
    rows: int
    parts: list[_Part] = field(repr=False)


class BatchWriter:
    """Lands the batches of one collector. Not thread-safe: one thread at a time."""

    def __init__(
        self,
        paths: DataPaths,
        collector: str,
        *,
        intake_delay: timedelta,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """Find the last batch number used, and enter files of this collector that have no ledger line.

        Such files are left by a crash between the rename and the ledger.

        Raises:
            StorageUnavailable: the ledger cannot be written.
        """
        self._paths = paths
        self._collector = collector
        self._intake_delay = intake_delay
        self._now = now
        self._last_number = self._reconcile()

    def prepare(self, messages: Sequence[Message]) -> Batch:
        """Number `messages`, given in order of arrival, and split them by landing minute.

        Numbers are microseconds since the epoch and strictly increase, over restarts and over a
        clock that was set back.
        """
        number = max((self._now() - EPOCH) // MICROSECOND, self._last_number + 1)
        self._last_number = number
        frame = _frame(messages, self._collector, number)
        # The same rule as `clock.landing_minute`, for all rows at once.
        minutes = (frame["received_at"] - self._intake_delay).dt.truncate("1m")
        touched = minutes.unique(maintain_order=True).to_list()
        # Nearly every batch is of one minute, and filtering copies all payloads.
        parts = [_Part(minute, frame if len(touched) == 1 else frame.filter(minutes == minute)) for minute in touched]
        return Batch(number, frame.height, parts)

    def land(self, batch: Batch) -> None:
        """Make `batch` durable and enter it in the ledger.

        Raises:
            StorageUnavailable: something could not be written. Nothing may be acknowledged; call again.
        """
        for part in batch.parts:
            path = layout.landing_file(self._paths, part.minute, self._collector, batch.number)
            if not part.renamed:
                self._make_folder(path.parent)
                write_parquet(part.frame, path)
                part.renamed = True
            if not part.entered:
                self._enter(path, part.minute, batch.number, part.frame)
                part.entered = True

    def write(self, messages: Sequence[Message]) -> Batch:
        """`prepare` and `land` in one step."""
        batch = self.prepare(messages)
        self.land(batch)
        return batch

    def _make_folder(self, folder: Path) -> None:
        """Make a minute's folder so that its own name survives a crash as well as the names in it."""
        if folder.is_dir():
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for parent in (folder.parent, folder.parent.parent):
                fsync_folder(parent)
        except OSError as error:
            raise StorageUnavailable(
                f"cannot make folder {folder}: {error.strerror or error}. "
                "Check free space and permissions with `iot doctor`."
            ) from error

    def _enter(self, path: Path, minute: datetime, number: int, frame: pl.DataFrame) -> None:
        line = LedgerLine(
            file=path.relative_to(self._paths.landing).as_posix(),
            minute=minute,
            rows=frame.height,
            bytes=int(frame["payload"].bin.size().sum()),
            received_first=frame.select(pl.col("received_at").min()).item(),
            received_last=frame.select(pl.col("received_at").max()).item(),
            landed_at=self._now(),
        )
        ledger.append(self._paths, self._collector, number, line)

    def _reconcile(self) -> int:
        """Enter what a crash left out; the highest batch number that was ever used, or 0.

        Batches land one after another, so that only files of the last entered batch and of the one
        behind it can be missing.
        """
        entered = {line.file for line in ledger.last_lines(self._paths, self._collector)}
        last = max((self._number(self._paths.landing / name) for name in entered), default=0)
        for number, path in self._files_from(last):
            name = path.relative_to(self._paths.landing).as_posix()
            minute = layout.minute_of(path.parent)
            if name in entered or minute is None:
                last = max(last, number)
                continue
            try:
                frame = layout.read_file(path)
            except DataError as error:
                # Never acknowledged, so the broker still has its messages. No traceback: it would show payloads.
                log.error("landed_file_unreadable", file=str(path), reason=str(error))  # noqa: TRY400
            else:
                self._enter(path, minute, number, frame)
                log.info("ledger_completed", file=name, rows=frame.height)
            last = max(last, number)
        return last

    def _files_from(self, number: int) -> list[tuple[int, Path]]:
        """(number, file) of all files of this collector with at least this batch number, ascending.

        Messages are received shortly before their batch is numbered: with the day before the number's
        own, nothing is missed unless a clock was set back by days. Even then nothing is lost, because
        what has no ledger line was not acknowledged and comes again.
        """
        first_day = f"dt={EPOCH + number * MICROSECOND - DAY:%Y-%m-%d}" if number else ""
        return sorted(
            (found, path)
            for day in self._paths.landing.glob("dt=*")
            if day.name >= first_day
            for path in day.glob(f"hm=*/{self._collector}-*{layout.SUFFIX}")
            if (found := self._number(path)) >= max(number, 1)
        )

    def _number(self, path: Path) -> int:
        return layout.batch_of(path, self._collector) or 0


def _frame(messages: Sequence[Message], collector: str, number: int) -> pl.DataFrame:
    """The rows of a batch, columns of `LANDING_SCHEMA`."""
    # Integers, because Polars takes lists of aware datetimes one by one through Python.
    received = pl.Series([(message.received_at - EPOCH) // MICROSECOND for message in messages], dtype=pl.Int64)
    columns = {
        "received_at": received.cast(LANDING_SCHEMA["received_at"]),
        "source": [message.source for message in messages],
        "topic": [message.topic for message in messages],
        "payload": [message.payload for message in messages],
        "qos": [message.qos for message in messages],
        "retain": [message.retain for message in messages],
        "collector": pl.repeat(collector, len(messages), dtype=pl.String(), eager=True),
        "batch": pl.repeat(number, len(messages), dtype=pl.Int64(), eager=True),
        "row": pl.int_range(len(messages), dtype=pl.Int32(), eager=True),
    }
    return pl.DataFrame(columns, schema=LANDING_SCHEMA)
