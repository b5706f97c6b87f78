"""Measures of how right scores and flags are: plain functions of arrays, rows in order of time.

No detector, no file and no data set is here. Rows of one series stand in order of time; a `label` is true
where a row belongs to an event.
"""

from iot_pipeline.anomalies.evaluation.metrics.events import EventOutcome, event_outcome
from iot_pipeline.anomalies.evaluation.metrics.nab import REWARD_LOW_FP, STANDARD, NabSeries, leading, nab_score
from iot_pipeline.anomalies.evaluation.metrics.pointwise import Confusion, confusion
from iot_pipeline.anomalies.evaluation.metrics.segments import alerts_of, segments_of
from iot_pipeline.anomalies.evaluation.metrics.vus import acf_period, vus_pr

__all__ = [
    "REWARD_LOW_FP",
    "STANDARD",
    "Confusion",
    "EventOutcome",
    "NabSeries",
    "acf_period",
    "alerts_of",
    "confusion",
    "event_outcome",
    "leading",
    "nab_score",
    "segments_of",
    "vus_pr",
]
