"""The same event across looks: who inherits a name, what counts as a change, and what became of the rest.

Pure; which events are compared is decided in `store.py`.
"""

import hashlib
from datetime import timedelta

import polars as pl

from iot_pipeline.anomalies.events.event import KEY, EventStatus, recovery
from iot_pipeline.anomalies.events.pace import UNKNOWN, with_interval
from iot_pipeline.stats.relations import EVENT_SCHEMA

_NAME = ("event_id", "revision")
# A later look also learns that an event is over; that is its course and no revision.
_COURSE = ("status", "closed_at")


def revise(before: pl.DataFrame, found: pl.DataFrame, pace: pl.DataFrame = UNKNOWN) -> pl.DataFrame:
    """Give each event found its name and revision, and withdraw what is not found any more.

    An event that overlaps one of before (same series and type) is that event, the earliest first: it keeps the name
    under which it was told. So is one that is closer than the recovery time to one of which nothing is left: late
    readings can move all flags of an event to readings beside it, and people would be told of it again. Of two that
    became one, the later is withdrawn. One that was withdrawn comes back under its name.

    Args:
        before: EVENT_SCHEMA, the events that `found` was made in place of, withdrawn ones too.
        found: EVENT_SCHEMA; event_id and revision are ignored.
        pace: how often series speak, see `pace.py`.

    Returns:
        EVENT_SCHEMA: all of `found` and the rest of `before` as withdrawn, sorted by opened_at and KEY.
    """
    named = found.drop(_NAME).join(
        _inherited(before, found, pace), on=[*KEY, "opened_at"], how="left", nulls_equal=True
    )
    told = before.select("event_id", "revision", *_told_columns(), _content().alias("told_content"))
    compared = named.join(told, on="event_id", how="left").with_columns(_content().alias("content"))
    known = pl.col("revision").is_not_null()
    changed = (pl.col("content") != pl.col("told_content")) & ~_grown()
    revised = compared.with_columns(
        pl.coalesce("event_id", _new_ids(compared)).alias("event_id"),
        pl.when(known)
        .then(pl.col("revision") + changed.cast(pl.Int64))
        .otherwise(pl.lit(1, pl.Int64))
        .alias("revision"),
    )
    gone = before.join(revised, on="event_id", how="anti")
    still = pl.col("status") == EventStatus.WITHDRAWN.value
    withdrawn = gone.with_columns(
        (pl.col("revision") + (~still).cast(pl.Int64)).alias("revision"),
        pl.lit(EventStatus.WITHDRAWN.value).alias("status"),
    )
    return pl.concat([revised.select(list(EVENT_SCHEMA)), withdrawn]).sort("opened_at", *KEY, "event_id")


def _inherited(before: pl.DataFrame, found: pl.DataFrame, pace: pl.DataFrame) -> pl.DataFrame:
    """KEY, opened_at and event_id of each event found that is one of before; each of both at most once."""
    old = before.select(
        *KEY,
        "event_id",
        pl.col("opened_at").alias("old_opened_at"),
        pl.col("last_flag_at").alias("old_last"),
        (pl.col("status") == EventStatus.WITHDRAWN.value).alias("old_withdrawn"),
    )
    apart = pl.max_horizontal(
        pl.col("old_opened_at") - pl.col("last_flag_at"), pl.col("opened_at") - pl.col("old_last"), timedelta(0)
    )
    beside = (apart <= pl.col("recovery")) & ~pl.col("old_withdrawn")
    same_day = pl.col("old_opened_at").dt.date() == pl.col("opened_at").dt.date()
    pairs = (
        with_interval(found.select(*KEY, "opened_at", "last_flag_at"), pace)
        .with_columns(recovery().alias("recovery"))
        .join(old, on=list(KEY), how="inner", nulls_equal=True)
        .with_columns((apart > timedelta(0)).alias("apart"))
        .filter(~pl.col("apart") | (beside & same_day))
        .sort("apart", "old_withdrawn", "old_opened_at", "event_id", "opened_at")
    )
    first_heir = pairs.unique("event_id", keep="first", maintain_order=True)
    return first_heir.unique([*KEY, "opened_at"], keep="first", maintain_order=True).select(
        *KEY, "opened_at", "event_id"
    )


def _told_columns() -> list[pl.Expr]:
    return [pl.col(name).alias(f"told_{name}") for name in ("status", "opened_at", "last_flag_at", "flags")]


def _grown() -> pl.Expr:
    """An open event that only went on: the course of an event, and no revision."""
    return (
        (pl.col("told_status") == EventStatus.OPEN.value)
        & (pl.col("opened_at") == pl.col("told_opened_at"))
        & (pl.col("last_flag_at") > pl.col("told_last_flag_at"))
        & (pl.col("flags") > pl.col("told_flags"))
    )


def _content() -> pl.Expr:
    """A number that tells two states of an event apart; those in its ordinary course are the same."""
    withdrawn = pl.col("status") == EventStatus.WITHDRAWN.value
    return pl.struct(*(name for name in EVENT_SCHEMA if name not in (*_NAME, *_COURSE)), withdrawn.alias("gone")).hash()


def _new_ids(events: pl.DataFrame) -> pl.Series:
    """A name for each event: a digest of what it is and when it opened, the same wherever it is found."""
    return pl.Series(
        [
            hashlib.sha256("\x1f".join("" if part is None else str(part) for part in row).encode()).hexdigest()[:16]
            for row in events.select(
                pl.col("device_id"), "metric", "unit", "type", pl.col("opened_at").dt.epoch("us")
            ).iter_rows()
        ],
        dtype=pl.String,
    )
