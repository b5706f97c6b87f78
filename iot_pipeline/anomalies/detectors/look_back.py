"""Statistics of a fixed number of minutes before each minute, for all series at once.

Only what `device_minute` keeps goes in, never single readings. What is made of it (bands,
thresholds, flags) is in the detectors.

A grid has one row a series and one column a minute. Sums run over the minutes from the oldest
to the newest, one whole grid column range at a time, so that each cell adds the same numbers in
the same order however many minutes are scored together: running totals would be faster and
would leave other rounding errors in a range than in a minute made again alone.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.resolution import Floats, Places, decimal_places, spread_floor
from iot_pipeline.clock import MINUTE

Grid = Floats

EPISODE = 5
"""Minutes that one excursion is given: a fault that shakes a signal for three minutes happened once."""


@dataclass(frozen=True, slots=True)
class LookBack:
    """What was usual before each minute. All arrays: (series, minutes to score).

    Attributes:
        count: readings in the look-back; 0.0 where there are none.
        mean: their mean; 0.0 where there are none.
        variance: their sample variance; 0.0 below two readings.
        places: decimal places the signal is written with, the most that were seen.
        highs: how often the series went far above the mean and came back: see `excursion` of `look_back`.
        lows: how often it went far below.
        rising: the series only went up and did go up: a cumulative register, not a level.
    """

    count: Grid
    mean: Grid
    variance: Grid
    places: Places
    highs: NDArray[np.int16]
    lows: NDArray[np.int16]
    rising: NDArray[np.bool_]


def look_back(
    history: pl.DataFrame,
    *,
    series: int,
    first: datetime,
    minutes: int,
    length: int,
    excursion: float = 3.5,
    relative_floor: float = 1e-6,
) -> LookBack:
    """Combine the `length` minutes before each of `minutes` minutes from `first` on.

    Mean and variance are exact, as if they had been computed from the readings: with n, m and s the
    count, mean and standard deviation of a minute, N = sum n, M = sum n m / N and
    variance = sum((n - 1) s^2 + n (m - M)^2) / (N - 1), the within and the between part of the sum of
    squares (T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance: Analysis
    and Recommendations", The American Statistician 37, 1983, for any number of parts).

    Args:
        history: rows of `device_minute` with a column `series`, 0 to `series` - 1, unique by (series, minute).
        series: number of series.
        first: first minute to score (UTC).
        minutes: number of minutes to score.
        length: number of minutes to look back; the scored minute itself is never part of it.
        excursion: standard deviations from the mean beyond which a reading of the look-back is an excursion;
            what goes on, or comes again within EPISODE minutes, is the same one.
        relative_floor: as of `spread_floor`, for that deviation.

    Returns:
        Arrays of shape (series, minutes). Memory: about 70 bytes x series x (length + minutes).
    """
    width = length + minutes - 1
    rows = history.with_columns(
        ((pl.col("minute") - (first - length * MINUTE)).dt.total_minutes()).alias("column")
    ).filter(pl.col("column").is_between(0, width - 1) & pl.col("mean").is_finite())
    cell = (rows["series"].to_numpy(), rows["column"].to_numpy())

    def grid(name: str) -> Grid:
        filled = np.zeros((series, width))
        filled[cell] = rows[name].fill_null(0.0).to_numpy()
        return filled

    count, mean, oldest, newest = grid("count"), grid("mean"), grid("first"), grid("last")
    lowest, highest = grid("min"), grid("max")
    within = (count - 1.0).clip(0.0) * grid("stddev") ** 2
    places = np.zeros((series, width), np.int8)
    places[cell] = np.max([decimal_places(rows[name].to_numpy()) for name in ("min", "max", "first", "last")], axis=0)
    climbs = np.ones((series, width), np.bool_)
    climbs[cell] = ((rows["min"] == rows["first"]) & (rows["max"] == rows["last"])).to_numpy()

    spans = [slice(lag, lag + minutes) for lag in range(length)]
    total = np.zeros((series, minutes))
    weighted = np.zeros((series, minutes))
    for span in spans:
        total += count[:, span]
        weighted += count[:, span] * mean[:, span]
    centre = weighted / np.maximum(total, 1.0)

    squares = np.zeros((series, minutes))
    finest = np.zeros((series, minutes), np.int8)
    for span in spans:
        squares += within[:, span] + count[:, span] * (mean[:, span] - centre) ** 2
        np.maximum(finest, places[:, span], out=finest)
    variance = squares / np.maximum(total - 1.0, 1.0)

    reach = excursion * np.maximum(np.sqrt(variance), spread_floor(finest, centre, relative_floor))
    present = count > 0
    return LookBack(
        count=total,
        mean=centre,
        variance=variance,
        places=finest,
        highs=_episodes([present[:, span] & (highest[:, span] > centre + reach) for span in spans]),
        lows=_episodes([present[:, span] & (lowest[:, span] < centre - reach) for span in spans]),
        rising=_rising(present, climbs, oldest, newest, spans),
    )


def _episodes(away: list[NDArray[np.bool_]]) -> NDArray[np.int16]:
    """How many excursions there are, from the oldest minute to the newest; none within EPISODE minutes of another."""
    episodes = np.zeros(away[0].shape, np.int16)
    since = np.full(away[0].shape, EPISODE, np.int16)
    for here in away:
        begins = here & (since >= EPISODE)
        episodes += begins
        since = np.where(begins, 1, since + 1).astype(np.int16)
    return episodes


def _rising(
    present: NDArray[np.bool_], climbs: NDArray[np.bool_], oldest: Grid, newest: Grid, spans: list[slice]
) -> NDArray[np.bool_]:
    """Where no minute fell, none began below the end of the one before it, and the whole went up."""
    shape = present[:, spans[0]].shape
    never_fell = np.ones(shape, np.bool_)
    start = np.full(shape, np.inf)
    reached = np.full(shape, -np.inf)
    for span in spans:
        here = present[:, span]
        never_fell &= ~here | (climbs[:, span] & (oldest[:, span] >= reached))
        start = np.where(here & np.isinf(start), oldest[:, span], start)
        reached = np.where(here, newest[:, span], reached)
    return never_fell & (reached > start)
