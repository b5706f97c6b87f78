"""What lies in quarantine: found by reason, mapping, topic and landing minute, counted and shown.

Quarantine is written by `build.py`, as part of building a landing minute; nothing is changed here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType

import polars as pl

from iot_pipeline.clock import DAY, day_start
from iot_pipeline.clock import MINUTE as ONE_MINUTE
from iot_pipeline.landing.layout import minute_of
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.build import quarantine_tree
from iot_pipeline.readings.schema import QUARANTINE_SCHEMA
from iot_pipeline.trees import PARTITION_MINUTE, UTC_MICROSECONDS, MinuteTree

MINUTE = "landing_minute"
_SCHEMA = {**QUARANTINE_SCHEMA, MINUTE: UTC_MICROSECONDS}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which rows of quarantine are meant; None means any. Minutes are landing minutes in UTC, both included.

    `topic` may hold `*` for any text and `?` for one character; `message` is a message id.
    """

    reason: str | None = None
    mapping: str | None = None
    topic: str | None = None
    message: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def chosen_rows(paths: DataPaths, chosen: Chosen, *, newest: int | None = None) -> pl.DataFrame:
    """The rows that are meant (QUARANTINE_SCHEMA and `landing_minute`), newest first when `newest` limits them."""
    rows = _rows(paths, chosen)
    if newest is not None:
        rows = rows.sort("received_at", "message_id", descending=True).head(newest)
    return rows.collect()


def counts(paths: DataPaths, chosen: Chosen, *, by: Sequence[str] = ("reason", "mapping", "topic")) -> pl.DataFrame:
    """Rows and messages by reason, mapping and topic, with the first and the last landing minute; most first.

    `unattributed` are the rows whose device is not known.
    """
    return (
        _rows(paths, chosen)
        .group_by(by)
        .agg(
            rows=pl.len(),
            messages=pl.col("message_id").n_unique(),
            unattributed=pl.col("device_id").is_null().sum(),
            first_minute=pl.col(MINUTE).min(),
            last_minute=pl.col(MINUTE).max(),
        )
        .sort("rows", *by, descending=[True, *(False for _ in by)])
        .collect()
    )


def chosen_minutes(paths: DataPaths, chosen: Chosen) -> list[datetime]:
    """Landing minutes that hold rows that are meant, in order."""
    return _rows(paths, chosen).select(pl.col(MINUTE).unique().sort()).collect()[MINUTE].to_list()


def _rows(paths: DataPaths, chosen: Chosen) -> pl.LazyFrame:
    tree = quarantine_tree(paths)
    frames = [frame for day in _days(tree, chosen) for frame in _day(tree, day)]
    rows = pl.concat(frames) if frames else pl.LazyFrame(schema=_SCHEMA)
    for name, wanted in (("reason", chosen.reason), ("mapping", chosen.mapping), ("message_id", chosen.message)):
        if wanted is not None:
            rows = rows.filter(pl.col(name) == wanted)
    if chosen.topic is not None:
        rows = rows.filter(pl.col("topic").str.contains(f"^{_glob(chosen.topic)}$"))
    if chosen.since is not None:
        rows = rows.filter(pl.col(MINUTE) >= chosen.since)
    if chosen.until is not None:
        rows = rows.filter(pl.col(MINUTE) <= chosen.until)
    return rows


def _glob(text: str) -> str:
    """A glob as a regular expression that polars knows: `*` and `?`, all else literally."""
    return "".join({"*": "(?s:.*)", "?": "(?s:.)"}.get(character, re.escape(character)) for character in text)


def _days(tree: MinuteTree, chosen: Chosen) -> Iterator[date]:
    for day in sorted({*tree.open_days(), *tree.sealed.days()}):
        begins_in_time = chosen.until is None or day_start(day) <= chosen.until
        ends_in_time = chosen.since is None or day_start(day) + DAY > chosen.since
        if begins_in_time and ends_in_time:
            yield day


def _day(tree: MinuteTree, day: date) -> Iterator[pl.LazyFrame]:
    sealed = tree.sealed.files(day)
    parts = [] if sealed else list(tree.open_parts(day_start(day), day_start(day) + DAY - ONE_MINUTE))
    if together := [*sealed, *(path for part in parts if part.is_hour for path in part.files)]:
        yield (
            pl.scan_parquet(together, hive_partitioning=False).rename({PARTITION_MINUTE: MINUTE}).select(list(_SCHEMA))
        )
    minutes: dict[str, datetime] = {}
    for path in (path for part in parts if not part.is_hour for path in part.files if path.exists()):
        minute = minute_of(path.parent)
        if minute is not None:
            minutes[str(path)] = minute
    if minutes:
        yield _open_minutes(minutes)


def _open_minutes(minutes: dict[str, datetime]) -> pl.LazyFrame:
    rows = _scan([Path(path) for path in minutes], paths_as="path")
    told = pl.col("path").replace_strict(list(minutes), list(minutes.values()), return_dtype=UTC_MICROSECONDS)
    return rows.with_columns(told.alias(MINUTE)).select(list(_SCHEMA))


def _scan(
    files: list[Path], further: Mapping[str, pl.DataType] = MappingProxyType({}), paths_as: str | None = None
) -> pl.LazyFrame:
    # Files of earlier releases may lack columns that were added since.
    return pl.scan_parquet(
        files,
        hive_partitioning=False,
        schema={**QUARANTINE_SCHEMA, **further},
        missing_columns="insert",
        extra_columns="ignore",
        include_file_paths=paths_as,
    )
