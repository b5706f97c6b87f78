"""All measures of one detector on labelled rows, as one record.

The measures themselves are in `metrics/`; how rows were scored is not asked here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.evaluation.methods import LEARNING
from iot_pipeline.anomalies.evaluation.metrics import (
    REWARD_LOW_FP,
    STANDARD,
    EventOutcome,
    NabSeries,
    acf_period,
    confusion,
    event_outcome,
    leading,
    nab_score,
    vus_pr,
)
from iot_pipeline.anomalies.evaluation.metrics.events import total
from iot_pipeline.anomalies.evaluation.metrics.pointwise import pooled
from iot_pipeline.anomalies.evaluation.walk import NO_TIME
from iot_pipeline.clock import DAY

QUIET_SHARE = 0.05
"""Of a series: one alert in so much time, where the NAB score is taken of alerts."""

RANDOM_SEED = 5
LEVELS = 80
MOST_TIME_IN_ALARM = 0.015


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """How right scores and flags were. Shares are 0 to 1; NaN where there is nothing to divide by.

    Attributes:
        series: how many series.
        readings: rows that were scored.
        device_days: time that was scored.
        base_rate: share of the rows within events: the least that VUS-PR comes to.
        vus_pr: mean over the series with events.
        vus_pr_random: the same of random scores.
        nab: NAB standard score of the scores as they are, one best threshold for all series.
        nab_alerts: the same of alerts: a row counts where its score exceeds all of 5 % of the series before it.
        nab_low_fp: as nab_alerts, false ones twice as dear.
        events: events in the rows that were scored.
        found: events in which an alert began.
        recall: share of these.
        delay_s: median seconds from the begin of an event to its first alert.
        false_per_day: false alerts per device-day.
        time_in_alarm: share of all rows with a flag.
        clean_time_in_alarm: share of the rows outside of events with a flag.
        f1: of rows.
        far: false alarm rate of rows.
        mar: missing alarm rate of rows.
        recall_at_budget: recall with the best one threshold at which false alerts and time in alarm are within
            bounds, chosen on these very rows: what the order of scores would allow, and the way to compare baselines.
    """

    series: int
    readings: int
    device_days: float
    base_rate: float
    vus_pr: float
    vus_pr_random: float
    nab: float
    nab_alerts: float
    nab_low_fp: float
    events: int
    found: int
    recall: float
    delay_s: float
    false_per_day: float
    time_in_alarm: float
    clean_time_in_alarm: float
    f1: float
    far: float
    mar: float
    recall_at_budget: float


@dataclass(frozen=True, slots=True)
class _Series:
    """One series in order of time; `since` is the first row that was scored."""

    label: NDArray[np.bool_]
    score: NDArray[np.float64]
    flag: NDArray[np.bool_]
    values: NDArray[np.float64]
    step: timedelta
    since: int

    @property
    def rows_per_day(self) -> float:
        return DAY / self.step

    def outcome(self, flag: NDArray[np.bool_]) -> EventOutcome:
        """Events by the onset rule, delays in seconds."""
        found = event_outcome(self.label[self.since :], flag[self.since :], rows_per_day=self.rows_per_day)
        return _in_seconds(found, self.step)


def measure(
    rows: pl.DataFrame, *, budget: float = 0.1, value: str | None = "value", at_budget: bool = False
) -> Measures:
    """Judge scored rows.

    Args:
        rows: what `walk.walk_forward` gave, with label (Boolean; null counts as false) and the column `value`; rows
            that were not scored yet count for NAB only, which has a probation of its own.
        budget: false alerts a device-day allowed for `recall_at_budget`.
        value: the column by whose period tolerances of VUS-PR are taken; of several channels the first, by convention.
        at_budget: also find `recall_at_budget`, which takes longest.
    """
    every = list(_series(rows, value))
    scored = [one for one in every if one.since < one.label.size]
    outcome = total(one.outcome(one.flag) for one in scored)
    counts = pooled(confusion(one.label[one.since :], one.flag[one.since :]) for one in scored)
    raw = [NabSeries(one.label, one.score) for one in every]
    alerts = [NabSeries(one.label, leading(one.score, math.ceil(QUIET_SHARE * one.score.size))) for one in every]
    vus, vus_random = _vus(scored)
    return Measures(
        series=len(every),
        readings=outcome.rows,
        device_days=outcome.days,
        base_rate=counts.base_rate,
        vus_pr=vus,
        vus_pr_random=vus_random,
        nab=nab_score(raw, STANDARD).score,
        nab_alerts=nab_score(alerts, STANDARD).score,
        nab_low_fp=nab_score(alerts, REWARD_LOW_FP).score,
        events=outcome.events,
        found=outcome.found,
        recall=outcome.recall,
        delay_s=outcome.median_delay,
        false_per_day=outcome.false_per_day,
        time_in_alarm=outcome.time_in_alarm,
        clean_time_in_alarm=outcome.clean_time_in_alarm,
        f1=counts.f1,
        far=counts.false_alarm_rate,
        mar=counts.missing_alarm_rate,
        recall_at_budget=_recall_at_budget(scored, budget) if at_budget else math.nan,
    )


def recall_by_kind(rows: pl.DataFrame, kind: str = "fault") -> pl.DataFrame:
    """Events found by kind, where a column names the kind of each event.

    Returns:
        One row a kind: its name, events, found, recall.
    """
    found = []
    for (name,), part in rows.partition_by(kind, as_dict=True).items():
        if name is None:
            continue
        series = rows.filter(pl.col("series").is_in(part["series"].unique().implode()))
        outcome = total(one.outcome(one.flag) for one in _series(series, None))
        found.append({kind: str(name), "events": outcome.events, "found": outcome.found, "recall": outcome.recall})
    schema = {kind: pl.String, "events": pl.Int64, "found": pl.Int64, "recall": pl.Float64}
    return pl.DataFrame(found, schema=schema).sort(kind)


def _series(rows: pl.DataFrame, value: str | None) -> Iterator[_Series]:
    for part in rows.filter(pl.col("ts").is_not_null()).partition_by("series", maintain_order=True):
        ordered = part.sort("ts", maintain_order=True)
        step = ordered["ts"].unique().sort().diff().median()
        waiting = ordered["reason"].is_in([LEARNING, NO_TIME]).fill_null(value=False)
        values = ordered[value].cast(pl.Float64, strict=False) if value is not None else ordered["score"]
        yield _Series(
            label=ordered["label"].fill_null(value=False).to_numpy(),
            score=ordered["score"].to_numpy(),
            flag=ordered["flag"].to_numpy(),
            values=values.fill_null(math.nan).to_numpy(),
            step=step if isinstance(step, timedelta) and step > timedelta(0) else timedelta(seconds=1),
            since=int(waiting.sum()),
        )


def _vus(every: list[_Series]) -> tuple[float, float]:
    """Means over the series with events, of their scores and of random ones."""
    random = np.random.default_rng(RANDOM_SEED)
    found = []
    for one in every:
        label = one.label[one.since :]
        if label.any():
            window = acf_period(one.values)
            found.append(
                (vus_pr(label, one.score[one.since :], window), vus_pr(label, random.random(label.size), window))
            )
    if not found:
        return math.nan, math.nan
    ours, chance = np.mean(found, axis=0).tolist()
    return ours, chance


def _recall_at_budget(every: list[_Series], budget: float) -> float:
    if not every:
        return math.nan
    scores = np.concatenate([one.score[one.since :] for one in every])
    # Dense where thresholds belong: from a row in ten down to single rows.
    shares = np.logspace(-1, -math.log10(max(scores.size, 11)), LEVELS)
    recalls = [math.nan if not any(one.label.any() for one in every) else 0.0]
    for level in np.unique(np.quantile(scores, 1 - shares)):
        outcome = total(one.outcome((one.score >= level) & (one.score > 0)) for one in every)
        if outcome.false_per_day <= budget and outcome.time_in_alarm <= MOST_TIME_IN_ALARM:
            recalls.append(outcome.recall)
    return max(recalls)


def _in_seconds(outcome: EventOutcome, step: timedelta) -> EventOutcome:
    seconds = tuple(delay * step.total_seconds() for delay in outcome.delays)
    return EventOutcome(
        outcome.events,
        outcome.found,
        outcome.alerts,
        outcome.false,
        seconds,
        outcome.days,
        outcome.rows,
        outcome.flagged,
        outcome.clean_rows,
        outcome.clean_flagged,
    )
