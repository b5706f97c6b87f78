"""Filing readings by when they happened: the files of one landing minute, replaced together.

A landing minute remembers in `filed.json` where its readings went, so that building it again finds
every file to replace without a walk over the tree, and which changes it has not announced yet, so
that a crash between writing and announcing loses no recomputation downstream.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import polars as pl
import structlog

from iot_pipeline.clock import DAY_FORMAT
from iot_pipeline.files import write_bytes, write_parquet, write_parquet_slices
from iot_pipeline.paths import DataPaths, day_folder, minute_folder
from iot_pipeline.readings.frames import SLICE_ROWS, Decoded
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import DAY_PARTITION, landed_name, open_root
from iot_pipeline.retained import Level, kept_since

_log = structlog.get_logger(__name__)
_NONE = pl.Series(dtype=pl.UInt32)


class Partition(msgspec.Struct, frozen=True, order=True):
    """An event minute, or a day for readings older than the minute window (`minute` is None then)."""

    day: date
    minute: datetime | None = None

    def folder(self, root: Path) -> Path:
        """Where the files of this partition are."""
        return (
            day_folder(root, self.day) / f"hm={DAY_PARTITION}"
            if self.minute is None
            else minute_folder(root, self.minute)
        )


class Filed(msgspec.Struct, frozen=True):
    """Partitions in which a landing minute has readings, and changes that nobody was told of yet."""

    partitions: tuple[Partition, ...] = ()
    unannounced: tuple[Partition, ...] = ()


@dataclass(frozen=True, slots=True)
class Filing:
    """What `file_readings` did. `touched` changed now, or in a build that died before it said so."""

    partitions: tuple[Partition, ...]
    touched: tuple[Partition, ...]


def split_by_event(decoded: Decoded, first_minute: datetime) -> dict[Partition, pl.Series]:
    """Stored rows by event minute, and by day where the event is before `first_minute`, in stored order."""
    event_ts = decoded.rows["event_us"][decoded.order].cast(READING_SCHEMA["event_ts"])
    keyed = pl.DataFrame({"row": decoded.order, "event_ts": event_ts}).select(
        "row",
        partition_minute=pl.when(pl.col("event_ts") >= first_minute).then(pl.col("event_ts").dt.truncate("1m")),
        partition_day=pl.col("event_ts").dt.date(),
    )
    parts = keyed.partition_by(
        ["partition_day", "partition_minute"], as_dict=True, include_key=False, maintain_order=True
    )
    return {Partition(day, minute and minute.astimezone(UTC)): part["row"] for (day, minute), part in parts.items()}


def file_readings(
    paths: DataPaths, landing_minute: datetime, decoded: Decoded, wanted: Mapping[Partition, pl.Series]
) -> Filing:
    """Make the files of `landing_minute` exactly the `wanted` rows of `decoded`; equal files stay untouched.

    A partition that had readings of this landing minute and has none any more gets an empty file:
    it says that a sealed copy of them is superseded. Call `announced` once the change was told.

    Raises:
        StorageUnavailable: some files may be replaced already; building again completes the work.
    """
    root, name = open_root(paths), landed_name(landing_minute)
    before = _kept(paths, read_filed(paths, landing_minute))
    parts = {**dict.fromkeys(before.partitions, _NONE), **wanted}
    changed = {
        partition: rows
        for partition, rows in parts.items()
        if not _holds(partition.folder(root) / name, decoded, rows, gone_is_empty=partition not in before.partitions)
    }
    touched = tuple(sorted({*changed, *before.unannounced}, key=_order))
    if touched:
        remembered = Filed(tuple(sorted(parts, key=_order)), touched)
        write_bytes(msgspec.json.encode(remembered), filed_file(paths, landing_minute))
    for partition, rows in changed.items():
        _write(decoded, rows, partition.folder(root) / name)
    return Filing(tuple(sorted(wanted, key=_order)), touched)


def _kept(paths: DataPaths, filed: Filed) -> Filed:
    """Without days whose readings retention removed: an empty file there would be all that they have."""
    since = kept_since(paths, Level.READINGS)
    if since is None:
        return filed
    partitions, unannounced = (
        tuple(partition for partition in found if partition.day >= since)
        for found in (filed.partitions, filed.unannounced)
    )
    return Filed(partitions, unannounced)


def announced(paths: DataPaths, landing_minute: datetime, filing: Filing) -> None:
    """Note that everybody downstream was told of `filing.touched`.

    Not durable on purpose: after a crash the same minutes are announced once more, which harms nobody.
    """
    if filing.touched:
        path = filed_file(paths, landing_minute)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(msgspec.json.encode(Filed(filing.partitions)))
        os.replace(temporary, path)


def filed_file(paths: DataPaths, landing_minute: datetime) -> Path:
    """Where a landing minute remembers its partitions."""
    return minute_folder(paths.readings / "filed", landing_minute) / "filed.json"


def read_filed(paths: DataPaths, landing_minute: datetime) -> Filed:
    """What is remembered of a landing minute; nothing when it never had readings."""
    try:
        return msgspec.json.decode(filed_file(paths, landing_minute).read_bytes(), type=Filed)
    except FileNotFoundError:
        return Filed()
    except msgspec.DecodeError:
        _log.error("filed_list_unreadable", minute=f"{landing_minute:%Y-%m-%dT%H:%M}", next="search all partitions")
        return Filed(tuple(_search(paths, landing_minute)))


def _search(paths: DataPaths, landing_minute: datetime) -> list[Partition]:
    found = []
    for path in open_root(paths).glob(f"dt=*/hm=*/{landed_name(landing_minute)}"):
        day_text, hour_minute = path.parent.parent.name.removeprefix("dt="), path.parent.name.removeprefix("hm=")
        day = datetime.strptime(f"{day_text} +0000", f"{DAY_FORMAT} %z")
        minute = (
            None
            if hour_minute == DAY_PARTITION
            else day.replace(hour=int(hour_minute[:2]), minute=int(hour_minute[2:]))
        )
        found.append(Partition(day.date(), minute))
    return found


def _order(partition: Partition) -> tuple[date, str]:
    return partition.day, "" if partition.minute is None else partition.minute.isoformat()


def _write(decoded: Decoded, rows: pl.Series, path: Path) -> None:
    if len(rows) <= SLICE_ROWS:
        write_parquet(decoded.readings_of(rows), path)
    else:
        write_parquet_slices(decoded.slices(rows), READING_SCHEMA, path)


def _holds(path: Path, decoded: Decoded, rows: pl.Series, *, gone_is_empty: bool) -> bool:
    if not path.exists():
        return gone_is_empty and rows.is_empty()
    stored = pl.scan_parquet(path, hive_partitioning=False)
    if stored.select(pl.len()).collect().item() != len(rows):
        return False
    slices = enumerate(decoded.slices(rows))
    return all(stored.slice(number * SLICE_ROWS, SLICE_ROWS).collect().equals(frame) for number, frame in slices)
