"""Corrections: what a person found wrong with readings, recorded with author and reason, and undone by a record too.

The record and the pieces of time in force are here. Applying them is SQL (`correcting.py`); telling what has to be
built again is `correction_effect.py`. Readings themselves are never changed.

    corrections/<id>.parquet              one correction; its removal is written into it, and it stays
    corrections/<id>.unannounced          its last change was not told to those who build yet
    corrections/in_force/pieces.parquet   derived: disjoint pieces of time, what to do in each
"""

import math
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import polars as pl
from filelock import FileLock

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError, DataError
from iot_pipeline.files import stamp, write_bytes, write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.trees import UTC_MICROSECONDS, write_seed

ID = re.compile(r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{4}$")
_SUFFIX, _UNANNOUNCED = ".parquet", ".unannounced"


class Action(StrEnum):
    """What is done to the readings of a range."""

    DROP = "drop"  # they count no more
    SCALE = "scale"  # value * factor + addend
    REPLACE = "replace"  # value becomes `replacement`


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One correction.

    Attributes:
        id: made by us, sorts by time.
        created_at: UTC; where several corrections meet a reading, they apply in this order.
        author: who made it.
        reason: why, in the author's words.
        device_id: the device, exactly.
        metric: the metric, exactly.
        unit: its unit, exactly; None for every unit, "" for readings without one.
        from_ts: begin of the range of event time (UTC), included.
        to_ts: its end, not included.
        action: what is done. `scale` and `replace` leave readings of text as they are.
        factor: of `scale`.
        addend: of `scale`.
        replacement: of `replace`.
        removed_at: when it was removed; None while it is in force.
        removed_by: who removed it.
        removal_reason: why.
    """

    id: str
    created_at: datetime
    author: str
    reason: str
    device_id: str
    metric: str
    unit: str | None
    from_ts: datetime
    to_ts: datetime
    action: Action
    factor: float | None = None
    addend: float | None = None
    replacement: float | None = None
    removed_at: datetime | None = None
    removed_by: str | None = None
    removal_reason: str | None = None

    @property
    def numbers_only(self) -> bool:
        """Whether it leaves readings of text alone."""
        return self.action is not Action.DROP


CORRECTION_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    "created_at": UTC_MICROSECONDS,
    "author": pl.String(),
    "reason": pl.String(),
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    "from_ts": UTC_MICROSECONDS,
    "to_ts": UTC_MICROSECONDS,
    "action": pl.String(),
    "factor": pl.Float64(),
    "addend": pl.Float64(),
    "replacement": pl.Float64(),
    "removed_at": UTC_MICROSECONDS,
    "removed_by": pl.String(),
    "removal_reason": pl.String(),
}
# Pieces never overlap for one reading, so each reading meets at most one.
PIECE_SCHEMA: dict[str, pl.DataType] = {
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),  # null: all units but those in `other_than`
    "other_than": pl.List(pl.String()),
    "from_ts": UTC_MICROSECONDS,
    "to_ts": UTC_MICROSECONDS,
    "dropped": pl.Boolean(),
    "factor": pl.Float64(),  # value * factor + addend; null: as it is
    "addend": pl.Float64(),
    "replacement": pl.Float64(),  # wins over factor and addend; null: none
    "corrected_by": pl.List(pl.String()),  # ids, in the order in which they apply
}


def new_correction(
    *,
    device_id: str,
    metric: str,
    unit: str | None,
    from_ts: datetime,
    to_ts: datetime,
    action: Action,
    author: str,
    reason: str,
    factor: float | None = None,
    addend: float | None = None,
    replacement: float | None = None,
) -> Correction:
    """A correction that is not recorded yet.

    Raises:
        ConfigurationError: the range is empty, a text is missing or a number is not finite.
    """
    if not from_ts < to_ts:
        raise ConfigurationError(f"--from {from_ts.isoformat()} is not before --to {to_ts.isoformat()}")
    for name, text in (("--device", device_id), ("--metric", metric), ("--why", reason), ("--author", author)):
        if not text.strip():
            raise ConfigurationError(f"{name} is empty: a correction says what, who and why")
    for number in (factor, addend, replacement):
        if number is not None and not math.isfinite(number):
            raise ConfigurationError(f"{number} is no finite number; use --drop for readings that shall not count")
    now = utc_now()
    return Correction(
        id=f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:4]}",
        created_at=now,
        author=author,
        reason=reason,
        device_id=device_id,
        metric=metric,
        unit=unit,
        from_ts=from_ts,
        to_ts=to_ts,
        action=action,
        factor=factor,
        addend=addend,
        replacement=replacement,
    )


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


def removed(correction: Correction, *, author: str, reason: str) -> Correction:
    """The same correction, removed now. Raises ConfigurationError when it is removed already."""
    if correction.removed_at is not None:
        raise ConfigurationError(
            f"{correction.id} was removed on {correction.removed_at:%Y-%m-%d %H:%M} UTC by {correction.removed_by}"
        )
    return replace(correction, removed_at=utc_now(), removed_by=author, removal_reason=reason)


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


def pieces(corrections: Sequence[Correction]) -> list[dict[str, object]]:
    """Disjoint pieces of time with what all corrections together do in each (rows of PIECE_SCHEMA).

    Args:
        corrections: those in force, in the order in which they apply.
    """
    by_series: dict[tuple[str, str], list[Correction]] = {}
    for correction in corrections:
        by_series.setdefault((correction.device_id, correction.metric), []).append(correction)
    rows: list[dict[str, object]] = []
    for (device_id, metric), found in sorted(by_series.items()):
        units = sorted({correction.unit for correction in found if correction.unit is not None})
        for unit in (*units, None):
            others = units if unit is None else []
            place = {"device_id": device_id, "metric": metric, "unit": unit, "other_than": others}
            meeting = [correction for correction in found if correction.unit in (unit, None)]
            rows += [{**place, **piece} for piece in _cut(meeting)]
    return rows


def _cut(corrections: Sequence[Correction]) -> Iterator[dict[str, object]]:
    bounds = sorted({bound for one in corrections for bound in (one.from_ts, one.to_ts)})
    for start, end in pairwise(bounds):
        within = [one for one in corrections if one.from_ts <= start and end <= one.to_ts]
        if within:
            ids = [one.id for one in within]
            yield {"from_ts": start, "to_ts": end, **_combined(within), "corrected_by": ids}


def _combined(corrections: Iterable[Correction]) -> dict[str, object]:
    """What corrections do one after the other: a constant, or value * factor + addend, or nothing is left."""
    replacement: float | None = None
    factor: float | None = None
    addend: float | None = None
    dropped = False
    for one in corrections:
        if one.action is Action.DROP:
            dropped = True
        elif one.action is Action.REPLACE:
            replacement = one.replacement
        else:
            times, plus = (1.0 if one.factor is None else one.factor), one.addend or 0.0
            if replacement is not None:
                replacement = replacement * times + plus
            else:
                factor = times * (1.0 if factor is None else factor)
                addend = times * (addend or 0.0) + plus
    return {"dropped": dropped, "factor": factor, "addend": addend, "replacement": replacement}


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
