"""Parquet trees by minute: one file a minute, replaced whole, and one sealed file set a closed day.

What the columns mean belongs to the stage that owns the tree; SQL views over trees are in
`stats/warehouse.py`.

    <root>/open/dt=YYYY-MM-DD/hm=HHMM/part.parquet          a minute, while its day is open
    <root>/open/_schema.parquet                             no rows: a glob never finds nothing
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from iot_pipeline.clock import minutes_between
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import minute_folder

Schema = Mapping[str, pl.DataType]
UTC_MICROSECONDS = pl.Datetime("us", "UTC")


@dataclass(frozen=True, slots=True)
class MinuteTree:
    """A table kept as one Parquet file a minute below `root`."""

    root: Path
    schema: Schema

    @property
    def open(self) -> Path:
        """The part of the tree that holds days that are not sealed."""
        return self.root / "open"

    def file(self, minute: datetime) -> Path:
        """Where the rows of `minute` are kept while its day is open."""
        return minute_folder(self.open, minute) / "part.parquet"

    def empty(self) -> pl.DataFrame:
        """No rows, all columns."""
        return pl.DataFrame(schema=self.schema)

    def prepare(self) -> None:
        """Write the seed file that keeps globs from finding nothing. Idempotent."""
        seed = self.open / "_schema.parquet"
        if not seed.exists():
            write_parquet(self.empty(), seed)

    def write(self, minute: datetime, frame: pl.DataFrame) -> None:
        """Replace the rows of `minute`. Raises StorageUnavailable."""
        write_parquet(frame.select(list(self.schema)), self.file(minute))

    def read(self, first: datetime, last: datetime) -> pl.DataFrame:
        """All rows of the minutes `first` to `last`, both included; missing minutes have none."""
        return self.read_files(self.file(minute) for minute in minutes_between(first, last))

    def read_files(self, files: Iterable[Path]) -> pl.DataFrame:
        """All rows of `files`, in order; a file that does not exist has none."""
        present = [path for path in files if path.exists()]
        return pl.read_parquet(present, hive_partitioning=False) if present else self.empty()
