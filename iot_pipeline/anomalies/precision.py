"""What people said, put to use: how often each detector was right in each class, and what follows for thresholds.

What was said is recorded in `feedback.py`; events are in `events/`. An event counts once, by the last word about any
of its flags, for every detector that flagged in it: people judge what they see, and that is its strangest flag.
"""

from datetime import date, datetime

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.events.event import STANDS, no_events
from iot_pipeline.anomalies.events.store import read_events
from iot_pipeline.anomalies.feedback import FeedbackLabel, read_feedback
from iot_pipeline.anomalies.kinds import DAY_DETECTORS, with_type
from iot_pipeline.anomalies.models.classes import class_of
from iot_pipeline.clock import MINUTE, floor_minute
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import flags_tree
from iot_pipeline.trees import UTC_MICROSECONDS

JUDGING = (FeedbackLabel.confirmed.value, FeedbackLabel.false_alarm.value)
"""What says right or wrong. A known cause is neither: it was unusual, and nothing had to be done."""

NEUTRAL = 0.5
"""Precision at which a threshold stays as it is."""

PATIENCE = 10
"""Labels that weigh as much as having none: two false alarms are no proof, twenty are."""

LARGEST = 1.5
"""Of a factor, on logarithms of scores: a threshold of 4 becomes 10, and no more."""

_LEARNED = (pl.col("detector") == pl.col("type")) | pl.col("detector").is_in(DAY_DETECTORS)
"""Detectors that are named by their type, and those of whole days."""

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
    within 1 and LARGEST: people never lower a threshold below what the budget of alerts asks for. It is null for
    detectors whose thresholds nobody learns: there it moves nothing.
    """
    judged = _judged(paths)
    if judged.is_empty():
        return pl.DataFrame(schema=PRECISION_SCHEMA)
    flagged = class_of(paths, judged.drop("detector").join(_detectors(paths, judged), on="what"))
    confirmed = pl.col("label") == FeedbackLabel.confirmed.value
    drawn = (pl.col("confirmed") + PATIENCE * NEUTRAL) / (pl.col("confirmed") + pl.col("false_alarms") + PATIENCE)
    return (
        flagged.group_by("detector", "type", "class")
        .agg(confirmed.sum().alias("confirmed"), (~confirmed).sum().alias("false_alarms"))
        .with_columns(
            (pl.col("confirmed") / (pl.col("confirmed") + pl.col("false_alarms"))).alias("precision"),
            pl.when(_LEARNED).then((NEUTRAL / drawn).clip(1.0, LARGEST)).alias("factor"),
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


def _said(paths: DataPaths) -> pl.DataFrame:
    """The last word about each flag, in the order in which it was said: order, label, SERIES, event_ts, detector."""
    rows = [
        (one.label.value, one.flag.device_id, one.flag.metric, one.flag.unit, one.flag.event_ts, one.flag.detector)
        for one in read_feedback(paths)
    ]
    schema = {
        "label": pl.String(),
        **dict.fromkeys(SERIES, pl.String()),
        "event_ts": UTC_MICROSECONDS,
        "detector": pl.String(),
    }
    said = pl.DataFrame(rows, schema=schema, orient="row").with_row_index("order")
    return said.unique([*SERIES, "event_ts", "detector"], keep="last", maintain_order=True)


def _judged(paths: DataPaths) -> pl.DataFrame:
    """One row an event, or flag without one, that was confirmed or called a false alarm; the last word counts.

    Returns:
        what (the event's name, or one of its own), label, SERIES, type, detector (of the flag that was judged), begin
        and end (UTC).
    """
    said = with_type(_said(paths))
    days = said["event_ts"].dt.date()
    first, last = days.min(), days.max()
    events = read_events(paths, first, last) if isinstance(first, date) and isinstance(last, date) else no_events()
    spans = events.select(*SERIES, "type", "event_id", "opened_at", "last_flag_at", STANDS.alias("stands"))
    inside = pl.col("event_ts").is_between("opened_at", "last_flag_at").fill_null(value=False)
    return (
        said.join(spans, on=[*SERIES, "type"], how="left", nulls_equal=True)
        .with_columns(inside.alias("inside"))
        # An event that was withdrawn was judged all the same, unless another took its place.
        .sort("order", "inside", "stands", "opened_at")
        .unique("order", keep="last", maintain_order=True)
        .with_columns(
            pl.when("inside").then("event_id").otherwise(pl.format("flag {}", "order")).alias("what"),
            pl.when("inside").then("opened_at").otherwise("event_ts").alias("begin"),
            pl.when("inside").then("last_flag_at").otherwise("event_ts").alias("end"),
        )
        .unique("what", keep="last", maintain_order=True)
        .filter(pl.col("label").is_in(JUDGING))
        .select("what", "label", *SERIES, "type", "detector", "begin", "end")
    )


def _detectors(paths: DataPaths, judged: pl.DataFrame) -> pl.DataFrame:
    """what, detector: who flagged in each event. Of flags that retention removed, the one that was judged is known."""
    found = [judged.select("what", "detector")]
    for _, part in judged.group_by(pl.col("begin").dt.date()):
        begin, end = (floor_minute(at) for at in (*part["begin"].sort()[:1], *part["end"].sort()[-1:]))
        flags = with_type(flags_tree(paths).read(begin, end)).select(*SERIES, "type", "event_ts", "detector")
        spans = part.select("what", *SERIES, "type", "begin", "end")
        inside = flags.join(spans, on=[*SERIES, "type"], how="inner", nulls_equal=True).filter(
            pl.col("event_ts").is_between("begin", "end")
        )
        found.append(inside.select("what", "detector"))
    return pl.concat(found).unique()
