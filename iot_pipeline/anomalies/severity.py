"""How loudly a flag is told, by its score alone: the one place where scores become words.

A score of 1.0 is the detector's threshold. How long something lasts and what it concerns belong to events.
"""

from enum import StrEnum

import polars as pl


class Severity(StrEnum):
    """How much attention something unusual asks for; the order of the members is that of urgency."""

    notice = "notice"
    warning = "warning"
    critical = "critical"

    @property
    def least_score(self) -> float:
        """The smallest score of this severity."""
        return _LEAST[self]


_LEAST = {Severity.notice: 1.0, Severity.warning: 2.0, Severity.critical: 4.0}


def severity_of(score: float) -> Severity:
    """The severity of a score; one that is no number is told no louder than needed."""
    return next((one for one in reversed(Severity) if score >= one.least_score), Severity.notice)


def severity_expression(score: pl.Expr) -> pl.Expr:
    """The same for a column of scores: the names of the severities as text."""
    found = pl.lit(Severity.notice.value)
    for severity in Severity:
        found = (
            pl.when(score.is_not_nan() & (score >= severity.least_score)).then(pl.lit(severity.value)).otherwise(found)
        )
    return found
