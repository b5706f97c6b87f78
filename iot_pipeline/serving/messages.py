"""The raw message behind a reading: found by its id in the one landed file that holds it.

A message id comes from outside: it is taken apart by a strict pattern, and only names that a collector can have become
a path. What a message means is the business of `readings`; which readings a device has, of `readings.py` here.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.clock import MINUTE, floor_minute
from iot_pipeline.errors import ConfigurationError, DataError
from iot_pipeline.landing.layout import landing_file
from iot_pipeline.landing.ledger import files_of_batch
from iot_pipeline.paths import DataPaths
from iot_pipeline.retained import Level, kept_since

# A collector's name, its batch (µs since the epoch) and the row in it: see `landing/message.py`.
MESSAGE_ID = re.compile(r"([a-z0-9][a-z0-9-]{0,63})-(0|[1-9][0-9]{0,15})-(0|[1-9][0-9]{0,8})")
EXPECTED = "expected the `message_id` of a reading, such as collector-1-1795334400000000-17"
PAYLOAD_SHOWN = 65_536
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# A batch is numbered when its last message has come, so its landing minute is one of those just before.
_USUAL_MINUTES = 4


class NoMessageId(ConfigurationError):
    """A text that no collector can have given to a message. Nothing was looked for."""


class MessageRemoved(ConfigurationError):
    """Retention has removed the raw messages of that time; the readings that were made of them may still be there."""


@dataclass(frozen=True, slots=True)
class RawMessage:
    """A message as it was landed.

    Attributes:
        message_id: what its readings name it by.
        received_at: when the collector got it, UTC.
        source: name of the connection.
        topic: topic or node under which it came.
        payload: its first PAYLOAD_SHOWN bytes.
        payload_size: bytes of the whole payload.
        retain: whether the broker sent it from its store.
        qos: quality of service of the delivery.
    """

    message_id: str
    received_at: datetime
    source: str
    topic: str
    payload: bytes
    payload_size: int
    retain: bool
    qos: int


def raw_message(paths: DataPaths, message_id: str) -> RawMessage | None:
    """The message of that id, or None when there is none.

    Raises:
        NoMessageId: the text is no message id.
        MessageRemoved: retention has removed the messages of that day.
        DataError: its file cannot be read; it is left as it is.
    """
    collector, batch, row = _parts(message_id)
    for path in _files(paths, collector, batch):
        if (found := _message(path, row, message_id)) is not None:
            return found
    _refuse_removed(paths, batch)
    return None


def _parts(message_id: str) -> tuple[str, int, int]:
    found = MESSAGE_ID.fullmatch(message_id)
    if found is None:
        raise NoMessageId(EXPECTED)
    return found[1], int(found[2]), int(found[3])


def _files(paths: DataPaths, collector: str, batch: int) -> Iterator[Path]:
    """The files of a batch: where it lies nearly always, and then where the collector's own journal says."""
    numbered = floor_minute(EPOCH + timedelta(microseconds=batch))
    near = [landing_file(paths, numbered - index * MINUTE, collector, batch) for index in range(_USUAL_MINUTES)]
    yield from near
    yield from (path for path in files_of_batch(paths, collector, batch) if path not in near)


def _message(path: Path, row: int, message_id: str) -> RawMessage | None:
    if not path.exists():
        return None
    kept = pl.col("payload").bin.slice(0, PAYLOAD_SHOWN)
    try:
        found = (
            pl.scan_parquet(path, hive_partitioning=False)
            .filter(pl.col("row") == row)
            .select(
                "received_at",
                "source",
                "topic",
                kept,
                pl.col("payload").bin.size().alias("payload_size"),
                "retain",
                "qos",
            )
            .collect()
        )
    except FileNotFoundError:
        return None
    except pl.exceptions.PolarsError as error:
        raise DataError(f"landed file {path} cannot be read ({error}); it was left as it is") from error
    return RawMessage(message_id=message_id, **found.row(0, named=True)) if found.height else None


def _refuse_removed(paths: DataPaths, batch: int) -> None:
    since = kept_since(paths, Level.LANDING)
    landed = (EPOCH + timedelta(microseconds=batch) - (_USUAL_MINUTES - 1) * MINUTE).date()
    if since is not None and landed < since:
        raise MessageRemoved(
            f"raw messages are kept from {since} on; those of {landed} were removed by retention, as "
            "IOT_RETENTION_LANDING_DAYS asks. The readings made of them stay for as long as theirs are kept"
        )
