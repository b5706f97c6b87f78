"""The anomaly engine for single series: detectors on grids (series, time), and their typed union.

Pure arrays and frames; reading and writing files, and orchestration, are elsewhere.
"""

from iot_pipeline.anomalies.engine.detector import FlagType, GridDetector, Model, Scored
from iot_pipeline.anomalies.engine.grid import Grid, grid_of, grids_of
from iot_pipeline.anomalies.engine.levels import UnionModel
from iot_pipeline.anomalies.engine.members import Member, members
from iot_pipeline.anomalies.engine.union import Union

__all__ = [
    "FlagType",
    "Grid",
    "GridDetector",
    "Member",
    "Model",
    "Scored",
    "Union",
    "UnionModel",
    "grid_of",
    "grids_of",
    "members",
]
