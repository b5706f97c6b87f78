"""Where the threshold of a score lies, so that alerts stay within a budget.

Only scores of the past that the model had not seen go in (see `ensemble.py`); what the scores mean is elsewhere.
"""

from datetime import timedelta

import numpy as np

from iot_pipeline.anomalies.channels.means import Array
from iot_pipeline.clock import DAY

BODY = 0.9
"""Share of the scores that is no tail, at least; of long histories only so much is tail that it has EXCESSES."""

EXCESSES = 40
"""Independent scores that are enough to tell how fast a tail falls."""

GAUSSIAN_EXCESS = 0.12
"""Mean excess over the BODY quantile as a share of it, of the largest of some eight Gaussian deviations."""

PRIOR_EXCESSES = 4
"""Independent excesses that GAUSSIAN_EXCESS counts for: as many as four hundred columns in means of ten have."""

COUNTABLE = 3.0
"""Alerts that the budget must allow within the history for them to be counted; below that the tail tells."""


def threshold(score: Array, *, budget: float, step: timedelta, independent: int) -> Array:
    """The level that scores exceed about `budget` times a day.

    Where the budget allows at least COUNTABLE alerts within the history, it is the level above which there were as
    many. Else the tail above a high quantile u is taken for exponential, and the level is
    u + mean excess x ln(share of the tail / p), with p the wanted probability of an independent column: peaks over
    a threshold (A. Siffer et al., "Anomaly Detection in Streams with Extreme Value Theory", KDD 2017) with shape 0,
    as forty excesses do not tell a shape. Those of a short history hardly tell a mean either, so it is drawn towards
    that of Gaussian deviations. Four hundred seconds thus give a level for one alert in ten days, if days are like
    these seconds.

    Args:
        score: (devices, columns); NaN where there is none.
        budget: alerts a device-day, above 0.
        step: time from column to column.
        independent: columns from one independent score to the next.

    Returns:
        (devices,); infinite where there is no score.
    """
    if budget <= 0:
        raise ValueError(f"budget is {budget} alerts a device-day: it must be above 0")
    return np.array([_threshold(row[np.isfinite(row)], budget, step, independent) for row in score], np.float64)


def _threshold(score: Array, budget: float, step: timedelta, independent: int) -> float:
    if not score.size:
        return np.inf
    allowed = budget * score.size * step / DAY
    if allowed >= COUNTABLE:
        return max(counted(score, int(allowed), independent), np.finfo(np.float64).tiny)
    tail = min(1 - BODY, EXCESSES * independent / score.size)
    body = float(np.quantile(score, 1 - tail))
    excess = score[score > body] - body
    wanted = budget * independent * step / DAY
    seen = tail * score.size / independent
    mean = float(excess.mean()) if excess.size else 0.0
    mean = (seen * mean + PRIOR_EXCESSES * GAUSSIAN_EXCESS * body) / (seen + PRIOR_EXCESSES)
    return max(body + mean * max(float(np.log(tail / wanted)), 0.0), np.finfo(np.float64).tiny)


def counted(score: Array, alerts: int, independent: int) -> float:
    """The level above which one series (columns) has at most `alerts` alerts, each of `independent` columns."""
    whole = np.full(-(-len(score) // independent) * independent, -np.inf)
    whole[: len(score)] = score
    peaks = np.sort(whole.reshape(-1, independent).max(axis=1))[::-1]
    return float(peaks[min(alerts, len(peaks) - 1)])
