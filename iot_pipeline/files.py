"""Writing files so that a crash, a kill or a full disk leaves either the old one or the new one.

No layout (see `paths.py`) and no schemas here. Temporary names end in `.tmp`, never in
`.parquet`: DuckDB's globs match dot files too, so only the ending keeps readers away.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from iot_pipeline.errors import StorageUnavailable

OS_ERROR = re.compile(r"\(os error (\d+)\)")

Stamp = list[int]


def stamp(path: Path) -> Stamp | None:
    """What tells one content of an atomically replaced file from the next; None when it is gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def fsync_folder(folder: Path) -> None:
    """Make the names in `folder` durable (a rename is durable only after this)."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; on success fsync it and rename it over `path`, atomically.

    Parent folders are made. On any failure the temporary file is removed and `path` is as before.

    Raises:
        StorageUnavailable: the operating system refused (disk full, folder not writable, ...).
    """
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(temporary, path)
            fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageUnavailable(
            f"cannot write {path}: {error.strerror or error}; the file is as it was before. "
            "Check free space and permissions with `iot doctor`."
        ) from error


def write_parquet(frame: pl.DataFrame, path: Path) -> None:
    """Replace `path` by `frame` as zstd Parquet, durably. Raises StorageUnavailable."""
    with replacing_by_polars(path) as temporary:
        frame.write_parquet(temporary, compression="zstd", compression_level=1)


def write_parquet_slices(slices: Iterator[pl.DataFrame], schema: Mapping[str, pl.DataType], path: Path) -> None:
    """The same as `write_parquet` for a frame that comes in slices, of which only a few are in memory."""

    def next_slices(*_unused: object) -> Iterator[pl.DataFrame]:
        return slices

    rows = register_io_source(next_slices, schema=pl.Schema(schema))
    with replacing_by_polars(path) as temporary:
        rows.sink_parquet(temporary, compression="zstd", compression_level=1, maintain_order=True)


@contextlib.contextmanager
def replacing_by_polars(path: Path) -> Iterator[Path]:
    """`replacing` for a file that Polars writes: a full disk is told as StorageUnavailable here too."""
    with replacing(path) as temporary:
        try:
            yield temporary
        except pl.exceptions.ComputeError as error:
            # Polars' Parquet encoder hides the operating system's refusals (disk full) under this name.
            refusal = OS_ERROR.search(str(error))
            if refusal is None:
                raise
            raise OSError(int(refusal[1]), os.strerror(int(refusal[1]))) from error


def write_bytes(content: bytes, path: Path) -> None:
    """Replace `path` by `content`, durably. Raises StorageUnavailable."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def append_line(path: Path, line: str) -> None:
    """Append one line to a journal and make it durable.

    A crash can leave a torn last line; the next append begins on a new line, and readers
    skip what is not a whole line. Raises StorageUnavailable.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        with open(path, "ab+") as handle:
            if handle.tell() > 0:
                handle.seek(-1, os.SEEK_END)
                if handle.read(1) != b"\n":
                    handle.write(b"\n")
            handle.write(line.encode() + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        if new:
            fsync_folder(path.parent)
    except OSError as error:
        raise StorageUnavailable(f"cannot append to {path}: {error.strerror or error}") from error
