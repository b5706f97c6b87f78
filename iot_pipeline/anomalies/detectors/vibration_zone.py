"""Zones of vibration severity as flags: no past is needed, only the table of zones and the machine's class.

Zones and their source are data (`signals/vibration.py`); the mart `machine_vibration_hour` judges hours by them.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.base import ByItself, flags_of, no_flags, shown, version_of
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.anomalies.signals.vibration import read_zones, with_borders
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import dim_device_file
from iot_pipeline.trees import UTC_MICROSECONDS

VELOCITY = "v_rms"
UNIT = "mm/s"
HIGHEST = 4.0
"""Score at the border of zone D, in which a vibration does damage; that of zone C is 1.0."""

_CLASS = ("machine_group", "support")


@dataclass(frozen=True, slots=True)
class VibrationZone(ByItself):
    """Flags minutes whose mean velocity is in zone C (not for long) or D (damage).

    Args:
        paths: where machines tell their class (attributes machine_group and support).
    """

    paths: DataPaths

    @property
    def name(self) -> str:
        """Stable name of the rule."""
        return "vibration_zone"

    @property
    def version(self) -> str:
        """Revision of this code and the table of zones."""
        return version_of(1, {"zones": read_zones().rows()})

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """One flag a minute at its last reading; from the border of C (1.0) the score rises evenly to that of D."""
        zones = read_zones()
        rows = _velocities(window).filter(pl.col("value") >= zones["zone_c_from"].min())
        if rows.is_empty():
            return no_flags()
        value, c, d = pl.col("value"), pl.col("zone_c_from"), pl.col("zone_d_from")
        judged = (
            with_borders(rows, self._classes(), zones)
            .filter(value >= c)
            .with_columns(
                pl.col("minute").alias("event_ts"),
                pl.when(value < d)
                .then(1.0 + (HIGHEST - 1.0) * (value - c) / (d - c))
                .otherwise(HIGHEST * value / d)
                .alias("score"),
                pl.lit(0.0).alias("expected_low"),
                c.alias("expected_high"),
                pl.when(value < d).then(pl.lit("C")).otherwise(pl.lit("D")).alias("zone"),
            )
        )
        reason = pl.format(
            "{} mm/s rms in this minute is zone {}, which begins at {} mm/s for this class of machines",
            shown("value"),
            "zone",
            pl.when(value < d).then(shown("zone_c_from")).otherwise(shown("zone_d_from")),
        )
        return window.at_readings(flags_of(self, judged, reason))

    def _classes(self) -> pl.DataFrame:
        """device_id, machine_group, support, as far as machines tell them."""
        path = dim_device_file(self.paths)
        if not path.exists():
            return pl.DataFrame(schema=dict.fromkeys(("device_id", *_CLASS), pl.String()))
        told = pl.read_parquet(path, columns=["device_id", "attributes"], hive_partitioning=False)
        return told.select(
            "device_id", *(pl.col("attributes").str.json_path_match(f"$.{name}").alias(name) for name in _CLASS)
        )


def _velocities(window: ScoringWindow) -> pl.DataFrame:
    """Means of the minutes to score: minute, SERIES, value (mm/s rms); none where nothing was read."""
    grids = window.history()
    series = grids.series.with_row_index("number").filter(
        (pl.col("metric") == VELOCITY) & pl.col("unit").eq_missing(pl.lit(UNIT))
    )
    means = grids.between("mean", window.first, window.last)[:, series["number"].to_numpy()]
    minute, place = np.nonzero(np.isfinite(means))
    return (
        series.select(SERIES)[place]
        .with_columns(pl.Series("after", minute.astype(np.int64)), pl.Series("value", means[minute, place]))
        .with_columns((pl.lit(window.first, UTC_MICROSECONDS) + pl.duration(minutes="after")).alias("minute"))
        .drop("after")
    )
