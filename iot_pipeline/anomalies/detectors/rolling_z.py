"""Rolling z-score: is a reading far from the mean of the half hour before its minute?

The statistics of the half hour are in `look_back.py`. Blind to what lasts longer than the
look-back (drift, a signal that is stuck) and to what is usual at this hour of the week.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.base import ByItself, flags_of, no_flags, shown, shown_unit, version_of
from iot_pipeline.anomalies.detectors.look_back import LookBack, Moments
from iot_pipeline.anomalies.detectors.minute_grids import EXTREMES, MinuteGrids
from iot_pipeline.anomalies.detectors.numbering import SERIES, numbers_of_runs
from iot_pipeline.anomalies.detectors.resolution import CONTINUOUS, Floats, decimal_places, spread_floor
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.clock import MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingZ(ByItself):
    """Flags readings further than `threshold` standard deviations from the mean of the look-back.

    Args:
        minutes: length of the look-back; longer is steadier, but lets the daily shape in.
        threshold: for a long look-back of Gaussian noise, in standard deviations. Shorter ones get
            a wider band, so that noise is flagged equally seldom: see `band_factor`.
        min_support: readings in the look-back below which nothing is flagged; near it the band is so
            wide that only the grossest outliers are.
        habit: separate excursions of the look-back on the side of a reading (each beyond `excursion` standard
            deviations) from which they are the habit of the series and are not flagged: the
            inrush of a motor that starts every ten minutes.
        excursion: see `habit`; far enough out that half an hour of Gaussian noise at one reading a
            second has three of them in less than one case of a hundred.
        relative_floor: smallest believable standard deviation as a share of the level.
        cumulative: metrics known to be running totals. A series that only rose in the look-back
            counts as one too. Neither is scored: the level of a total says nothing, and one
            that stands still for an hour and then counts on is no anomaly. Their speed
            is a metric of its own (`rate`), and that is scored.
    """

    minutes: int = 30
    threshold: float = 6.0
    min_support: int = 10
    habit: int = 3
    excursion: float = 3.5
    relative_floor: float = 1e-6
    cumulative: tuple[str, ...] = ("register",)

    def __post_init__(self) -> None:
        if self.minutes < 1 or not 0 < self.threshold <= 50 or self.min_support < 10 or self.habit < 1:
            raise ValueError(
                f"{self}: minutes and habit are 1 or more, threshold is in (0, 50], min_support 10 or more"
            )

    @property
    def name(self) -> str:
        """Stable name of the rule."""
        return "rolling_z"

    @property
    def version(self) -> str:
        """Revision of this code and digest of the parameters."""
        return version_of(1, asdict(self))

    @property
    def lookback(self) -> timedelta:
        """The half hour (or whatever `minutes` says) before the minute."""
        return self.minutes * MINUTE

    @property
    def moments_lookback(self) -> timedelta:
        """The same."""
        return self.lookback

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """Flag readings outside mean +- threshold x standard deviation of their look-back."""
        grids = window.history()
        if grids.series.is_empty():
            return no_flags()
        usual = self._before(window, grids).moments()
        narrowest = self._narrowest(usual)
        readings = window.numbers(self._suspects(window, grids, usual, narrowest))
        readings = readings.filter(~pl.col("metric").is_in(self.cumulative))
        series = numbers_of_runs(readings.select(SERIES), grids.directory)
        minute = (readings["minute"] - window.first).dt.total_minutes().to_numpy()
        value = readings["value"].to_numpy()
        # One that is not known (-1) is looked up like any other and left out then.
        away = np.abs(value - usual.mean[minute, series]) >= narrowest[minute, series]
        far = np.flatnonzero(away & (series >= 0))
        if not far.size:
            return no_flags()
        asked, column = np.unique(series[far], return_inverse=True)
        extremes = grids.of_series(grids.series[asked], *EXTREMES)
        habits = self._before(window, extremes).habits(
            usual.of(asked), excursion=self.excursion, relative_floor=self.relative_floor
        )
        readings, value, cell = readings[far], value[far], (minute[far], column)
        count, mean, variance = (part[minute[far], series[far]] for part in (usual.count, usual.mean, usual.variance))
        places = np.maximum(habits.places[cell], decimal_places(value))
        deviation = np.maximum(np.sqrt(variance), spread_floor(places, mean, self.relative_floor))
        half_band = deviation * band_factor(self.threshold, count)
        score = np.abs(value - mean) / half_band
        excursions = np.where(value > mean, habits.highs[cell], habits.lows[cell])
        flagged = (score >= 1.0) & (excursions < self.habit) & ~habits.rising[cell]
        return flags_of(
            self,
            readings.with_columns(
                pl.Series("score", score),
                pl.Series("expected_low", mean - half_band),
                pl.Series("expected_high", mean + half_band),
                pl.Series("z", np.abs(value - mean) / deviation),
                pl.Series("support", count.astype(np.int64)),
            ).filter(pl.Series(flagged)),
            self._reason(),
        )

    def _before(self, window: ScoringWindow, grids: MinuteGrids) -> LookBack:
        minutes = round((window.last - window.first) / MINUTE) + 1
        return LookBack(grids=grids, first=window.first, minutes=minutes, length=self.minutes)

    def _narrowest(self, usual: Moments) -> Floats:
        """Half of the narrowest band that each series can have, infinite with too few readings: (minutes, series).

        The resolution can only widen it, and costs most; nearly all readings end within.
        """
        deviation = np.maximum(np.sqrt(usual.variance), spread_floor(CONTINUOUS, usual.mean, self.relative_floor))
        narrowest = deviation * band_factor(self.threshold, np.maximum(usual.count, self.min_support))
        narrowest[usual.count < self.min_support] = np.inf
        return narrowest

    def _suspects(
        self, window: ScoringWindow, grids: MinuteGrids, usual: Moments, narrowest: Floats
    ) -> pl.Series | None:
        """Devices of which a reading is outside of the narrowest band, by their statistics; None where all are there.

        No reading of a minute is further from anything than its lowest or its highest.
        """
        if window.asked is None:
            return None
        rows = window.minutes.filter(pl.col("minute").is_between(window.first, window.last))
        series = grids.directory.numbers(rows.select(SERIES))
        known = series >= 0
        rows, series = rows.filter(pl.Series(known)), series[known]
        minute = (rows["minute"] - window.first).dt.total_minutes().to_numpy()
        mean = usual.mean[minute, series]
        furthest = np.maximum(*(np.abs(rows[name].to_numpy() - mean) for name in ("min", "max")))
        return rows["device_id"].filter(pl.Series(furthest >= narrowest[minute, series]))

    def _reason(self) -> pl.Expr:
        """`95 °C is above the usual 19.1 to 20.9 °C: 250 standard deviations from the mean of …`."""
        side = pl.when(pl.col("value") > pl.col("expected_high")).then(pl.lit("above")).otherwise(pl.lit("below"))
        return pl.format(
            "{}{} is {} the usual {} to {}{}: {} standard deviations from the mean of {} readings "
            "in the {} minutes before",
            shown("value"),
            shown_unit(),
            side,
            shown("expected_low"),
            shown("expected_high"),
            shown_unit(),
            shown("z", 3),
            "support",
            pl.lit(self.minutes),
        )


def band_factor(threshold: float, count: Floats) -> Floats:
    """Half width of the band in estimated standard deviations, for `count` readings in the look-back.

    Mean and deviation of few readings are uncertain, so (value - mean) / deviation follows Student's t
    with count - 1 degrees of freedom, widened by sqrt(1 + 1 / count) as the value is a new one. This is the t that is
    as improbable as `threshold` is for a Gaussian, by D. L. Wallace's approximation ("Bounds on Normal
    Approximations to Student's and the Chi-Square Distributions", Ann. Math. Statist. 30, 1959):
    z = (8 f + 1) / (8 f + 3) sqrt(f ln(1 + t^2 / f)). For threshold 6: 26 at 10 readings, 8.7 at 30, 6.3 at 180.
    """
    freedom = count - 1.0
    z = threshold * (8.0 * freedom + 3.0) / (8.0 * freedom + 1.0)
    student = np.sqrt(freedom * np.expm1(z**2 / freedom))
    return student * np.sqrt(1.0 + 1.0 / count)
