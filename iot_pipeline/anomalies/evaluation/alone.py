"""Each detector of the engine for itself, with the whole budget of alerts: what it adds to the union is seen beside it.

Ready-made combinations are in `methods.py`, what the product does not ship in `baselines.py`.
"""

from dataclasses import replace
from types import MappingProxyType

from iot_pipeline.anomalies.engine import Member, Union, members
from iot_pipeline.anomalies.engine.drift import Drift
from iot_pipeline.anomalies.engine.noise import Noise
from iot_pipeline.anomalies.engine.rolling_z import RollingZ
from iot_pipeline.anomalies.engine.step import Step
from iot_pipeline.anomalies.engine.weekly_band import WeeklyBand
from iot_pipeline.anomalies.engine.window_forest import WindowForest
from iot_pipeline.anomalies.evaluation.methods import Method, ProductMethod

_BESIDE = tuple(
    Member(detector=detector, share=1.0, least=4.0)
    for detector in (Step(), Drift(), Noise(), RollingZ(), WeeklyBand(), WindowForest())
)
"""Not in the union for single series: in the minute tier, in the daily one, or only to explain."""

SINGLES = MappingProxyType(
    {member.detector.name: replace(member, share=1.0, ranks=True) for member in (*members(), *_BESIDE)}
)
"""By the detector's name; for single series."""


def alone(name: str) -> Method:
    """One of SINGLES. The range rule runs before it, as it does in the union."""
    return ProductMethod(Union(members=(SINGLES[name],)), name)
