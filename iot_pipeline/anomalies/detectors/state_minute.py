"""The level of a minute against the minutes before it in the same state: what single readings hide.

Single readings are compared in `by_state.py`, and with what was learned over days in `models/state_level.py`.
"""

from dataclasses import asdict, dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.base import ByItself, flags_of, no_flags, shown, shown_unit, version_of
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.past import compared, usual_of
from iot_pipeline.anomalies.detectors.rolling_z import RollingZ
from iot_pipeline.anomalies.detectors.told_states import SETTLING, steady_minutes
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.clock import MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class StateMinute(ByItself):
    """Flags minutes, held by one state, whose median lies far from those of earlier minutes in that state.

    The median of a minute, so that neither a lone spike nor a change of state told a second late moves it; of a
    current, times 60 s, it is the charge of an even minute (`signals/integral.py` has the exact one).

    Args:
        minutes: length of the look-back.
        threshold: robust standard deviations of the earlier minutes, for many of them; few get a wider band.
        least: earlier minutes in the state below which nothing is flagged.
        relative_floor: least believable spread as a share of the level.
        cumulative: running totals, which have no level.
    """

    minutes: int = 30
    threshold: float = 6.0
    least: int = 10
    relative_floor: float = 1e-3
    cumulative: tuple[str, ...] = RollingZ().cumulative

    @property
    def name(self) -> str:
        """Stable name of the rule."""
        return "state_minute"

    @property
    def version(self) -> str:
        """Revision of this code and digest of the parameters."""
        return version_of(1, {**asdict(self), "settling": SETTLING})

    @property
    def lookback(self) -> timedelta:
        """The half hour before the minute."""
        return self.minutes * MINUTE

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """One flag a series and minute, at the minute's last reading; `value` is the median of the minute."""
        if window.states.is_empty():
            return no_flags()
        begin = window.first - self.lookback
        held = steady_minutes(window.states)
        rows = (
            window.minutes.filter(
                pl.col("minute").is_between(begin, window.last)
                & pl.col("p50").is_finite().fill_null(value=False)
                & ~pl.col("metric").is_in(self.cumulative)
            )
            .join(held, on=["device_id", "minute"], how="inner")
            .sort(*SERIES, "state", "minute")
            .with_columns(pl.struct(*SERIES, "state").rle_id().alias("series"))
        )
        if rows.is_empty():
            return no_flags()
        columns = round((window.last - begin) / MINUTE) + 1
        grid = np.full((rows["series"].n_unique(), columns), np.nan)
        series = rows["series"].to_numpy()
        column = ((rows["minute"] - begin).dt.total_minutes()).to_numpy()
        grid[series, column] = rows["p50"].to_numpy()
        scored = column >= self.minutes
        series, column, rows = series[scored], column[scored], rows.filter(pl.Series(scored))
        earlier = grid[series[:, None], column[:, None] - np.arange(self.minutes, 0, -1)]
        support, usual, spread = usual_of(earlier)
        value = grid[series, column]
        found = compared(
            value,
            support,
            usual,
            spread,
            least=self.least,
            threshold=self.threshold,
            relative_floor=self.relative_floor,
        )
        judged = rows.select("minute", pl.col("minute").alias("event_ts"), *SERIES, "state").with_columns(
            pl.Series("value", value),
            pl.Series("score", found.score),
            pl.Series("expected_low", found.low),
            pl.Series("expected_high", found.high),
            pl.Series("support", support.astype(np.int64)),
        )
        return window.at_readings(flags_of(self, judged.filter(pl.col("score") >= 1.0), _reason()))


def _reason() -> pl.Expr:
    """`39.1 A for a minute is above the 35 to 37.2 A of 18 minutes before in which its state was running too`."""
    side = pl.when(pl.col("value") > pl.col("expected_high")).then(pl.lit("above")).otherwise(pl.lit("below"))
    return pl.format(
        "{}{} for a minute is {} the {} to {}{} of {} minutes before in which its state was {} too",
        shown("value"),
        shown_unit(),
        side,
        shown("expected_low"),
        shown("expected_high"),
        shown_unit(),
        "support",
        "state",
    )
