"""Published figures of one device, read from the files that can hold them and from no others.

For pages and API; SQL over everything is `queries.py`. Files are chosen by name and rows by the statistics that
Parquet keeps of sorted columns, so a question costs what its own files cost, however much is stored. A name from
outside is a value that is compared, never a part of a query or of a path.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import polars as pl

from iot_pipeline.clock import DAY, MINUTE, day_start, floor_minute
from iot_pipeline.errors import TransientError
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    FLAGS_SCHEMA,
    DayModel,
    day_flags_file,
    device_minute_tree,
    dim_device_file,
    flags_tree,
    published_file,
)
from iot_pipeline.trees import PARTITION_MINUTE, MinuteTree

_P = ParamSpec("_P")
_R = TypeVar("_R")

# What every history has; `stddev` to `p95` are null in months and years, which do not keep all of them.
STATISTICS = ("count", "min", "max", "mean", "stddev", "first", "last", "p50", "p95")
HISTORY_SCHEMA: dict[str, pl.DataType] = {
    "start": pl.Datetime("us", "UTC"),
    "metric": pl.String(),
    "unit": pl.String(),
    **dict.fromkeys(STATISTICS, pl.Float64()),
    "count": pl.Int64(),
}
HISTORY_KEY = ("start", "metric", "unit")
FLAG_KEY = ("event_ts", "device_id", "metric", "unit", "detector")
_DAY_MODELS = {model.period: model for model in DAY_MODELS if model.name == f"device_{model.period}"}


class NotPublished(TransientError):
    """Published figures are not there at the moment: nothing was built yet, or they are being built again."""

    retry_after_seconds = 30


def again_when_replaced(read: Callable[_P, _R]) -> Callable[_P, _R]:
    """Read once more when a file went between listing and reading; then give up for the moment."""

    @wraps(read)
    def reading(*args: _P.args, **kwargs: _P.kwargs) -> _R:
        try:
            return read(*args, **kwargs)
        except FileNotFoundError:
            try:
                return read(*args, **kwargs)
            except FileNotFoundError as error:
                raise NotPublished(
                    "published files went while they were read: they are being built again or removed; "
                    "nothing is lost. Ask again in half a minute"
                ) from error

    return reading


@again_when_replaced
def device_history(
    paths: DataPaths,
    device_id: str,
    period: str,
    since: datetime,
    until: datetime,
    *,
    metric: str | None = None,
    unit: str | None = None,
) -> pl.DataFrame:
    """Statistics of one device by `period` (minute, hour, day, month or year) that begin in [since, until).

    Returns:
        HISTORY_SCHEMA, sorted by HISTORY_KEY; empty for a device that was never heard then.

    Raises:
        NotPublished: there are no published figures at the moment.
    """
    chosen = pl.col("device_id") == device_id
    if metric is not None:
        chosen &= pl.col("metric") == metric
    if unit is not None:
        chosen &= pl.col("unit") == unit
    if period == "minute":
        tree = device_minute_tree(paths)
        frames = [
            frame.filter(chosen, pl.col("minute") >= since, pl.col("minute") < until)
            for frame in _minute_frames(tree, since, until)
        ]
    else:
        frames = list(_day_frames(paths, _DAY_MODELS[period], since, until, chosen))
    start = pl.col("minute" if period == "minute" else period).cast(HISTORY_SCHEMA["start"]).alias("start")
    rows = [_as_history(frame.with_columns(start)) for frame in frames]
    if not rows:
        return pl.DataFrame(schema=HISTORY_SCHEMA)
    return pl.concat(rows).collect().sort(HISTORY_KEY, nulls_last=False)


@again_when_replaced
def published_flags(
    paths: DataPaths, since: datetime, until: datetime, *, device_id: str | None = None, detector: str | None = None
) -> pl.DataFrame:
    """The flags of minutes and of whole days in [since, until), of one device or detector if asked.

    Returns:
        FLAGS_SCHEMA, newest first.

    Raises:
        NotPublished: no minute was ever looked at, or the flags are being made again.
    """
    tree = flags_tree(paths)
    if not tree.root.exists():
        raise _nothing_yet("flags")
    inside = (pl.col("event_ts") >= since) & (pl.col("event_ts") < until)
    if device_id is not None:
        inside &= pl.col("device_id") == device_id
    if detector is not None:
        inside &= pl.col("detector") == detector
    frames = [frame.filter(inside).select(list(FLAGS_SCHEMA)) for frame in _minute_frames(tree, since, until)]
    days = [day_flags_file(paths, day) for day in _days(since, until)]
    if there := [path for path in days if path.exists()]:
        frames.append(_scan(there, FLAGS_SCHEMA).filter(inside).select(list(FLAGS_SCHEMA)))
    flags = pl.concat(frames).collect() if frames else tree.empty()
    return flags.sort(FLAG_KEY, descending=[True, False, False, False, False])


def is_scored(paths: DataPaths, minute: datetime) -> bool:
    """Whether the published flags say all there is to say about an event minute (UTC)."""
    tree = flags_tree(paths)
    return tree.file(minute).exists() or tree.sealed.current(minute.date()) is not None


@again_when_replaced
def known_device(paths: DataPaths, device_id: str) -> dict[str, object] | None:
    """The published row of a device (DIM_DEVICE_SCHEMA), or None. Raises NotPublished."""
    rows = _devices(paths).filter(pl.col("device_id") == device_id).collect()
    return rows.row(0, named=True) if rows.height else None


@again_when_replaced
def devices_page(
    paths: DataPaths,
    *,
    fleet: str | None = None,
    prefix: str | None = None,
    names: Iterable[str] | None = None,
    after: str | None = None,
    limit: int,
) -> pl.DataFrame:
    """Published devices by name: of a fleet, beginning with `prefix`, among `names`, behind `after`.

    Returns:
        DIM_DEVICE_SCHEMA, at most `limit` rows, sorted by device_id (by code point, as Python sorts).

    Raises:
        NotPublished: no device was published yet.
    """
    rows = _devices(paths)
    name = pl.col("device_id")
    if fleet is not None:
        rows = rows.filter(pl.col("fleet") == fleet)
    if prefix:
        rows = rows.filter(name >= prefix, name.str.starts_with(prefix))
    if names is not None:
        rows = rows.filter(name.is_in(list(names)))
    if after is not None:
        rows = rows.filter(name > after)
    return rows.sort("device_id").head(limit).collect()


def _devices(paths: DataPaths) -> pl.LazyFrame:
    path = dim_device_file(paths)
    if not path.exists():
        raise _nothing_yet("devices")
    return _scan([path], DIM_DEVICE_SCHEMA)


def _minute_frames(tree: MinuteTree, since: datetime, until: datetime) -> Iterator[pl.LazyFrame]:
    """What the tree has of the minutes that begin before `until` and end after `since`, some frames a day."""
    if not tree.root.exists():
        raise _nothing_yet("minutes")
    first, last = floor_minute(since), floor_minute(until - timedelta(microseconds=1))
    for day in _days(first, last):
        if sealed := tree.sealed.files(day):
            rows = _scan(sealed, {**tree.schema, PARTITION_MINUTE: pl.Datetime("us", "UTC")})
            yield rows.filter(pl.col(PARTITION_MINUTE).is_between(first, last))
            continue
        begin = max(first, day_start(day))
        end = min(last, day_start(day) + DAY - MINUTE)
        parts = list(tree.open_parts(begin, end))
        if hours := [path for part in parts if part.is_hour for path in part.files]:
            rows = _scan(hours, {**tree.schema, PARTITION_MINUTE: pl.Datetime("us", "UTC")})
            yield rows.filter(pl.col(PARTITION_MINUTE).is_between(first, last))
        if minutes := [path for part in parts if not part.is_hour for path in part.files if path.exists()]:
            yield _scan(minutes, tree.schema)


def _day_frames(
    paths: DataPaths, model: DayModel, since: datetime, until: datetime, chosen: pl.Expr
) -> Iterator[pl.LazyFrame]:
    if not (paths.marts / model.name).exists():
        raise _nothing_yet(f"figures by {model.period}")
    last = until - timedelta(microseconds=1)
    start = pl.col(model.period).cast(pl.Datetime("us", "UTC"))
    partitions = sorted({model.partition(day) for day in _days(since, last)})
    for partition in partitions:
        path = published_file(paths, model.name, partition)
        if path.exists():
            yield _scan([path], model.schema).filter(chosen, start >= since, start < until)


def _as_history(rows: pl.LazyFrame) -> pl.LazyFrame:
    has = rows.collect_schema()
    columns = [
        (pl.col(name) if name in has else pl.lit(None)).cast(kind).alias(name) for name, kind in HISTORY_SCHEMA.items()
    ]
    return rows.select(columns)


def _scan(files: Iterable[Path], schema: Mapping[str, pl.DataType]) -> pl.LazyFrame:
    # Files of earlier releases may lack columns that were added since.
    return pl.scan_parquet(
        list(files),
        hive_partitioning=False,
        schema=dict(schema),
        missing_columns="insert",
        extra_columns="ignore",
    )


def _days(first: datetime, last: datetime) -> Iterator[date]:
    for index in range((last.date() - first.date()).days + 1):
        yield first.date() + index * DAY


def _nothing_yet(what: str) -> NotPublished:
    return NotPublished(
        f"no {what} are published at the moment: the first ones come a minute or two after the first message, "
        "or they are being built again. Nothing is lost; ask again in half a minute"
    )
