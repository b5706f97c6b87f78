"""Where corrections are kept: their records, whether everybody was told of them, and the pieces in force.

    corrections/<id>.parquet              one correction; its removal is written into it, and it stays
    corrections/<id>.unannounced          its last change was not told to those who build yet
    corrections/in_force/pieces.parquet   derived: disjoint pieces of time, what to do in each

What a correction is belongs to `correction.py`; telling what has to be built again is `correction_effect.py`.
"""

from dataclasses import asdict
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import polars as pl
from filelock import FileLock

from iot_pipeline.errors import ConfigurationError, DataError
from iot_pipeline.files import stamp, write_bytes, write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.corrections.correction import CORRECTION_SCHEMA, ID, Action, Correction
from iot_pipeline.stats.corrections.pieces import PIECE_SCHEMA, pieces
from iot_pipeline.trees import write_seed

_SUFFIX, _UNANNOUNCED = ".parquet", ".unannounced"


def read_corrections(paths: DataPaths) -> list[Correction]:
    """All corrections, removed ones too, in the order in which they apply.

    Raises:
        DataError: a file cannot be read. It is left as it is.
    """
    found = [_read(path) for path in _records(paths)]
    return sorted(found, key=lambda correction: (correction.created_at, correction.id))


def find_correction(paths: DataPaths, correction_id: str) -> Correction:
    """The correction of that id. Raises ConfigurationError when there is none."""
    # A name from outside becomes part of a path only in the form that we make ourselves.
    path = paths.corrections / f"{correction_id}{_SUFFIX}"
    if ID.match(correction_id) is None or not path.exists():
        raise ConfigurationError(f"there is no correction {correction_id!r}; `iot correct list` shows all")
    return _read(path)


def store(paths: DataPaths, correction: Correction) -> None:
    """Record a correction, or a removal, durably and put it into force. Telling others is `correction_effect.py`.

    Raises:
        StorageUnavailable: nothing is recorded; or it is, and comes into force with the next look at it.
    """
    with locked(paths):
        # The mark first: after a crash, whoever looks next finds that something is to be told.
        write_bytes(b"", paths.corrections / f"{correction.id}{_UNANNOUNCED}")
        frame = pl.DataFrame([asdict(correction)], schema=CORRECTION_SCHEMA)
        write_parquet(frame, paths.corrections / f"{correction.id}{_SUFFIX}")
        put_in_force(paths)


def unannounced(paths: DataPaths) -> list[Correction]:
    """Corrections whose last change was not told yet. A mark without a record is what a crash left: it goes."""
    waiting = []
    for mark in sorted(paths.corrections.glob(f"*{_UNANNOUNCED}")):
        record = mark.with_suffix(_SUFFIX)
        if record.exists():
            waiting.append(_read(record))
        else:
            mark.unlink()
    return waiting


def announced(paths: DataPaths, correction: Correction) -> None:
    """Everybody was told of the last change of `correction`."""
    (paths.corrections / f"{correction.id}{_UNANNOUNCED}").unlink(missing_ok=True)


def locked(paths: DataPaths) -> FileLock:
    """Those who change corrections take turns; those who read never wait."""
    paths.corrections.mkdir(parents=True, exist_ok=True)
    return FileLock(paths.corrections / "corrections.lock", is_singleton=True)


def pieces_file(paths: DataPaths) -> Path:
    """Where the pieces in force are. `put_in_force` makes it from the records."""
    return paths.corrections / "in_force" / "pieces.parquet"


def put_in_force(paths: DataPaths) -> None:
    """Write the pieces of all corrections that are not removed. Raises StorageUnavailable."""
    rows = pieces([correction for correction in read_corrections(paths) if correction.removed_at is None])
    write_parquet(pl.DataFrame(rows, schema=PIECE_SCHEMA), pieces_file(paths))


def prepare_corrections(paths: DataPaths) -> None:
    """Write what views need to find, if it is not there: a file without rows, and the pieces. Idempotent."""
    write_seed(pl.DataFrame(schema=CORRECTION_SCHEMA), paths.corrections / f"_schema{_SUFFIX}")
    if not pieces_file(paths).exists():
        with locked(paths):
            put_in_force(paths)


def pieces_between(paths: DataPaths, start: datetime, end: datetime) -> pl.DataFrame:
    """The pieces in force that meet event times from `start` until before `end` (PIECE_SCHEMA)."""
    path = pieces_file(paths)
    seen = stamp(path)
    if seen is None:
        if not _records(paths):
            return pl.DataFrame(schema=PIECE_SCHEMA)
        prepare_corrections(paths)
        seen = stamp(path) or []
    found = _pieces_of(path, tuple(seen))
    return found if found.is_empty() else found.filter(pl.col("from_ts") < end, pl.col("to_ts") > start)


@lru_cache(maxsize=4)
def _pieces_of(path: Path, seen: tuple[int, ...]) -> pl.DataFrame:  # noqa: ARG001 -- another stamp, other pieces
    """Every question about readings asks for the pieces, and they hardly ever change."""
    return pl.read_parquet(path, hive_partitioning=False)


def _records(paths: DataPaths) -> list[Path]:
    return [path for path in paths.corrections.glob(f"*{_SUFFIX}") if ID.match(path.stem)]


def _read(path: Path) -> Correction:
    try:
        [row] = pl.read_parquet(path, hive_partitioning=False).select(list(CORRECTION_SCHEMA)).to_dicts()
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise DataError(
            f"correction {path} cannot be read ({error}); it was left as it is. Restore it from a backup."
        ) from error
    times = {name: at.astimezone(UTC) for name, at in row.items() if isinstance(at, datetime)}
    return Correction(**{**row, **times, "action": Action(row["action"])})
