"""Parquet trees by minute: one file a minute, replaced whole, and one sealed version a closed day (`sealed_days.py`).

What the columns mean belongs to the stage that owns the tree; SQL views over trees are in
`stats/warehouse.py`, and the sealing of readings, which need deduplication, in `stats/sealing.py`.

    <root>/open/dt=YYYY-MM-DD/hm=HHMM/part.parquet          a minute, while its day is open
    <root>/open/dt=YYYY-MM-DD/hours/HH-<digest>.parquet     its closed hours once more: see `hour_files.py`
    <root>/sealed/dt=YYYY-MM-DD/v=<version>/part-000.parquet    all minutes of a closed day
    <root>/{open,sealed}/dt=1970-01-01/...                  no rows: a glob never finds nothing

Writers of one tree take turns by a lock file; readers never wait.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import polars as pl
from filelock import FileLock

from iot_pipeline.clock import day_key, minutes_between, parse_day
from iot_pipeline.files import write_parquet
from iot_pipeline.hour_files import OpenPart, copy_closed_hours, open_parts
from iot_pipeline.paths import day_folder, minute_folder
from iot_pipeline.sealed_days import SEED_DAY, SealedDays, days_below

Schema = Mapping[str, pl.DataType]
UTC_MICROSECONDS = pl.Datetime("us", "UTC")
# In sealed files: the minute that a row was written under, which its own columns need not tell.
PARTITION_MINUTE = "partition_minute"
# Of files that are read together where rows are taken piece by piece.
PIECE_BYTES = 32_000_000
SEED_VERSION = "00000000T000000000000Z"
_PATH_MINUTE = r"dt=(\d{4}-\d{2}-\d{2})[/\\]hm=(\d{4})[/\\]"


@dataclass(frozen=True, slots=True)
class MinuteTree:
    """A table kept as one Parquet file a minute below `root`, and as one a day once it is sealed."""

    root: Path
    schema: Schema

    @property
    def open(self) -> Path:
        """The part of the tree that holds days that are not sealed."""
        return self.root / "open"

    @property
    def sealed(self) -> SealedDays:
        """The part of the tree that holds sealed days."""
        return SealedDays(self.root / "sealed")

    def file(self, minute: datetime) -> Path:
        """Where the rows of `minute` are kept while its day is open."""
        return minute_folder(self.open, minute) / "part.parquet"

    def open_days(self) -> list[date]:
        """Days with open minutes, oldest first; of a sealed day they wait for deletion."""
        return days_below(self.open)

    @property
    def open_seed(self) -> Path:
        """A file of the open part without rows, with all columns; `prepare` writes it."""
        return minute_folder(self.open, datetime(1970, 1, 1, tzinfo=UTC)) / "_schema.parquet"

    @property
    def sealed_seed(self) -> Path:
        """The same for the sealed part."""
        return day_folder(self.sealed.root, SEED_DAY) / f"v={SEED_VERSION}" / "part-000.parquet"

    def empty(self) -> pl.DataFrame:
        """No rows, all columns."""
        return pl.DataFrame(schema=self.schema)

    def prepare(self) -> None:
        """Write the seed files that keep globs from finding nothing. Idempotent."""
        write_seed(self.empty(), self.open_seed)
        seed = self.empty().with_columns(pl.lit(None, UTC_MICROSECONDS).alias(PARTITION_MINUTE))
        write_seed(seed, self.sealed_seed)

    def write(self, minute: datetime, frame: pl.DataFrame) -> None:
        """Replace the rows of `minute`, in a sealed day by a new version. Raises StorageUnavailable."""
        self.write_many({minute: frame})

    def write_many(self, frames: Mapping[datetime, pl.DataFrame]) -> None:
        """Replace the rows of several minutes; a sealed day is rewritten once for all its minutes.

        Each day changes as a whole if it is sealed, else minute by minute. Raises StorageUnavailable.
        """
        columns = {name: pl.col(name).cast(dtype) for name, dtype in self.schema.items()}
        late: dict[date, dict[datetime, pl.DataFrame]] = {}
        with self.lock():
            for minute, frame in frames.items():
                rows = frame.select(**columns)
                if self.sealed.current(minute.date()) is None:
                    write_parquet(rows, self.file(minute))
                else:
                    late.setdefault(minute.date(), {})[minute] = rows
            for day, minutes in late.items():
                self._rewrite(day, minutes)
            copy_closed_hours(self.open, (one for one in frames if one.date() not in late), self._write_minutes)

    def read(self, first: datetime, last: datetime) -> pl.DataFrame:
        """All rows of the minutes `first` to `last`, both included, in order; missing minutes have none."""
        parts = [self.empty()]
        for day, minutes in _by_day(minutes_between(first, last)).items():
            if sealed := self.sealed.files(day):
                parts.append(self._read_minutes(sealed, minutes[0], minutes[-1]))
                continue
            for part in open_parts(self.open, minutes[0], minutes[-1]):
                if part.is_hour:
                    parts.append(self._read_minutes(part.files, part.first, part.last))
                else:
                    parts.append(self.read_files(part.files))
        return pl.concat(parts)

    def pieces(
        self, first: datetime, last: datetime, columns: Sequence[str], *, where: pl.Expr | None = None
    ) -> Iterator[pl.DataFrame]:
        """The same piece by piece, of many minutes where these are small and of one where they are large.

        Args:
            first: first minute (UTC).
            last: last minute (UTC), included.
            columns: of the schema.
            where: rows that are wanted. [default: all]
        """
        wanted = [] if where is None else [where]

        def some(files: Sequence[Path]) -> pl.DataFrame:
            return self._scan(files).filter(*wanted).select(columns).collect()

        def within(files: Sequence[Path], begin: datetime, end: datetime) -> pl.DataFrame:
            inside = pl.col(PARTITION_MINUTE).is_between(begin, end)
            return self._scan_sealed(files).filter(inside, *wanted).select(columns).collect()

        for day, minutes in _by_day(minutes_between(first, last)).items():
            if sealed := self.sealed.files(day):
                step = max(PIECE_BYTES * 1440 // max(sum(path.stat().st_size for path in sealed), 1), 1)
                for begin in range(0, len(minutes), step):
                    some_minutes = minutes[begin : begin + step]
                    yield within(sealed, some_minutes[0], some_minutes[-1])
                continue
            for part in open_parts(self.open, minutes[0], minutes[-1]):
                if part.is_hour:
                    yield within(part.files, part.first, part.last)
                else:
                    yield from map(some, _portions(part.files))

    def size(self, first: datetime, last: datetime) -> int:
        """About how many bytes the files of the minutes `first` to `last` have."""
        total = 0
        for day, minutes in _by_day(minutes_between(first, last)).items():
            if sealed := self.sealed.files(day):
                total += sum(path.stat().st_size for path in sealed) * len(minutes) // 1440
            else:
                parts = open_parts(self.open, minutes[0], minutes[-1])
                total += sum(path.stat().st_size for part in parts for path in part.files if path.exists())
        return total

    def open_parts(self, first: datetime, last: datetime) -> Iterator[OpenPart]:
        """Files that hold the open minutes `first` to `last`, both included, each row once; see `hour_files.py`."""
        return open_parts(self.open, first, last)

    def read_files(self, files: Iterable[Path]) -> pl.DataFrame:
        """All rows of `files`, in order; a file that does not exist has none."""
        present = [path for path in files if path.exists()]
        return self._scan(present).collect() if present else self.empty()

    def seal(self, day: date) -> Path | None:
        """Make one file of the minutes of `day`; from then on late minutes rewrite it.

        Returns:
            The folder of the version that counts. None when the day has no minute: it stays open.
            A day that is sealed already stays as it is.

        Raises:
            StorageUnavailable: the day is as it was before.
        """
        with self.lock():
            if (current := self.sealed.current(day)) is not None:
                return current
            files = sorted(day_folder(self.open, day).glob("hm=*/part.parquet"))
            if not files:
                return None
            with self.sealed.publishing(day) as building:
                self._write_minutes(files, building / "part-000.parquet")
            return self.sealed.current(day)

    def superseded(self, now: datetime, grace: timedelta) -> list[Path]:
        """Folders that no reader needs since `grace`: old versions, and open minutes of sealed days."""
        folders = self.sealed.superseded(now, grace)
        for day in self.sealed.days():
            since = self.sealed.sealed_since(day)
            open_day = day_folder(self.open, day)
            if since is not None and since + grace <= now and open_day.exists():
                folders.append(open_day)
        return folders

    def remove_superseded(self, now: datetime, grace: timedelta) -> list[Path]:
        """Delete what `superseded` lists, and return it."""
        with self.lock():
            folders = self.superseded(now, grace)
            for folder in folders:
                shutil.rmtree(folder)
            return folders

    def _write_minutes(self, files: Sequence[Path], target: Path) -> None:
        """The rows of minute files as one file, in order, each with its minute."""
        rows = self._scan(files, paths_as="path")
        when = pl.concat_str([pl.col("path").str.extract(_PATH_MINUTE, group) for group in (1, 2)])
        minute = when.str.to_datetime("%Y-%m-%d%H%M", time_unit="us", time_zone="UTC")
        rows.select(*self.schema, minute.alias(PARTITION_MINUTE)).sink_parquet(
            target, compression="zstd", compression_level=1
        )

    def _read_minutes(self, files: Sequence[Path], first: datetime, last: datetime) -> pl.DataFrame:
        inside = pl.col(PARTITION_MINUTE).is_between(first, last)
        return self._scan_sealed(files).filter(inside).select(list(self.schema)).collect()

    def _rewrite(self, day: date, minutes: Mapping[datetime, pl.DataFrame]) -> None:
        kept = self._scan_sealed(self.sealed.files(day)).filter(pl.col(PARTITION_MINUTE).is_in(list(minutes)).not_())
        new = [rows.lazy().with_columns(_at(minute)) for minute, rows in minutes.items()]
        with self.sealed.publishing(day) as building:
            pl.concat([kept, *new]).sort(PARTITION_MINUTE, maintain_order=True).sink_parquet(
                building / "part-000.parquet", compression="zstd", compression_level=1
            )

    def _scan(
        self, files: Sequence[Path], *, further: Schema = MappingProxyType({}), paths_as: str | None = None
    ) -> pl.LazyFrame:
        # Files of earlier releases may lack columns that were added since.
        return pl.scan_parquet(
            list(files),
            hive_partitioning=False,
            schema={**self.schema, **further},
            missing_columns="insert",
            extra_columns="ignore",
            include_file_paths=paths_as,
        )

    def _scan_sealed(self, files: Sequence[Path]) -> pl.LazyFrame:
        return self._scan(files, further={PARTITION_MINUTE: UTC_MICROSECONDS})

    def lock(self) -> FileLock:
        """Writers of the tree take turns by it."""
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self.root / "tree.lock")


def _portions(files: Iterable[Path]) -> Iterator[list[Path]]:
    """Those of `files` that exist, in order, as many at a time as have PIECE_BYTES together, one at least."""
    portion: list[Path] = []
    size = 0
    for path in files:
        try:
            bytes_more = path.stat().st_size
        except FileNotFoundError:
            continue
        if portion and size + bytes_more > PIECE_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(path)
        size += bytes_more
    if portion:
        yield portion


def write_seed(frame: pl.DataFrame, path: Path) -> None:
    """Write a file without rows unless it is there with the same columns. Raises StorageUnavailable."""
    if not path.exists() or pl.read_parquet_schema(path) != dict(frame.clear().schema):
        write_parquet(frame.clear(), path)


def _at(minute: datetime) -> pl.Expr:
    return pl.lit(minute, UTC_MICROSECONDS).alias(PARTITION_MINUTE)


def _by_day(minutes: Iterable[datetime]) -> dict[date, list[datetime]]:
    days: dict[date, list[datetime]] = {}
    for minute in minutes:
        days.setdefault(parse_day(day_key(minute)), []).append(minute)
    return days
