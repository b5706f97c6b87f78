"""Counting row by row: F1, false alarm rate and missing alarm rate as the SKAB leaderboard counts them.

Each row counts alone and nothing is adjusted by events: "point-adjusted" F1, which many papers show, gives
random flags nearly full marks.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True, slots=True)
class Confusion:
    """Rows by what they are and what was said of them. Rates are 0 to 1; NaN where there is nothing to divide by."""

    true_positive: int
    false_positive: int
    true_negative: int
    false_negative: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall: tp / (tp + (fp + fn) / 2)."""
        return _ratio(self.true_positive, self.true_positive + (self.false_positive + self.false_negative) / 2)

    @property
    def false_alarm_rate(self) -> float:
        """FAR: share of the rows outside of events that are flagged."""
        return _ratio(self.false_positive, self.false_positive + self.true_negative)

    @property
    def missing_alarm_rate(self) -> float:
        """MAR: share of the rows inside events that are not flagged."""
        return _ratio(self.false_negative, self.false_negative + self.true_positive)

    @property
    def base_rate(self) -> float:
        """Share of rows inside events: what a random detector's precision is."""
        positive = self.true_positive + self.false_negative
        return _ratio(positive, positive + self.false_positive + self.true_negative)


def confusion(label: ArrayLike, flag: ArrayLike) -> Confusion:
    """Count rows; order does not matter, so that series may stand one after the other."""
    labels, flags = np.asarray(label) > 0, np.asarray(flag) > 0
    if labels.shape != flags.shape:
        raise ValueError(f"{labels.shape} labels and {flags.shape} flags cannot be compared")
    return Confusion(
        true_positive=int((labels & flags).sum()),
        false_positive=int((~labels & flags).sum()),
        true_negative=int((~labels & ~flags).sum()),
        false_negative=int((labels & ~flags).sum()),
    )


def pooled(counts: Iterable[Confusion]) -> Confusion:
    """The rows of many series as those of one."""
    every = list(counts)
    return Confusion(
        true_positive=sum(one.true_positive for one in every),
        false_positive=sum(one.false_positive for one in every),
        true_negative=sum(one.true_negative for one in every),
        false_negative=sum(one.false_negative for one in every),
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
