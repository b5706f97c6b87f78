"""Which detectors are in the union, and what each is for.

How they are combined is in `union.py`.
"""

from dataclasses import dataclass

import numpy as np

from iot_pipeline.anomalies.engine.coarse import Coarse
from iot_pipeline.anomalies.engine.creep import Creep
from iot_pipeline.anomalies.engine.detector import LARGEST, GridDetector, Scores
from iot_pipeline.anomalies.engine.gap import Gap
from iot_pipeline.anomalies.engine.grid import Floats
from iot_pipeline.anomalies.engine.rate import RateOfChange
from iot_pipeline.anomalies.engine.ridge_lags import RidgeLags
from iot_pipeline.anomalies.engine.scale import LONGEST_DAY
from iot_pipeline.anomalies.engine.shape import Shape
from iot_pipeline.anomalies.engine.stuck import Stuck
from iot_pipeline.anomalies.engine.usual_range import UsualRange
from iot_pipeline.anomalies.engine.window_features import WindowFeatures
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
        counts: its score is a number of columns or of nats. How long something lasts by chance falls off exponentially,
            as waiting times do; other scores fall off so in their logarithm.
    """

    detector: GridDetector
    share: float
    least: float
    ranks: bool = False
    days: float = 0.0
    counts: bool = False

    def tail_of(self, score: Scores) -> Scores:
        """Scores in the measure in which their tail falls off exponentially."""
        return score / np.float32(COUNTED) if self.counts else np.log1p(score)

    def score_of(self, tail: Floats) -> Floats:
        """The inverse of `tail_of`, at most `LARGEST`."""
        return np.minimum(tail * COUNTED if self.counts else np.expm1(np.minimum(tail, np.log1p(LARGEST))), LARGEST)


COUNTED = 32.0
"""Columns or nats that make one of `Member.tail_of`: the steepest tail then falls by 1/e within one of them, as what is
measured in nats does."""


def members() -> tuple[Member, ...]:
    """The detectors in the normal course: most alerts are for the prediction from lags, the rest goes by type.

    Shares add up to more than one because detectors that look back far alert more rarely than their share says: their
    highest scores of neighbouring days are the same disturbance.
    """
    return (
        Member(detector=RidgeLags(horizon=1), share=0.35, least=4.0, ranks=True),
        Member(detector=RidgeLags(horizon=16), share=0.04, least=4.0, ranks=True),
        Member(detector=RateOfChange(), share=0.05, least=2.0),
        Member(detector=Coarse(detector=Creep(), most=LONGEST_DAY), share=0.6, least=3.0, days=7.0),
        Member(detector=Stuck(), share=0.04, least=4.0, counts=True),
        Member(detector=Gap(), share=0.05, least=4.0),
        Member(detector=Shape(), share=0.05, least=4.0),
        Member(detector=UsualRange(), share=0.0, least=4.0, ranks=True),
        Member(detector=WindowKMeans(), share=0.0, least=4.0, ranks=True),
        Member(detector=WindowFeatures(), share=0.0, least=4.0, ranks=True),
    )
