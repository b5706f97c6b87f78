"""Statistics of a fixed number of minutes before each minute, for all series at once.

Only what `device_minute` keeps goes in, never single readings. What is made of it (bands,
thresholds, flags) is in the detectors.

Arrays have one row a minute and one column a series. Sums run over the minutes from the oldest
to the newest, one whole range of rows at a time, so that each cell adds the same numbers in
the same order however many minutes are scored together: running totals would be faster and
would leave other rounding errors in a range than in a minute made again alone.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.minute_grids import MinuteGrids
from iot_pipeline.anomalies.detectors.numbering import Numbers
from iot_pipeline.anomalies.detectors.resolution import Floats, Places, decimal_places, spread_floor
from iot_pipeline.anomalies.side_by_side import in_blocks
from iot_pipeline.clock import MINUTE

Grid = Floats

SERIES_AT_ONCE = 16_384
"""Series whose minutes are added up together: what that takes stays in the processor's cache, and little memory."""

EPISODE = 5
"""Minutes that one excursion is given: a fault that shakes a signal for three minutes happened once."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Of the readings before each minute. All arrays: (minutes to score, series).

    Attributes:
        count: readings in the look-back; 0.0 where there are none.
        mean: their mean; 0.0 where there are none.
        variance: their sample variance; 0.0 below two readings.
    """

    count: Grid
    mean: Grid
    variance: Grid

    def of(self, series: Numbers) -> "Moments":
        """Of some series."""
        return Moments(self.count[:, series], self.mean[:, series], self.variance[:, series])


@dataclass(frozen=True, slots=True)
class Habits:
    """How series used to behave before each minute. All arrays: (minutes to score, series).

    Attributes:
        places: decimal places the signal is written with, the most that were seen.
        highs: how often the series went far above the mean and came back: see `excursion` of `habits`.
        lows: how often it went far below.
        rising: the series only went up and did go up: a cumulative register, not a level.
    """

    places: Places
    highs: NDArray[np.int16]
    lows: NDArray[np.int16]
    rising: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LookBack:
    """The minutes before each minute to score.

    Args:
        grids: statistics by minute.
        first: first minute to score (UTC).
        minutes: number of minutes to score.
        length: number of minutes to look back; the scored minute itself is never part of it.
    """

    grids: MinuteGrids
    first: datetime
    minutes: int
    length: int

    def moments(self) -> Moments:
        """Count, mean and variance of all series.

        Mean and variance are exact, as if they had been computed from the readings: with n, m and s the
        count, mean and standard deviation of a minute, N = sum n, M = sum n m / N and
        variance = sum((n - 1) s^2 + n (m - M)^2) / (N - 1), the within and the between part of the sum of
        squares (T. F. Chan, G. H. Golub, R. J. LeVeque, "Algorithms for Computing the Sample Variance: Analysis
        and Recommendations", The American Statistician 37, 1983, for any number of parts).
        """
        counts, means, deviations = (self._rows(name) for name in ("count", "mean", "stddev"))
        usual = Moments(*(np.empty((self.minutes, counts.shape[1])) for _ in range(3)))

        def add_up(part: slice) -> None:
            count, mean, deviation = (_zero_if_missing(rows[:, part]) for rows in (counts, means, deviations))
            within = (count - 1.0).clip(0.0) * deviation**2
            shape = (self.minutes, count.shape[1])
            total, weighted, squares = np.zeros(shape), np.zeros(shape), np.zeros(shape)
            for span in self._spans():
                total += count[span]
                weighted += count[span] * mean[span]
            centre = weighted / np.maximum(total, 1.0)
            for span in self._spans():
                squares += within[span] + count[span] * (mean[span] - centre) ** 2
            usual.count[:, part], usual.mean[:, part] = total, centre
            usual.variance[:, part] = squares / np.maximum(total - 1.0, 1.0)

        in_blocks(add_up, counts.shape[1], SERIES_AT_ONCE)
        return usual

    def habits(self, usual: Moments, *, excursion: float, relative_floor: float) -> Habits:
        """What all series used to do.

        Args:
            usual: of these series.
            excursion: standard deviations from the mean beyond which a reading of the look-back is an excursion;
                what goes on, or comes again within EPISODE minutes, is the same one.
            relative_floor: as of `spread_floor`, for that deviation.
        """
        oldest, newest, lowest, highest = (self._rows(name) for name in ("first", "last", "min", "max"))
        mean, variance = usual.mean, usual.variance
        places = np.max([decimal_places(part) for part in (lowest, highest, oldest, newest)], axis=0)
        climbs = (lowest == oldest) & (highest == newest)
        finest = np.zeros(mean.shape, np.int8)
        for span in self._spans():
            np.maximum(finest, places[span], out=finest)
        reach = excursion * np.maximum(np.sqrt(variance), spread_floor(finest, mean, relative_floor))
        # Where nothing was read all are NaN, and nothing compares.
        return Habits(
            places=finest,
            highs=_episodes([highest[span] > mean + reach for span in self._spans()]),
            lows=_episodes([lowest[span] < mean - reach for span in self._spans()]),
            rising=_rising(np.isfinite(lowest), climbs, oldest, newest, self._spans()),
        )

    def _rows(self, name: str) -> Grid:
        return self.grids.between(name, self.first - self.length * MINUTE, self.first + (self.minutes - 2) * MINUTE)

    def _spans(self) -> list[slice]:
        return [slice(lag, lag + self.minutes) for lag in range(self.length)]


def _zero_if_missing(values: Grid) -> Grid:
    return np.where(np.isnan(values), 0.0, values)


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
    shape = present[spans[0]].shape
    never_fell = np.ones(shape, np.bool_)
    start = np.full(shape, np.inf)
    reached = np.full(shape, -np.inf)
    for span in spans:
        here = present[span]
        never_fell &= ~here | (climbs[span] & (oldest[span] >= reached))
        start = np.where(here & np.isinf(start), oldest[span], start)
        reached = np.where(here, newest[span], reached)
    return never_fell & (reached > start)
