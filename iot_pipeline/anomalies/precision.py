"""What people said, put to use: how often each detector was right in each class, and what follows for thresholds.

What was said is recorded in `feedback.py`; events are in `events/`. Only the last word about a flag counts, and an
event counts once, however many of its flags were judged.
"""

from datetime import datetime

import polars as pl

from iot_pipeline.anomalies.detectors.base import SERIES
from iot_pipeline.anomalies.events.store import read_events
from iot_pipeline.anomalies.feedback import FeedbackLabel, read_feedback
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.anomalies.models.classes import class_of
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.paths import DataPaths
from iot_pipeline.trees import UTC_MICROSECONDS

JUDGING = (FeedbackLabel.confirmed.value, FeedbackLabel.false_alarm.value)
"""What says right or wrong. A known cause is neither: it was unusual, and nothing had to be done."""

NEUTRAL = 0.5
"""Precision at which a threshold stays as it is."""

PATIENCE = 10
"""Labels that weigh as much as having none: two false alarms are no proof, twenty are."""

LARGEST = 1.5
"""Of a factor, on logarithms of scores: a threshold of 4 becomes 10, and no more."""

PRECISION_SCHEMA = {
    "detector": pl.String(),
    "type": pl.String(),
    "class": pl.String(),
    "confirmed": pl.Int64(),
    "false_alarms": pl.Int64(),
    "precision": pl.Float64(),
    "factor": pl.Float64(),
}


def precision_table(paths: DataPaths) -> pl.DataFrame:
    """Precision of each detector in each class, as people judged: PRECISION_SCHEMA, sorted.

    precision = confirmed / (confirmed + false alarms). The factor on the logarithm of a threshold is
    NEUTRAL over the precision drawn towards NEUTRAL by PATIENCE labels, (c + PATIENCE x NEUTRAL) / (c + f + PATIENCE),
    within 1 and LARGEST: people never lower a threshold below what the budget of alerts asks for.
    """
    judged = _judged(paths)
    confirmed = pl.col("label") == FeedbackLabel.confirmed.value
    drawn = (pl.col("confirmed") + PATIENCE * NEUTRAL) / (pl.col("confirmed") + pl.col("false_alarms") + PATIENCE)
    return (
        judged.group_by("detector", "type", "class")
        .agg(confirmed.sum().alias("confirmed"), (~confirmed).sum().alias("false_alarms"))
        .with_columns(
            (pl.col("confirmed") / (pl.col("confirmed") + pl.col("false_alarms"))).alias("precision"),
            (NEUTRAL / drawn).clip(1.0, LARGEST).alias("factor"),
        )
        .select(pl.col(name).cast(kind) for name, kind in PRECISION_SCHEMA.items())
        .sort("detector", "type", "class")
    )


def threshold_factors(paths: DataPaths) -> pl.DataFrame:
    """Columns type, class, factor: of detectors that are named by their type, whose thresholds are learned."""
    return precision_table(paths).filter(pl.col("detector") == pl.col("type")).select("type", "class", "factor")


def confirmed_spans(paths: DataPaths, first: datetime, last: datetime) -> pl.DataFrame:
    """What not to learn from: SERIES, begin, end (UTC) of confirmed events that touch the minutes `first` to `last`."""
    judged = _judged(paths).filter(
        pl.col("label") == FeedbackLabel.confirmed.value, pl.col("begin") < last + MINUTE, pl.col("end") >= first
    )
    spans = judged.select(*SERIES, pl.col("begin", "end").dt.truncate("1m"))
    return spans.unique().sort(*SERIES, "begin", "end")


def _judged(paths: DataPaths) -> pl.DataFrame:
    """One row an event, or flag without one, that was confirmed or called a false alarm; the last word counts."""
    said = pl.DataFrame(
        [
            [
                one.at,
                one.label.value,
                one.flag.device_id,
                one.flag.metric,
                one.flag.unit,
                one.flag.event_ts,
                one.flag.detector,
            ]
            for one in read_feedback(paths)
        ],
        schema={
            "at": UTC_MICROSECONDS,
            "label": pl.String(),
            **dict.fromkeys(SERIES, pl.String()),
            "event_ts": UTC_MICROSECONDS,
            "detector": pl.String(),
        },
        orient="row",
    )
    flag = [*SERIES, "event_ts", "detector"]
    said = said.with_row_index("order").unique(flag, keep="last", maintain_order=True)
    said = with_type(said.filter(pl.col("label").is_in(JUDGING)))
    if said.is_empty():
        return said.with_columns(
            pl.lit(None, pl.String).alias("class"), *(pl.col("event_ts").alias(name) for name in ("begin", "end"))
        )
    instants = said["event_ts"].to_list()
    events = read_events(paths, min(instants).date() - DAY, max(instants).date())
    events = events.select(*SERIES, "type", "event_id", "opened_at", "last_flag_at")
    found = (
        said.join(events, on=[*SERIES, "type"], how="left", nulls_equal=True)
        .with_columns(pl.col("event_ts").is_between("opened_at", "last_flag_at").fill_null(value=False).alias("inside"))
        .sort("order", "inside")
        .unique("order", keep="last", maintain_order=True)
        .with_columns(
            pl.when("inside").then("event_id").otherwise(pl.format("flag {}", "order")).alias("what"),
            pl.when("inside").then("opened_at").otherwise("event_ts").alias("begin"),
            pl.when("inside").then("last_flag_at").otherwise("event_ts").alias("end"),
        )
        .sort("order")
        .unique(["what", "detector"], keep="last", maintain_order=True)
    )
    return class_of(paths, found)
