"""`rolling_z` of machines that tell their state: a series in one state is a series of its own.

The rule is that of `rolling_z.py`, and series without a state are scored by it as they are. What is learned of states
over days is in `models/state_level.py`.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta

import polars as pl

from iot_pipeline.anomalies.detectors.base import ByItself, version_of
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.rolling_z import RollingZ
from iot_pipeline.anomalies.detectors.told_states import (
    LAG,
    SETTLING,
    steady,
    steady_minutes,
    telling,
    with_told_state,
)
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.readings.schema import Quality
from iot_pipeline.stats.relations import FLAGS_SCHEMA

_MACHINE_MINUTE = ("device_id", "minute")


@dataclass(frozen=True, slots=True, kw_only=True)
class RollingZByState(ByItself):
    """Compares a reading with those minutes of the half hour before it that its state held from begin to end.

    A look-back over several states is as wide as from rest to load, and one that has not seen the present state calls
    it unusual. So a state that is new in the look-back is not flagged, nor is a reading within SETTLING after a change.

    Args:
        rolling: the rule.
        least_minutes: minutes of the look-back that the state must have held: a single one may have been disturbed.
    """

    rolling: RollingZ = field(default_factory=RollingZ)
    least_minutes: int = 3

    @property
    def name(self) -> str:
        """That of the rule."""
        return self.rolling.name

    @property
    def version(self) -> str:
        """Revision of this code, the rule's version and what tells states apart."""
        return version_of(
            2, {"rule": self.rolling.version, "settling": SETTLING, "lag": LAG, "least_minutes": self.least_minutes}
        )

    @property
    def lookback(self) -> timedelta:
        """The rule's."""
        return self.rolling.lookback

    @property
    def moments_lookback(self) -> timedelta:
        """The rule's."""
        return self.rolling.moments_lookback

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """FLAGS_SCHEMA; the reason of a flag by state names the state."""
        version = pl.lit(self.version).alias("detector_version")
        if window.states.is_empty():
            return self.rolling.score(window).with_columns(version)
        parts, names = self._divided(window)
        flags = pl.concat([self.rolling.score(part) for part in parts]).with_columns(version)
        told = flags.join(
            names.rename({"metric": "own_metric", "series_of_state": "metric"}),
            on=SERIES,
            how="left",
            nulls_equal=True,
            maintain_order="left",
        ).rechunk()
        return told.with_columns(
            pl.coalesce("own_metric", "metric").alias("metric"),
            pl.when(pl.col("state").is_null())
            .then("reason")
            .otherwise(pl.format("{} in which its state was {} too", "reason", "state"))
            .alias("reason"),
        ).select(list(FLAGS_SCHEMA))

    def _divided(self, window: ScoringWindow) -> tuple[tuple[ScoringWindow, ScoringWindow], pl.DataFrame]:
        """The window of series without a state, one with a series for each series and state, and the names of these.

        The names are SERIES, state, series_of_state.
        """
        numbers = window.numbers_of_machines().filter(~pl.col("metric").is_in(self.rolling.cumulative))
        held = steady_minutes(window.states)
        readings = with_told_state(numbers, window.states).filter(steady())
        readings = readings.join(self._seen(readings, held), on=[*_MACHINE_MINUTE, "state"], how="semi")
        minutes = window.minutes.join(held, on=_MACHINE_MINUTE, how="inner")
        # A length before the metric keeps any two pairs of names apart.
        name = pl.format("{}:{}:{}", pl.col("metric").str.len_chars(), "metric", "state").alias("series_of_state")
        readings, minutes = (frame.rechunk().with_columns(name) for frame in (readings, minutes))
        names = readings.select(*SERIES, "state", "series_of_state").unique(maintain_order=True)
        quality = pl.lit(Quality.GOOD.value).alias("quality")
        divided = readings.with_columns(pl.col("series_of_state").alias("metric")).select(*numbers.columns, quality)
        own = minutes.with_columns(pl.col("series_of_state").alias("metric")).select(window.minutes.columns)
        plain = replace(window, apart=telling(window.states))
        return (plain, replace(window, readings=divided, minutes=own, grids=None, asked=None)), names

    def _seen(self, readings: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
        """Columns device_id, minute, state: of `readings`, those whose state held enough minutes of the look-back."""
        asked = readings.select(*_MACHINE_MINUTE, "state").unique()
        before = asked.join(held.rename({"minute": "held"}), on=["device_id", "state"], how="inner").filter(
            pl.col("held") < pl.col("minute"), pl.col("held") >= pl.col("minute") - self.lookback
        )
        counts = before.group_by(*_MACHINE_MINUTE, "state").len()
        return counts.filter(pl.col("len") >= self.least_minutes).drop("len")
