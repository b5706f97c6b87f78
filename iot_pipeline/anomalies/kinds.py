"""What kind of unusual each detector's flags are.

Detectors are in `detectors/` and `engine/`; what is made of kinds is in `events/`.
"""

from collections.abc import Mapping

import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType

# Flags of these stay flags: they are kept to compare with, and would open an event every minute.
BASELINES = frozenset({"kmeans_minute"})

# Of the daily tier: hours beside whole days of the past.
DAY_DETECTORS = ("day_drift", "day_shape")

_KINDS: Mapping[str, FlagType] = {
    "rolling_z": FlagType.SPIKE,
    "state_minute": FlagType.STEP,
    "state_level": FlagType.SPIKE,
    "start": FlagType.SHAPE,
    "stroke": FlagType.SHAPE,
    "transition": FlagType.SHAPE,
    "unbalance": FlagType.MULTICHANNEL,
    "vibration_zone": FlagType.RANGE,
    **dict(zip(DAY_DETECTORS, (FlagType.DRIFT, FlagType.SHAPE), strict=True)),
    **{kind.value: kind for kind in FlagType},
}


def with_type(flags: pl.DataFrame) -> pl.DataFrame:
    """Flags (FLAGS_SCHEMA) with a last column `type`: null for baselines and detectors that nobody knows any more."""
    kinds = {name: kind.value for name, kind in _KINDS.items() if name not in BASELINES}
    return flags.with_columns(
        pl.col("detector").replace_strict(kinds, default=None, return_dtype=pl.String).alias("type")
    )


def type_of(detector: str) -> FlagType | None:
    """The same for one detector."""
    return None if detector in BASELINES else _KINDS.get(detector)
