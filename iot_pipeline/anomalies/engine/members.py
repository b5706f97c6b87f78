"""Which detectors are in the union, and what each is for.

How they are combined is in `union.py`.
"""

from dataclasses import dataclass

from iot_pipeline.anomalies.engine.detector import GridDetector
from iot_pipeline.anomalies.engine.drift import Drift
from iot_pipeline.anomalies.engine.gap import Gap
from iot_pipeline.anomalies.engine.ridge_lags import RidgeLags
from iot_pipeline.anomalies.engine.stuck import Stuck
from iot_pipeline.anomalies.engine.usual_range import UsualRange
from iot_pipeline.anomalies.engine.window_kmeans import WindowKMeans


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A detector in the union.

    Attributes:
        detector: it.
        share: its part of the budget of false alerts; 0 for one that only ranks.
        least: smallest threshold that is believed: what is below is noise whatever the past was like.
        ranks: whether it takes part in the ranking of what is not flagged.
        days: of history that it needs before it says anything.
    """

    detector: GridDetector
    share: float
    least: float
    ranks: bool = False
    days: float = 0.0


def members() -> tuple[Member, ...]:
    """The detectors in the normal course: most alerts are for the prediction from lags, the rest goes by type.

    The slow detector alerts a third as often as its share says (measured on clean stretches): its maxima follow each
    other closely.
    """
    return (
        Member(detector=RidgeLags(horizon=1), share=0.4, least=4.0, ranks=True),
        Member(detector=RidgeLags(horizon=16), share=0.04, least=4.0, ranks=True),
        Member(detector=Drift(), share=0.4, least=3.0, days=7.0),
        Member(detector=Stuck(), share=0.08, least=4.0),
        Member(detector=Gap(), share=0.05, least=4.0),
        Member(detector=UsualRange(), share=0.0, least=4.0, ranks=True),
        Member(detector=WindowKMeans(), share=0.0, least=4.0, ranks=True),
    )


def minute_members() -> tuple[Member, ...]:
    """What can be told from the last 24 readings: for a fleet's minute, when nobody can look at days of a million."""
    return (
        Member(detector=RidgeLags(horizon=1, short=True), share=0.6, least=4.0, ranks=True),
        Member(detector=Stuck(longest=MINUTE_LOOKBACK), share=0.15, least=4.0),
        Member(detector=Gap(longest=MINUTE_LOOKBACK), share=0.05, least=4.0),
        Member(detector=UsualRange(), share=0.1, least=4.0, ranks=True),
    )


MINUTE_LOOKBACK = 24
"""Columns."""
