"""Readings scored against what their machine's state usually brings, as learned over days.

What is learned is `machines.py`, the comparison itself `state_level.py`.
"""

from dataclasses import dataclass

import polars as pl

from iot_pipeline.anomalies.detectors.base import ByItself, flags_of, no_flags
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.told_states import SETTLING, with_told_state
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.anomalies.models.state_level import StateLevel

STATE_LEVEL = "state_level"


@dataclass(frozen=True, slots=True)
class LearnedStates(ByItself):
    """Flags readings that are unusual for the state of their machine, also where that state is new in the look-back.

    Args:
        states: STATES_LEARNED_SCHEMA.
        version: of the model.
    """

    states: pl.DataFrame
    version: str

    @property
    def name(self) -> str:
        """Stable name of the rule."""
        return STATE_LEVEL

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """FLAGS_SCHEMA."""
        numbers = window.numbers_of_machines()
        numbers = numbers.join(self.states.select(SERIES).unique(), on=SERIES, how="semi", nulls_equal=True)
        told = with_told_state(numbers, window.states).filter("is_sure").rename({"event_ts": "ts"})
        if told.is_empty():
            return no_flags()
        scored = StateLevel(settling=SETTLING).score(told, self.states).rename({"ts": "event_ts", "reason": "said"})
        return flags_of(self, scored.filter(pl.col("score") >= 1.0), pl.col("said"))
