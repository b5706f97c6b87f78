"""What an anomaly event is: its columns, and when flags are one.

How events are made of flags is `grouping.py`, how they keep their identity `revising.py`, where they lie `store.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.pace import MOST_INTERVAL
from iot_pipeline.stats.relations import EVENT_SCHEMA


class EventStatus(StrEnum):
    """Where an event stands."""

    OPEN = "open"  # its recovery window has not passed
    CLOSED = "closed"
    WITHDRAWN = "withdrawn"  # late data, a correction or a new model left nothing of it


KEY = ("device_id", "metric", "unit", "type")
"""What flags have in common that can be one event. The unit may be null."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRules:
    """When flags of one type open an event and when it is over.

    Args:
        recovery: without a flag for this long the event is over; flags closer than it are one event. At least
            `RECOVERY_INTERVALS` of the series' own intervals.
        least_duration: from its first to its last flag, below which flags are an event only with `open_score`. Where
            it is not zero, at least `DURATION_INTERVALS` of the series' own intervals.
        open_score: one flag of this score opens an event at once. It is above 1.0, which keeps one open: a
            signal that moves about the threshold does not open event after event.
    """

    recovery: timedelta
    least_duration: timedelta
    open_score: float = 1.2


RECOVERY_INTERVALS = 2.5
"""One reading may be late or missing and nothing has recovered; `device_slo` calls longer silences gaps."""

DURATION_INTERVALS = 1.5
"""What has to last is flagged in three readings in a row: two alone say nothing about how long it lasted."""

_MINUTES = timedelta(minutes=1)
# What shows in one reading opens at once; what is a state of the signal has to last, and to be gone for longer.
RULES: Mapping[FlagType, EventRules] = {
    FlagType.SPIKE: EventRules(recovery=5 * _MINUTES, least_duration=timedelta(0)),
    FlagType.RANGE: EventRules(recovery=5 * _MINUTES, least_duration=timedelta(0)),
    FlagType.GAP: EventRules(recovery=5 * _MINUTES, least_duration=timedelta(0)),
    FlagType.STUCK: EventRules(recovery=10 * _MINUTES, least_duration=timedelta(0)),
    FlagType.STEP: EventRules(recovery=15 * _MINUTES, least_duration=_MINUTES),
    FlagType.NOISE: EventRules(recovery=15 * _MINUTES, least_duration=_MINUTES),
    # The daily tier flags hours: those that follow each other are one event.
    FlagType.DRIFT: EventRules(recovery=60 * _MINUTES, least_duration=2 * _MINUTES),
    FlagType.SHAPE: EventRules(recovery=60 * _MINUTES, least_duration=timedelta(0)),
    FlagType.MULTICHANNEL: EventRules(recovery=10 * _MINUTES, least_duration=_MINUTES),
}


def recovery() -> pl.Expr:
    """Recovery by the columns `type` and `interval` (how often the series speaks, or null)."""
    return pl.max_horizontal(_by_type(lambda rules: rules.recovery), _intervals(RECOVERY_INTERVALS))


def least_duration() -> pl.Expr:
    """Least duration by the columns `type` and `interval`."""
    of_type = _by_type(lambda rules: rules.least_duration)
    longer = pl.max_horizontal(of_type, _intervals(DURATION_INTERVALS))
    return pl.when(of_type > timedelta(0)).then(longer).otherwise(of_type)


def reach() -> pl.Expr:
    """How far flags that are no event yet can lie before a flag that makes them one, by `type` and `interval`."""
    return recovery() + least_duration()


def open_score() -> pl.Expr:
    """The score at which one flag opens an event, by the column `type`."""
    names, scores = zip(*((name.value, rules.open_score) for name, rules in RULES.items()), strict=True)
    return pl.col("type").replace_strict(names, scores, return_dtype=pl.Float64())


def _by_type(rule: Callable[[EventRules], timedelta]) -> pl.Expr:
    values = pl.Series([rule(rules) for rules in RULES.values()], dtype=pl.Duration("us"))
    return pl.col("type").replace_strict([name.value for name in RULES], values, return_dtype=pl.Duration("us"))


def _intervals(number: float) -> pl.Expr:
    return pl.duration(microseconds=pl.col("interval").dt.total_microseconds() * number)


STANDS = pl.col("status") != EventStatus.WITHDRAWN.value
"""Of events: not withdrawn."""

FARTHEST = max(
    max(rules.recovery, RECOVERY_INTERVALS * MOST_INTERVAL)
    + max(rules.least_duration, DURATION_INTERVALS * MOST_INTERVAL)
    for rules in RULES.values()
)
"""No `reach` is longer."""


def no_events() -> pl.DataFrame:
    """No rows, all columns."""
    return pl.DataFrame(schema=EVENT_SCHEMA)
