"""How grave an event is: how far its threshold was passed, and for how long.

What the scores of single flags are called is `anomalies/severity.py`.
"""

from datetime import timedelta

import polars as pl

from iot_pipeline.anomalies.severity import Severity, severity_expression

# What lasts is graver than what passes: from these durations on the score counts so many times.
LONGER = ((timedelta(hours=1), 2.0), (timedelta(minutes=10), 1.5))


def event_severity(score: pl.Expr, duration: pl.Expr) -> pl.Expr:
    """Severity of an event by its highest score (1.0 is the threshold) and the time from first to last flag."""
    weight = pl.lit(1.0)
    for least, factor in reversed(LONGER):
        weight = pl.when(duration >= least).then(pl.lit(factor)).otherwise(weight)
    return severity_expression(score * weight)


def at_least(least: Severity) -> list[str]:
    """The names of the severities that are `least` or graver."""
    order = list(Severity)
    return [severity.value for severity in order[order.index(least) :]]
