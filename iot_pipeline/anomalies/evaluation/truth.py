"""How right the kept flags are, against the truth labels that the simulators write.

Reads flags and labels only; nothing is scored again and no threshold is chosen here.

The onset rule: a fault counts as found only by an alert that begins while the fault lasts.
Mere overlap would reward a detector that is always on: random flags joined into long alerts
"find" nearly everything.
"""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import structlog

from iot_pipeline.anomalies.detectors import default_detectors
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import device_minute_tree, flags_tree
from iot_pipeline.trees import UTC_MICROSECONDS

log = structlog.get_logger(__name__)

VALUE_FAULTS = ("spike", "stuck", "drift", "step", "noise")
"""Faults that show in values. Gaps, late, duplicate and malformed messages show in the intake."""

ALL_FAULTS = "any"

LABEL_SCHEMA = {
    "device_id": pl.String(),
    "metric": pl.String(),
    "fault": pl.String(),
    "start": UTC_MICROSECONDS,
    "end": UTC_MICROSECONDS,
    "magnitude": pl.Float64(),
}

EVALUATION_SCHEMA = {
    "detector": pl.String(),
    "fault": pl.String(),
    "labels": pl.Int64(),
    "found": pl.Int64(),
    "recall": pl.Float64(),
    "delay_seconds": pl.Float64(),
    "false_flags": pl.Int64(),
    "false_alerts": pl.Int64(),
    "device_days": pl.Float64(),
    "false_flags_per_device_day": pl.Float64(),
    "false_alerts_per_device_day": pl.Float64(),
}


def evaluate_labels(
    settings: Settings, first: datetime, last: datetime, quiet: timedelta = timedelta(seconds=30)
) -> pl.DataFrame:
    """Recall by fault and false flags of each detector over the event minutes `first` to `last`.

    Args:
        settings: where flags, labels and statistics are.
        first: first minute (UTC).
        last: last minute (UTC), included.
        quiet: flags of one series at most this far apart are one alert.

    Returns:
        EVALUATION_SCHEMA, one row per (detector, fault) and one per detector with fault `any`. `recall` and
        `delay_seconds` (median, from the fault's start) are null where there is nothing to divide by. The false_
        columns are the detector's, equal in its rows. device_days counts the minutes in which a device spoke.
    """
    paths = settings.paths
    flags = flags_tree(paths).read(first, last)
    labels = read_labels(paths.labels, first, last)
    spoke = device_minute_tree(paths).read(first, last).select("minute", "device_id").n_unique()
    detectors = sorted({detector.name for detector in default_detectors()} | set(flags["detector"]))
    return evaluate(flags, labels, device_days=spoke * MINUTE / DAY, detectors=detectors, quiet=quiet)


def evaluate(
    flags: pl.DataFrame, labels: pl.DataFrame, *, device_days: float, detectors: Sequence[str], quiet: timedelta
) -> pl.DataFrame:
    """As `evaluate_labels`, on frames: FLAGS_SCHEMA and LABEL_SCHEMA."""
    labels = labels.filter(pl.col("fault").is_in(VALUE_FAULTS)).unique(maintain_order=True).with_row_index("label")
    alerts = alerts_of(flags, quiet)
    onsets = _inside(alerts, labels).group_by("detector", "label").agg(pl.col("event_ts").min())
    expected = pl.DataFrame({"detector": detectors}, schema={"detector": pl.String()}).join(labels, how="cross")
    outcome = expected.join(onsets, on=["detector", "label"], how="left").select(
        "detector",
        "fault",
        pl.col("event_ts").is_not_null().alias("hit"),
        ((pl.col("event_ts") - pl.col("start")).dt.total_microseconds() / 1e6).alias("delay"),
    )
    per_fault = _summary(outcome)
    overall = _summary(outcome.with_columns(pl.lit(ALL_FAULTS).alias("fault")))
    # A detector without a single label still has its row, for its false flags.
    unlabelled = pl.DataFrame(
        {"detector": detectors, "fault": ALL_FAULTS, "labels": 0, "found": 0}, schema_overrides=EVALUATION_SCHEMA
    ).join(overall, on="detector", how="anti")
    false = pl.DataFrame({"detector": detectors}, schema={"detector": pl.String()}).with_columns(
        _false_count("detector", flags, labels, "false_flags"),
        _false_count("detector", alerts, labels, "false_alerts"),
        pl.lit(device_days).alias("device_days"),
    )
    rate = 1.0 / device_days if device_days > 0 else None
    return (
        pl.concat([per_fault, overall, unlabelled], how="diagonal_relaxed")
        .join(false, on="detector")
        .with_columns(
            (pl.col("false_flags") * rate).alias("false_flags_per_device_day"),
            (pl.col("false_alerts") * rate).alias("false_alerts_per_device_day"),
        )
        .select(pl.col(name).cast(kind) for name, kind in EVALUATION_SCHEMA.items())
        .sort("detector", "fault")
    )


def alerts_of(flags: pl.DataFrame, quiet: timedelta) -> pl.DataFrame:
    """The first flag of each alert: of a run of flags of one series and detector without a longer pause than `quiet`.

    An alert that lasts is raised again each UTC day, so that "always on" is not one lucky alert.
    """
    run = ("detector", *SERIES)
    previous = pl.col("event_ts").shift(1).over(run)
    return flags.sort(*run, "event_ts").filter(
        previous.is_null()
        | (pl.col("event_ts") - previous > quiet)
        | (pl.col("event_ts").dt.date() != previous.dt.date())
    )


def read_labels(folder: Path, first: datetime, last: datetime) -> pl.DataFrame:
    """Truth labels that overlap the minutes `first` to `last`, of all files in `folder`.

    A line that is not whole (a simulator is writing) is skipped and logged. Returns LABEL_SCHEMA.
    """
    rows = []
    for path in sorted(folder.glob("*.jsonl")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            try:
                label = json.loads(line)
                start, end = (datetime.fromisoformat(label[key]) for key in ("start", "end"))
                magnitude = None if label["magnitude"] is None else float(label["magnitude"])
                rows.append([label["device_id"], label["metric"], label["fault"], start, end, magnitude])
            except (ValueError, KeyError, TypeError) as error:
                log.warning("label skipped", file=path.name, line=number, error=repr(error))
    labels = pl.DataFrame(rows, schema=LABEL_SCHEMA, orient="row")
    return labels.filter((pl.col("end") >= first) & (pl.col("start") < last + MINUTE))


def _inside(raised: pl.DataFrame, labels: pl.DataFrame) -> pl.DataFrame:
    """Each flag or alert with each label of its series that covers its instant; a label may name no metric."""
    return raised.join(labels, on="device_id", suffix="_label").filter(
        pl.col("metric_label").is_null() | (pl.col("metric_label") == pl.col("metric")),
        pl.col("event_ts").is_between("start", "end"),
    )


def _false_count(detector: str, raised: pl.DataFrame, labels: pl.DataFrame, name: str) -> pl.Expr:
    """Of each detector: how many of `raised` no label covers."""
    identity = [detector, *SERIES, "event_ts"]
    counts = raised.join(_inside(raised, labels), on=identity, how="anti", nulls_equal=True)[detector].value_counts()
    return (
        pl.col(detector).replace_strict(counts[detector], counts["count"], default=0, return_dtype=pl.Int64).alias(name)
    )


def _summary(outcome: pl.DataFrame) -> pl.DataFrame:
    return outcome.group_by("detector", "fault").agg(
        pl.len().cast(pl.Int64).alias("labels"),
        pl.col("hit").sum().cast(pl.Int64).alias("found"),
        pl.col("hit").mean().alias("recall"),
        pl.col("delay").median().alias("delay_seconds"),
    )
