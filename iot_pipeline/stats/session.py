"""DuckDB connections for work inside the pipeline: UTC, bounded, spilling below the data folder.

Connections for people and their queries are `warehouse.connect`.
"""

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import duckdb

from iot_pipeline.paths import DataPaths

# Half of what DuckDB would take on a small machine: the other processes of the pipeline live there too.
MEMORY_LIMIT = "4GB"


@contextlib.contextmanager
def engine(
    paths: DataPaths, database: Path | None = None, *, read_only: bool = False
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to `database`, in memory if None, that is closed at the end.

    What does not fit into `MEMORY_LIMIT` spills into a folder that is removed at the end.
    """
    spill = paths.tmp / "spill" / uuid.uuid4().hex[:12]
    connection = duckdb.connect(
        database or ":memory:",
        read_only=read_only,
        config={"temp_directory": str(spill), "memory_limit": MEMORY_LIMIT},
    )
    try:
        connection.execute("set TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)
