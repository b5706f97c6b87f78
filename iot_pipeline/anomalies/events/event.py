"""What an anomaly event is: its columns, and when flags are one.

How events are made of flags is `grouping.py`, how they keep their identity `revising.py`, where they lie `store.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.clock import DAY
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
        recovery: without a flag for this long the event is over; flags closer than it are one event.
        least_duration: from its first to its last flag, below which flags are an event only with `open_score`.
        open_score: one flag of this score opens an event at once. It is above 1.0, which keeps one open: a
            signal that moves about the threshold does not open event after event.
    """

    recovery: timedelta
    least_duration: timedelta
    open_score: float = 1.2

    @property
    def reach(self) -> timedelta:
        """How far flags that are no event yet can lie before a flag that makes them one."""
        return self.recovery + self.least_duration


_MINUTES = timedelta(minutes=1)
# What shows in one reading opens at once; what is a state of the signal has to last, and to be gone for longer.
RULES: Mapping[FlagType, EventRules] = {
    FlagType.SPIKE: EventRules(recovery=5 * _MINUTES, least_duration=timedelta(0)),
    FlagType.RANGE: EventRules(recovery=5 * _MINUTES, least_duration=timedelta(0)),
    FlagType.GAP: EventRules(recovery=5 * _MINUTES, least_duration=timedelta(0)),
    FlagType.STUCK: EventRules(recovery=10 * _MINUTES, least_duration=timedelta(0)),
    FlagType.STEP: EventRules(recovery=15 * _MINUTES, least_duration=_MINUTES),
    FlagType.NOISE: EventRules(recovery=15 * _MINUTES, least_duration=_MINUTES),
    FlagType.DRIFT: EventRules(recovery=30 * _MINUTES, least_duration=2 * _MINUTES),
    FlagType.SHAPE: EventRules(recovery=10 * _MINUTES, least_duration=timedelta(0)),
    FlagType.MULTICHANNEL: EventRules(recovery=10 * _MINUTES, least_duration=_MINUTES),
}


def by_type(rule: Callable[[EventRules], timedelta | float], kind: pl.DataType) -> pl.Expr:
    """What `rule` says for the column `type`."""
    values = pl.Series([rule(rules) for rules in RULES.values()], dtype=kind)
    return pl.col("type").replace_strict([name.value for name in RULES], values, return_dtype=kind)


STANDS = pl.col("status") != EventStatus.WITHDRAWN.value
"""Of events: not withdrawn."""

REACH = max(rules.reach for rules in RULES.values())
LONGEST = DAY
"""Events end at midnight UTC, so that those of a day are made of its flags and the `REACH` before it."""


def no_events() -> pl.DataFrame:
    """No rows, all columns."""
    return pl.DataFrame(schema=EVENT_SCHEMA)
