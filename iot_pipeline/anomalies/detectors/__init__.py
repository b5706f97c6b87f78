"""The detectors, one file each, behind one interface (`base.Detector`).

What runs over them and keeps their flags is in `anomalies/flags.py`.
"""

from datetime import timedelta

from iot_pipeline.anomalies.detectors.base import Detector
from iot_pipeline.anomalies.detectors.by_state import RollingZByState
from iot_pipeline.anomalies.detectors.kmeans_minute import KMeansMinute
from iot_pipeline.anomalies.detectors.rolling_z import RollingZ
from iot_pipeline.anomalies.detectors.state_minute import StateMinute
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.anomalies.models.members import LOOKBACK
from iot_pipeline.clock import MINUTE

__all__ = ["Detector", "KMeansMinute", "RollingZ", "ScoringWindow", "default_detectors", "longest_lookback"]


def default_detectors() -> tuple[Detector, ...]:
    """The detectors that flag from the first minute on; what was learned joins them (`models/scoring/`)."""
    return (RollingZByState(), StateMinute(), KMeansMinute())


def longest_lookback() -> timedelta:
    """How far back from a minute its flags depend on statistics: what late data can still change."""
    return max(LOOKBACK * MINUTE, *(detector.lookback for detector in default_detectors()))
