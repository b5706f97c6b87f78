"""Flags into events: which belong together, and which of them are worth an event.

Pure and vectorised; nothing is read here, and identity of events across looks is `revising.py`.

Flags and what is left of earlier looks are both stretches of time, of which a flag is the shortest. So events
that the newest minutes can only make longer need not be made from all their flags again.
"""

from datetime import datetime

import polars as pl

from iot_pipeline.anomalies.events.event import KEY, EventStatus, least_duration, open_score, recovery
from iot_pipeline.anomalies.events.pace import UNKNOWN, with_interval
from iot_pipeline.anomalies.events.sentence import sentence
from iot_pipeline.anomalies.events.severity import event_severity
from iot_pipeline.stats.relations import EVENT_SCHEMA
from iot_pipeline.trees import UTC_MICROSECONDS, Schema

_OF_PEAK = (
    "score",
    "peak_at",
    "value",
    "expected_low",
    "expected_high",
    "detector",
    "detector_version",
    "reason",
    "peak_message_id",
)
STRETCH_SCHEMA: Schema = {
    name: EVENT_SCHEMA[name]
    for name in (
        *KEY,
        "opened_at",
        "last_flag_at",
        "flags",
        *_OF_PEAK,
        "first_message_id",
        "continues",
        "event_id",
        "revision",
    )
}


def stretches_of_flags(flags: pl.DataFrame) -> pl.DataFrame:
    """Each flagged reading as a stretch of its own; of several flags of one type, the one with the highest score.

    Args:
        flags: FLAGS_SCHEMA and `type`.

    Returns:
        STRETCH_SCHEMA, without event_id and message ids.
    """
    highest = flags.sort("score", "detector", descending=[True, False]).unique(
        [*KEY, "event_ts"], keep="first", maintain_order=True
    )
    return _complete(
        highest.with_columns(
            pl.col("event_ts").alias("opened_at"),
            pl.col("event_ts").alias("last_flag_at"),
            pl.col("event_ts").alias("peak_at"),
            pl.lit(1, pl.Int64).alias("flags"),
        )
    )


def stretches_of_events(events: pl.DataFrame) -> pl.DataFrame:
    """Events of earlier looks as stretches, to be made longer. STRETCH_SCHEMA."""
    return _complete(events)


def group(stretches: pl.DataFrame, pace: pl.DataFrame = UNKNOWN, *, scored_until: datetime) -> pl.DataFrame:
    """Put stretches together that are closer than their recovery time, each UTC day apart.

    Args:
        stretches: STRETCH_SCHEMA, in any order, not overlapping within a series and type.
        pace: how often series speak, see `pace.py`; those that it does not know have the recovery of their type.
        scored_until: readings before it (UTC) have been looked at: what has recovered by then is closed.

    Returns:
        EVENT_SCHEMA, sorted by opened_at and KEY. `event_id` and `revision` are those of the earliest stretch that
        had one, else null.
    """
    day = pl.col("opened_at").dt.truncate("1d")
    since_last = pl.col("opened_at") - pl.col("last_flag_at").shift().over(KEY)
    joined = (since_last <= pl.col("recovery")).fill_null(value=False)
    midnight = (day != day.shift().over(KEY)).fill_null(value=True)
    marked = (
        with_interval(stretches, pace)
        .sort(*KEY, "opened_at")
        .with_columns(recovery().alias("recovery"), least_duration().alias("least_duration"))
        # What an earlier look found at midnight is not in reach any more when only the end of an event is looked at.
        .with_columns(
            pl.coalesce("continues", joined & midnight).alias("continues"),
            (~joined | midnight).cum_sum().alias("group"),
        )
    )
    of_peak = [pl.col(name).get(pl.col("score").arg_max()).alias(name) for name in _OF_PEAK]
    grouped = marked.group_by("group", maintain_order=True).agg(
        *(
            pl.col(name).first()
            for name in (*KEY, "recovery", "least_duration", "opened_at", "continues", "first_message_id")
        ),
        pl.col("last_flag_at").max(),
        pl.col("flags").sum(),
        pl.col("event_id").drop_nulls().first(),
        pl.col("revision").drop_nulls().first(),
        *of_peak,
    )
    recovered = pl.min_horizontal(
        pl.col("last_flag_at") + pl.col("recovery"), pl.col("opened_at").dt.truncate("1d").dt.offset_by("1d")
    )
    events = (
        grouped.filter(_opens() | pl.col("event_id").is_not_null())
        .with_columns(
            pl.when(recovered <= pl.lit(scored_until, UTC_MICROSECONDS)).then(recovered).alias("closed_at"),
            event_severity(pl.col("score"), pl.col("last_flag_at") - pl.col("opened_at")).alias("severity"),
        )
        .with_columns(
            pl.when(pl.col("closed_at").is_null())
            .then(pl.lit(EventStatus.OPEN.value))
            .otherwise(pl.lit(EventStatus.CLOSED.value))
            .alias("status"),
            sentence().alias("sentence"),
        )
    )
    return _typed(events).sort("opened_at", *KEY)


def _opens() -> pl.Expr:
    """Whether a group is an event: see `EventRules`."""
    lasted = (pl.col("last_flag_at") - pl.col("opened_at")) >= pl.col("least_duration")
    return lasted | (pl.col("score") >= open_score())


def _complete(frame: pl.DataFrame) -> pl.DataFrame:
    """STRETCH_SCHEMA, with null for columns that `frame` lacks."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in STRETCH_SCHEMA.items()
    )


def _typed(events: pl.DataFrame) -> pl.DataFrame:
    return events.select(pl.col(name).cast(kind) for name, kind in EVENT_SCHEMA.items())
