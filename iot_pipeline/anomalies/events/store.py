"""Events on disk: one file a UTC day, brought up to date for the minutes that were scored.

How flags become events is `grouping.py`. Looks take turns by a lock file; readers never wait.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl
import structlog
from filelock import FileLock

from iot_pipeline.anomalies.daily.store import read_day_flags
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.events.event import FARTHEST, KEY, STANDS, EventStatus, no_events, reach
from iot_pipeline.anomalies.events.grouping import group, stretches_of_events, stretches_of_flags
from iot_pipeline.anomalies.events.messages import with_messages
from iot_pipeline.anomalies.events.pace import paces, with_interval
from iot_pipeline.anomalies.events.revising import revise
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.clock import DAY, MINUTE, floor_minute, minute_key
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.retained import Level, refuse_removed
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import EVENT_SCHEMA, events_file, flags_tree
from iot_pipeline.trees import UTC_MICROSECONDS

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class EventReport:
    """What a look at a range of minutes came to.

    Attributes:
        by_status: events of the days looked at, by status.
        opened: events told for the first time.
        revised: events told before that are different now, withdrawn ones included.
        by_minute: events that opened in each minute of the range, only minutes with any.
    """

    by_status: Mapping[str, int]
    opened: int
    revised: int
    by_minute: Mapping[datetime, int]


def read_events(paths: DataPaths, first: date, last: date) -> pl.DataFrame:
    """Events that opened on the days `first` to `last`, both included, withdrawn ones too.

    Returns:
        EVENT_SCHEMA, sorted by opened_at within a day.
    """
    return scan_events(events_file(paths, day) for day in _days(first, last)).collect()


def scan_events(files: Iterable[Path]) -> pl.LazyFrame:
    """The rows of those of these files that exist: EVENT_SCHEMA."""
    there = [path for path in files if path.exists()]
    if not there:
        return no_events().lazy()
    # Files of earlier releases may lack columns that were added since.
    return pl.scan_parquet(
        there, hive_partitioning=False, schema=dict(EVENT_SCHEMA), missing_columns="insert", extra_columns="ignore"
    )


def update_events(settings: Settings, first: datetime, last: datetime, *, front: datetime | None = None) -> EventReport:
    """Bring the events up to date with the flags of the event minutes `first` to `last`.

    The events are those that all flags make, whatever was looked at before and in which order; only names and
    revisions tell of earlier looks. The cost is that of the flags about the range, and of the events that it cuts.

    Args:
        settings: where the data is.
        first: first minute (UTC) whose flags may be new.
        last: last minute (UTC), included.
        front: newest minute scored at all, if later than `last`.

    Raises:
        RemovedError: retention removed the flags of these days; events stay as they are.
        StorageUnavailable: days before the one that failed are done, the rest are as before.
    """
    paths = settings.paths
    first, last = floor_minute(first), floor_minute(last)
    refuse_removed(paths, Level.MINUTE, first.date())
    paths.events.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.events / "events.lock"):
        begin_day, end_day = (first - FARTHEST).date() - DAY, (last + FARTHEST).date() + DAY
        known = read_events(paths, begin_day, end_day)
        new = _flags(paths, first, last)
        series = pl.concat([frame.select(SERIES) for frame in (known, new)]).unique()
        pace = paces(paths, series, begin_day, end_day)
        cut, kept = _touched(known, pace, first, last)
        # What only ends before the range can be made longer by it, and nothing else: it need not be made anew.
        ended = (pl.col("last_flag_at") < first) & STANDS
        prefix, anew = cut.filter(ended), cut.filter(~ended)
        farthest = _farthest(new, cut, pace)
        begin, end = _span(anew.filter(STANDS), first, last, farthest)
        around = [_flags(paths, begin, first - MINUTE), new, _flags(paths, last + MINUTE, end)]
        # Of other series only pieces are in sight, and nothing of theirs can change.
        flags = pl.concat(around).join(series, on=SERIES, how="semi", nulls_equal=True)
        flags = _outside(flags, pl.concat([prefix, kept.filter(STANDS)]))
        context = kept.filter(STANDS, pl.col("last_flag_at") >= begin - farthest)
        found = group(
            pl.concat([stretches_of_flags(flags), stretches_of_events(prefix), stretches_of_events(context)]),
            pace,
            scored_until=max(front or last, last) + MINUTE,
        )
        found = with_messages(settings, found.join(context, on="event_id", how="anti"), cut)
        revised = revise(cut, found, pace)
        for day in _days_of(pl.concat([cut, revised])):
            of_day = pl.concat([kept, revised]).filter(pl.col("opened_at").dt.date() == day)
            write_parquet(of_day.sort("opened_at", *KEY, "event_id"), events_file(paths, day))
    report = _report(cut, revised, first, last)
    log.info(
        "events updated", first=minute_key(first), last=minute_key(last), opened=report.opened, revised=report.revised
    )
    return report


def _touched(
    known: pl.DataFrame, pace: pl.DataFrame, first: datetime, last: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events that flags of the range can change, and all others."""
    begin, end = pl.lit(first, UTC_MICROSECONDS), pl.lit(last + MINUTE, UTC_MICROSECONDS)
    near = (pl.col("opened_at") <= end + reach()) & (pl.col("last_flag_at") >= begin - reach())
    touched = near | (pl.col("status") == EventStatus.OPEN.value)
    marked = with_interval(known, pace)
    return marked.filter(touched).select(known.columns), marked.filter(~touched).select(known.columns)


def _farthest(new: pl.DataFrame, cut: pl.DataFrame, pace: pl.DataFrame) -> timedelta:
    """The longest reach of these flags and events."""
    parts = (with_interval(new, pace, "event_ts"), with_interval(cut, pace))
    longest = pl.concat([part.select(reach().alias("reach")) for part in parts])["reach"].max()
    return longest if isinstance(longest, timedelta) else timedelta(0)


def _span(anew: pl.DataFrame, first: datetime, last: datetime, farthest: timedelta) -> tuple[datetime, datetime]:
    """First and last minute whose flags are needed."""
    begins, ends = [first], [last]
    for opened_at, last_flag_at in anew.select("opened_at", "last_flag_at").iter_rows():
        begins.append(opened_at)
        ends.append(last_flag_at)
    return floor_minute(min(begins) - farthest), floor_minute(max(ends) + farthest)


def _flags(paths: DataPaths, first: datetime, last: datetime) -> pl.DataFrame:
    """Flags that can be part of an event, with their `type`: those of baselines are not."""
    flags = pl.concat([flags_tree(paths).read(first, last), read_day_flags(paths, first, last)])
    return with_type(flags).filter(pl.col("type").is_not_null())


def _outside(flags: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """Flags that are not in one of `events`, which do not overlap within a series and type."""
    if events.is_empty() or flags.is_empty():
        return flags
    spans = events.select(*KEY, pl.col("opened_at").alias("span_begin"), pl.col("last_flag_at").alias("span_end"))
    # join_asof never matches null with null.
    by = [pl.col(name).fill_null("\x00").alias(f"by_{name}") for name in KEY]
    names = [f"by_{name}" for name in KEY]
    matched = (
        flags.with_columns(*by)
        .sort("event_ts")
        .join_asof(
            spans.select(*by, "span_begin", "span_end").sort("span_begin"),
            left_on="event_ts",
            right_on="span_begin",
            by=names,
            strategy="backward",
            check_sortedness=False,
        )
    )
    inside = (pl.col("event_ts") <= pl.col("span_end")).fill_null(value=False)
    return matched.filter(~inside).select(flags.columns)


def _report(cut: pl.DataFrame, revised: pl.DataFrame, first: datetime, last: datetime) -> EventReport:
    before = dict(cut.select("event_id", "revision").iter_rows())
    now = dict(revised.select("event_id", "revision").iter_rows())
    minutes = revised.select(pl.col("opened_at").dt.truncate("1m")).filter(pl.col("opened_at").is_between(first, last))[
        "opened_at"
    ]
    return EventReport(
        by_status=Counter(revised["status"].to_list()),
        opened=sum(name not in before for name in now),
        revised=sum(before[name] != revision for name, revision in now.items() if name in before),
        by_minute=Counter(minutes.to_list()),
    )


def _days(first: date, last: date) -> Iterator[date]:
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def _days_of(events: pl.DataFrame) -> list[date]:
    return sorted(set(events["opened_at"].dt.date().to_list()))
