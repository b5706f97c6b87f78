"""What a model does on a day that it has not seen: what it scores, flags and misses, known faults left out.

Whether that is good enough is `judging.py`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.engine.grid import Floats
from iot_pipeline.anomalies.evaluation.metrics.vus import vus_pr
from iot_pipeline.anomalies.evaluation.truth import read_labels
from iot_pipeline.anomalies.models.channels_unseen import flagged_channels, of_whole_machines
from iot_pipeline.anomalies.models.history import History, history
from iot_pipeline.anomalies.models.members import LOOKBACK, tell
from iot_pipeline.anomalies.models.minute_grid import minute_grid, silent_intake
from iot_pipeline.anomalies.models.model import Manifest, MinuteModel
from iot_pipeline.anomalies.models.scoring.channels import LearnedChannels
from iot_pipeline.anomalies.models.scoring.minutes import LearnedMinutes
from iot_pipeline.anomalies.precision import confirmed_spans
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.settings import Settings
from iot_pipeline.trees import UTC_MICROSECONDS

LEAST_LABELS = 5
"""Labelled faults from which they say something."""

QUIET = 30 * MINUTE
"""Flags of a series at most this far apart are one alert."""

AFTER = LOOKBACK * MINUTE
"""So long after a fault its end is still in the look-back, and an alert about it is none that is false."""

LASTING = 2 * MINUTE
"""Faults shorter than this hardly move the mean of a minute; single readings are for `rolling_z`."""

SHOWN_FAULTS = ("stuck", "drift", "step", "noise")


@dataclass(frozen=True, slots=True)
class Unseen:
    """What a model did on a day that it did not learn from.

    Attributes:
        devices: that spoke.
        series: that spoke, running totals left out.
        scored: of these.
        minutes: (series, minute) pairs that were scored.
        flagged: of these, outside of labelled faults and confirmed events.
        alerts: SERIES, begin (UTC): alerts that no labelled fault and no confirmed event explains.
        vus: mean VUS-PR over series with a labelled fault; NaN without enough labels.
        random: the same of random scores.
        labels: labelled faults that were looked at.
        device_days: of the devices that were scored, each from its first minute of the day on.
    """

    devices: int
    series: int
    scored: int
    minutes: int
    flagged: int
    alerts: pl.DataFrame
    vus: float
    random: float
    labels: int
    device_days: float


def unseen_day(settings: Settings, model: MinuteModel, manifest: Manifest) -> Unseen | None:
    """Score the day of the model with it; None as long as the day has no hour of data."""
    paths = settings.paths
    begin = day_start(manifest.day)
    with_before = history(paths, begin - LOOKBACK * MINUTE, begin + DAY - MINUTE)
    counts = with_before.counts()
    spoke = counts.filter(pl.col("minute") >= begin)
    if spoke.height < LOOKBACK:
        return None
    last: datetime = spoke["minute"][-1]
    past = History(with_before.first, last, with_before.rows.filter(pl.col("minute") <= last))
    silent = silent_intake(counts, begin, last, LOOKBACK)
    scorer = LearnedMinutes(model, manifest.version, paths)
    series = past.series()
    table = scorer.parameters(series).sort(SERIES)
    labels = _lasting(read_labels(paths.labels, begin, last))
    alerts, flagged, vus, minutes = [], [], [], 0
    for part, rows in past.parts(table):
        grid = minute_grid(rows, part, past.first, last)
        highest = np.max([one.level for one in tell(grid, part, slice(LOOKBACK, grid.width), silent=silent)], axis=0)
        known = np.isfinite(grid.values[:, LOOKBACK:])
        minutes += int(known.sum())
        flagged.append(_cells(part, (highest >= 1) & known, begin))
        alerts.append(_alerts(part, highest >= 1, begin))
        vus += list(_labelled_series(part, highest, labels, begin))
    counters = model.series.filter(pl.col("state") == "counter")
    every = read_labels(paths.labels, begin - AFTER, last)
    spans = pl.concat([_spans_of(every, series), confirmed_spans(paths, begin - AFTER, last)])
    machines = flagged_channels(LearnedChannels(model.channels, manifest.version), past, begin, quiet=QUIET)
    known_faults = of_whole_machines(spans, model.channels)
    flagged.append(_unexplained(machines.cells, known_faults))
    alerts.append(_unexplained(machines.alerts, known_faults))
    devices = series["device_id"].n_unique()
    enough = labels.height >= LEAST_LABELS and bool(vus)
    return Unseen(
        devices=devices,
        series=series.join(counters, on=SERIES, how="anti", nulls_equal=True).height,
        scored=table.height,
        minutes=minutes,
        flagged=_unexplained(pl.concat(flagged), spans).height,
        alerts=_unexplained(pl.concat(alerts), spans),
        vus=float(np.mean([own for own, _ in vus])) if enough else math.nan,
        random=float(np.mean([other for _, other in vus])) if enough else math.nan,
        labels=labels.height,
        device_days=_device_days(past, table, begin),
    )


def _device_days(past: History, scored: pl.DataFrame, begin: datetime) -> float:
    """A device that began to speak an hour ago had no day in which it could raise an alert."""
    since = (
        past.rows.filter(pl.col("minute") >= begin)
        .join(scored.lazy().select(SERIES), on=SERIES, how="semi", nulls_equal=True)
        .group_by("device_id")
        .agg(pl.col("minute").min())
    )
    lived = pl.lit(past.last, UTC_MICROSECONDS) - pl.col("minute") + pl.duration(minutes=1)
    return float(since.select((lived.dt.total_seconds() / DAY.total_seconds()).sum()).collect().item())


def _lasting(labels: pl.DataFrame) -> pl.DataFrame:
    long = pl.col("end") - pl.col("start") >= LASTING
    return labels.filter(pl.col("fault").is_in(SHOWN_FAULTS) & long).unique(maintain_order=True)


def _alerts(part: pl.DataFrame, flagged: NDArray[np.bool_], begin: datetime) -> pl.DataFrame:
    """SERIES, begin: of each run of flags without a pause longer than QUIET."""
    quiet = QUIET // MINUTE
    rows, columns = np.nonzero(flagged)
    new = np.ones(rows.size, np.bool_)
    new[1:] = (rows[1:] != rows[:-1]) | (columns[1:] - columns[:-1] > quiet)
    first = np.zeros(flagged.shape, np.bool_)
    first[rows[new], columns[new]] = True
    return _cells(part, first, begin)


def _cells(part: pl.DataFrame, chosen: NDArray[np.bool_], begin: datetime) -> pl.DataFrame:
    """SERIES, begin (UTC) of each chosen cell; the first column is the minute `begin`."""
    rows, columns = np.nonzero(chosen)
    return (
        part.select(SERIES)[rows]
        .with_columns(pl.Series("begin", columns.astype(np.int64)))
        .with_columns((pl.lit(begin, UTC_MICROSECONDS) + pl.duration(minutes="begin")).alias("begin"))
    )


def _spans_of(labels: pl.DataFrame, series: pl.DataFrame) -> pl.DataFrame:
    """SERIES, begin, end of the series that each label speaks of; one without a metric speaks of the whole device."""
    found = labels.join(series, on="device_id", how="inner", suffix="_own").filter(
        pl.col("metric").is_null() | (pl.col("metric") == pl.col("metric_own"))
    )
    return found.select(
        "device_id",
        pl.col("metric_own").alias("metric"),
        "unit",
        pl.col("start").dt.truncate("1m").alias("begin"),
        pl.col("end"),
    )


def _unexplained(alerts: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    numbered = alerts.with_row_index("alert")
    inside = numbered.join(spans, on=SERIES, how="inner", nulls_equal=True, suffix="_span").filter(
        pl.col("begin").is_between("begin_span", pl.col("end") + AFTER)
    )
    return numbered.join(inside, on="alert", how="anti").drop("alert")


def _labelled_series(
    part: pl.DataFrame, level: Floats, labels: pl.DataFrame, begin: datetime
) -> Iterator[tuple[float, float]]:
    """VUS-PR of the levels and of random scores, for each series with a labelled fault."""
    numbered = part.select(SERIES).with_row_index("row")
    spans = _spans_of(labels, part.select(SERIES)).join(numbered, on=SERIES, nulls_equal=True)
    for (row,), own in spans.sort("row").group_by("row", maintain_order=True):
        truth = np.zeros(level.shape[1], np.bool_)
        for first, last in own.select("begin", "end").iter_rows():
            start = max(int((first - begin) / MINUTE), 0)
            truth[start : max(int((last - begin) / MINUTE) + 1, 0)] = True
        if truth.any() and not truth.all():
            noise = np.random.default_rng(int(row)).random(level.shape[1])
            yield vus_pr(truth, level[row], LOOKBACK // 4), vus_pr(truth, noise, LOOKBACK // 4)
