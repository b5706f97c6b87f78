"""Levels by state: is a reading unusual for what its machine is doing?

A machine that starts is no anomaly. A look-back of half an hour calls every change of state one until it has seen
both states, and the band of a look-back that has is as wide as from rest to load. Here each reading is compared
with the past of the same series in the same state; the seconds after a change of state are a state of their own.

How a minute is scored with it: `fit` once a day on the days before, of readings that `states.with_state` gave their
states; each minute take its readings and the states told from `settling` + `states.LONGEST` before it on, and `score`
them. Nothing is carried from minute to minute. Series without a state stay with the detectors of single series, and so
do states that the model has not seen: their score is null, which is "learning" and not "usual".
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.base import shown, shown_unit
from iot_pipeline.anomalies.detectors.past import GAUSSIAN
from iot_pipeline.anomalies.detectors.resolution import decimal_places, spread_floor
from iot_pipeline.anomalies.detectors.rolling_z import band_factor

ENTERING = "entering"
STEADY = "steady"

GAUSSIAN_90 = 3.29
"""Distance of the 5 and 95 % quantiles of Gaussian noise in standard deviations."""

GAUSSIAN_98 = 4.65
"""The same of the 1 and 99 % quantiles, which a peak that comes once a start is within."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLevel:
    """Median and spread by series and state.

    The spread is the larger of median absolute deviation and distance of the 5 and 95 % quantiles, both in terms of
    Gaussian noise: an inrush is a tenth of the seconds after a start, which the median does not see. There the
    quantiles are those of 1 and 99 %, since how high a peak is read depends on when it is read.

    Args:
        by: what identifies a series.
        settling: time after a change of state that is kept apart: inrush and run-down.
        threshold: robust standard deviations for a long past.
        least: readings, and stays in the state, from which a state is known.
        relative_floor: least believable spread as a share of the level.
    """

    by: Sequence[str] = ("device_id", "metric", "unit")
    settling: timedelta = timedelta(seconds=10)
    threshold: float = 6.0
    least: int = 30
    least_stays: int = 3
    relative_floor: float = 1e-3

    def fit(self, readings: pl.DataFrame) -> pl.DataFrame:
        """Learn from readings of the past.

        Args:
            readings: columns `by`, ts (UTC), value, state, state_age (seconds), as of `states.with_state`.

        Returns:
            One row a series, state and phase (`entering` or `steady`), sorted: `by`, state, phase, support, stays,
            usual, spread (in the unit of the series). A plain table, to be kept as it is.
        """
        key = [*self.by, "state", "phase"]
        phased = self._phased(readings).filter(pl.col("value").is_finite(), pl.col("state").is_not_null())
        places = pl.Series("places", decimal_places(phased["value"].to_numpy()))
        away = (pl.col("value") - pl.col("usual")).abs()
        entered_at = pl.col("ts").dt.epoch("ms") - (pl.col("state_age") * 1e3).round().cast(pl.Int64)
        table = (
            phased.with_columns(
                places, pl.col("value").median().over(key).alias("usual"), entered_at.alias("entered_at")
            )
            .group_by(key)
            .agg(
                pl.len().cast(pl.Int64).alias("support"),
                pl.col("entered_at").n_unique().cast(pl.Int64).alias("stays"),
                pl.col("usual").first(),
                (away.median() * GAUSSIAN).alias("spread"),
                pl.when(pl.col("phase").first() == ENTERING)
                .then((pl.col("value").quantile(0.99) - pl.col("value").quantile(0.01)) / GAUSSIAN_98)
                .otherwise((pl.col("value").quantile(0.95) - pl.col("value").quantile(0.05)) / GAUSSIAN_90)
                .alias("wide"),
                pl.col("places").max(),
            )
            .sort(key)
        )
        floor = spread_floor(table["places"].to_numpy(), table["usual"].to_numpy(), self.relative_floor)
        return table.with_columns(pl.max_horizontal("spread", "wide", pl.Series(floor)).alias("spread")).drop(
            "places", "wide"
        )

    def score(self, readings: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
        """Compare readings with the past of their state.

        Args:
            readings: as of `fit`.
            table: what `fit` learned.

        Returns:
            `readings` in their order with score (1.0 is the threshold; null while the state is being learned, and
            without a state), expected_low, expected_high, reason (one sentence where the score is 1.0 or more).
        """
        key = [*self.by, "state", "phase"]
        known = table.filter(pl.col("support") >= self.least, pl.col("stays") >= self.least_stays)
        half = known["spread"].to_numpy() * band_factor(self.threshold, known["support"].to_numpy().astype(np.float64))
        known = known.with_columns(pl.Series("half", half)).select(*key, "usual", "half", "stays")
        found = self._phased(readings).join(known, on=key, how="left", nulls_equal=True, maintain_order="left")
        score = (pl.col("value") - pl.col("usual")).abs() / pl.col("half")
        found = found.with_columns(
            pl.when(pl.col("state").is_not_null() & pl.col("value").is_finite()).then(score).alias("score"),
            (pl.col("usual") - pl.col("half")).alias("expected_low"),
            (pl.col("usual") + pl.col("half")).alias("expected_high"),
        ).rechunk()
        side = pl.when(pl.col("value") > pl.col("usual")).then(pl.lit("above")).otherwise(pl.lit("below"))
        moment = pl.when(pl.col("phase") == ENTERING).then(pl.lit("just after entering")).otherwise(pl.lit("in"))
        unit = shown_unit() if "unit" in self.by else pl.lit("")
        reason = pl.format(
            "{}{} is {} the {} to {}{} of {} times {} state {}",
            shown("value"),
            unit,
            side,
            shown("expected_low"),
            shown("expected_high"),
            unit,
            "stays",
            moment,
            "state",
        )
        return found.with_columns(pl.when(pl.col("score") >= 1.0).then(reason).alias("reason")).drop(
            "phase", "usual", "half", "stays"
        )

    def _phased(self, readings: pl.DataFrame) -> pl.DataFrame:
        settling = pl.col("state_age") < self.settling.total_seconds()
        return readings.with_columns(pl.when(settling).then(pl.lit(ENTERING)).otherwise(pl.lit(STEADY)).alias("phase"))
