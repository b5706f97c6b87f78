"""All detectors of the model that is in force on a day. What each says is in a file of its own.

Which model that is, `models/store.py` decides.
"""

from datetime import date
from functools import lru_cache

from iot_pipeline.anomalies.detectors.base import Detector
from iot_pipeline.anomalies.models.model import MinuteModel
from iot_pipeline.anomalies.models.scoring.channels import MULTICHANNEL, LearnedChannels
from iot_pipeline.anomalies.models.scoring.findings import FINDINGS, MachineFindings
from iot_pipeline.anomalies.models.scoring.minutes import TYPES, LearnedMinutes
from iot_pipeline.anomalies.models.scoring.states import STATE_LEVEL, LearnedStates
from iot_pipeline.anomalies.models.store import load, promoted_for
from iot_pipeline.paths import DataPaths

NAMES = (*TYPES, MULTICHANNEL, STATE_LEVEL, *FINDINGS)
"""Names of the detectors that their flags can carry."""


def learned_detectors(paths: DataPaths, day: date) -> tuple[Detector, ...]:
    """The detectors for minutes of `day` by the newest promoted model of that day or before; none while learning.

    Raises:
        DataError: the model cannot be read.
    """
    promotion = promoted_for(paths, day)
    if promotion is None:
        return ()
    model, version = _loaded(paths, promotion.day, promotion.version), promotion.version
    return (
        LearnedMinutes(model, version, paths),
        LearnedChannels(model.channels, version),
        LearnedStates(model.machines.states, version),
        MachineFindings(model.machines, version, paths),
    )


@lru_cache(maxsize=2)
def _loaded(paths: DataPaths, day: date, version: str) -> MinuteModel:
    return load(paths, day, version)
