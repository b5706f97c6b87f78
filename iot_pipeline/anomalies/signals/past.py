"""Events of a device against its own last ones: starts, strokes, stays in a state.

Series that come by the clock are elsewhere (`states.py`, and the engine); here one row is one event.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.resolution import decimal_places, spread_floor
from iot_pipeline.anomalies.detectors.rolling_z import band_factor

Array = NDArray[np.float64]

GAUSSIAN = 1.4826
"""Standard deviation of Gaussian noise over its median absolute deviation."""

LEAST = 10
"""Earlier events below which nothing is called unusual."""

THRESHOLD = 6.0
"""Robust standard deviations for a long past; a short one gets a wider band (`rolling_z.band_factor`)."""

RELATIVE_FLOOR = 1e-3
"""Least believable spread as a share of the level: mechanics do not repeat to a thousandth."""

CELLS = 4_000_000


def against_past(
    events: pl.DataFrame, *, by: Sequence[str], value: str, last: int, ts: str = "ts", least: int = LEAST
) -> pl.DataFrame:
    """Each event against the median of the `last` events of its series before it.

    The spread is the median absolute deviation from that median, times 1.4826, and never less than half a step of the
    resolution: of starts and strokes, one in a past of twenty may be bad and must not hide the next. The score is
    |value - median| over the half band of `rolling_z.band_factor`, so that few events give a wide band.

    Args:
        events: columns `by`, `ts` and `value`, in any order.
        by: what identifies a series.
        value: name of the column to compare.
        last: how many earlier events count: 20 starts, 50 strokes.
        ts: name of the column with the instant.
        least: earlier events from which a score is given.

    Returns:
        `events` sorted by `by` and `ts`, with support (earlier events that had a value), usual (their median), spread,
        score (1.0 is the threshold; 0 while support is below `least` or the value is missing), expected_low,
        expected_high (null where there is no score).
    """
    events = events.sort(*by, ts, maintain_order=True)
    series = _numbered(events, by)
    values = events[value].cast(pl.Float64).fill_null(np.nan).to_numpy()
    parts = [usual_of(earlier) for _, earlier in earlier_of(values, series, last)]
    support, usual, spread = (np.concatenate([part[i] for part in parts]) if parts else np.zeros(0) for i in range(3))
    found = compared(values, support, usual, spread, least=least)
    return events.with_columns(
        pl.Series("support", support.astype(np.int64)),
        pl.Series("usual", usual).fill_nan(None),
        pl.Series("spread", found.spread).fill_nan(None),
        pl.Series("score", found.score),
        pl.Series("expected_low", found.low).fill_nan(None),
        pl.Series("expected_high", found.high).fill_nan(None),
    )


@dataclass(frozen=True, slots=True)
class Compared:
    """Values against what was usual. Arrays of one number a value; all but the score are NaN where nothing is known.

    Attributes:
        score: 1.0 is the threshold; 0.0 where nothing is known.
        spread: the one believed, in the unit of the values.
        low: lower end of the expected band, in the unit of the values.
        high: upper end.
    """

    score: Array
    spread: Array
    low: Array
    high: Array


def compared(
    values: Array,
    support: Array,
    usual: Array,
    spread: Array,
    *,
    least: int = LEAST,
    threshold: float = THRESHOLD,
    relative_floor: float = RELATIVE_FLOOR,
) -> Compared:
    """Distance of each value from what was usual, over the half band of `rolling_z.band_factor`.

    Args:
        values: to compare; NaN gets no score.
        support: how many earlier values `usual` and `spread` are made of.
        usual: their median.
        spread: around it; never believed to be less than `resolution.spread_floor`.
        least: support below which nothing is known.
        threshold: robust standard deviations for a long past.
        relative_floor: least believable spread as a share of the level.
    """
    known = (support >= least) & np.isfinite(values) & np.isfinite(usual) & np.isfinite(spread)
    value, level, width = (np.where(known, array, 0.0) for array in (values, usual, spread))
    width = np.maximum(width, spread_floor(decimal_places(value), level, relative_floor))
    half = width * band_factor(threshold, np.maximum(support, least))
    score = np.where(known, np.abs(value - level) / half, 0.0)
    width, low, high = (np.where(known, array, np.nan) for array in (width, level - half, level + half))
    return Compared(score, width, low, high)


def slope_per_hundred(
    events: pl.DataFrame, *, by: Sequence[str], value: str, last: int = 50, ts: str = "ts", least: int = LEAST
) -> pl.DataFrame:
    """Slope of the line of least squares through each event and those before it, `last` in all, per hundred events.

    Wear counts strokes, not days: a valve that rests does not age. Adds slope_per_hundred (unit of the value; null
    below `least` events with a value) to `events`, sorted by `by` and `ts`.
    """
    events = events.sort(*by, ts, maintain_order=True)
    series = _numbered(events, by)
    values = events[value].cast(pl.Float64).fill_null(np.nan).to_numpy()
    slopes = []
    for rows, earlier in earlier_of(values, series, last - 1):
        window = np.concatenate([earlier, values[rows, None]], axis=1)
        known = np.isfinite(window)
        count = np.maximum(known.sum(axis=1, keepdims=True), 1)
        place = np.broadcast_to(np.arange(last, dtype=np.float64), window.shape)
        x = np.where(known, place - np.where(known, place, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
        y = np.where(known, window - np.where(known, window, 0.0).sum(axis=1, keepdims=True) / count, 0.0)
        enough = (count[:, 0] >= least) & np.isfinite(values[rows])
        slopes.append(np.where(enough, 100.0 * (x * y).sum(axis=1) / np.maximum((x * x).sum(axis=1), 1.0), np.nan))
    found = np.concatenate(slopes) if slopes else np.zeros(0)
    return events.with_columns(pl.Series("slope_per_hundred", found).fill_nan(None))


def earlier_of(values: Array, series: NDArray[np.int64], last: int) -> Iterator[tuple[slice, Array]]:
    """For slices of rows: the `last` values before each row within its series, oldest first; NaN where there is none.

    Args:
        values: sorted by series and time.
        series: dense number of the series of each row.
        last: how many to look back.
    """
    chunk = max(CELLS // max(last, 1), 1)
    for begin in range(0, len(values), chunk):
        rows = np.arange(begin, min(begin + chunk, len(values)))
        before = rows[:, None] - np.arange(last, 0, -1)
        same = (before >= 0) & (series[np.maximum(before, 0)] == series[rows][:, None])
        yield slice(begin, begin + len(rows)), np.where(same, values[np.maximum(before, 0)], np.nan)


def _numbered(events: pl.DataFrame, by: Sequence[str]) -> NDArray[np.int64]:
    """Dense number of the series of each row of sorted events."""
    return events.select(pl.struct(by).rle_id().alias("series"))["series"].to_numpy().astype(np.int64)


def usual_of(earlier: Array) -> tuple[Array, Array, Array]:
    """Of each row of (events, earlier values): how many there are, their median, and the spread around it."""
    usual = middle(earlier)
    spread = GAUSSIAN * middle(np.abs(earlier - usual[:, None]))
    return np.isfinite(earlier).sum(axis=1).astype(np.float64), usual, spread


def middle(values: Array) -> Array:
    """Median of each row without its NaNs; NaN for a row of nothing else, and no warning."""
    if not values.shape[1]:
        return np.full(len(values), np.nan)
    ordered = np.sort(values, axis=1)
    count = np.isfinite(values).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, values.shape[1] - 1)
    return np.where(count > 0, (ordered[rows, low] + ordered[rows, high]) / 2, np.nan)
