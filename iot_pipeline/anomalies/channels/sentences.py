"""What was found in the channels of a device, as rows and as one sentence a technician understands.

Names of channels are data: they come into the sentence as they are, and go nowhere else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.channels.means import Array
from iot_pipeline.anomalies.channels.stacks import CHANNEL
from iot_pipeline.anomalies.detectors.base import shown
from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.engine.grid import Grid, instants


class Finding(IntEnum):
    """What is strange of a device at an instant."""

    LEVEL = 0
    CONDITIONAL = 1
    JOINT = 2
    STILL = 3
    SILENT = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is found at each instant. All arrays: (devices, columns).

    Attributes:
        score: 1.0 is the threshold.
        finding: of `Finding`.
        channel: number of the channel that is furthest off.
        value: mean of its last readings; NaN where it was not read.
        low: least expected value; NaN where unknown.
        high: greatest expected value.
    """

    score: Array
    finding: NDArray[np.int8]
    channel: NDArray[np.int64]
    value: Array
    low: Array
    high: Array

    @classmethod
    def none(cls, devices: int, columns: int) -> "Verdict":
        """Nothing is strange, and nothing is known."""
        shape, unknown = (devices, columns), np.full((devices, columns), np.nan)
        return cls(np.full(shape, -1.0), np.zeros(shape, np.int8), np.zeros(shape, np.int64), unknown, unknown, unknown)

    def worse_of(self, other: "Verdict") -> "Verdict":
        """At each instant the one with the larger score."""
        worse = other.score > self.score
        return Verdict(*(np.where(worse, getattr(other, f.name), getattr(self, f.name)) for f in fields(Verdict)))


def frame_of(
    devices: pl.DataFrame,
    grid: Grid,
    columns: slice,
    *,
    verdict: Verdict | None = None,
    channels: Sequence[Sequence[str]] = (),
) -> pl.DataFrame:
    """One row a device and column of `grid` in `columns` (bounds given), as `Channels.score` returns them.

    Without a verdict nothing is known of the devices: scores of 0.
    """
    first, last = columns.start, columns.stop
    wide = last - first
    if verdict is None:
        verdict = Verdict.none(len(devices), wide)
        channels = [[""]] * len(devices)
    names = np.array([channels[row][at] for row, line in enumerate(verdict.channel) for at in line], dtype=np.object_)
    others = np.repeat([len(names) - 1 for names in channels], wide)
    rows = devices.select(pl.all().repeat_by(wide).explode()) if wide else devices.clear()
    times = instants(grid.start, grid.step, np.tile(np.arange(first, last), len(devices)))
    found = rows.hstack([times]).with_columns(
        pl.Series("score", np.maximum(verdict.score, 0.0).ravel(), pl.Float32),
        pl.Series(CHANNEL, names, pl.String),
        pl.Series("value", verdict.value.ravel()).fill_nan(None),
        pl.Series("expected_low", verdict.low.ravel()).fill_nan(None),
        pl.Series("expected_high", verdict.high.ravel()).fill_nan(None),
        pl.Series("finding", verdict.finding.ravel()),
        pl.Series("others", others, pl.Int64),
    )
    return (
        found.with_columns((pl.col("score") >= 1.0).alias("flag"))
        .with_columns(
            pl.when("flag").then(pl.lit(FlagType.MULTICHANNEL.value)).alias("type"),
            pl.when(pl.col(CHANNEL) != "").then(CHANNEL).alias(CHANNEL),
            pl.when("flag").then(_sentence()).alias("reason"),
        )
        .select(
            *devices.columns, "ts", "score", "flag", "type", CHANNEL, "value", "expected_low", "expected_high", "reason"
        )
    )


def _sentence() -> pl.Expr:
    """`Flow 118.2 is below the 121 to 124 that the other 7 channels let expect`."""
    side = pl.when(pl.col("value") > pl.col("expected_high")).then(pl.lit("above")).otherwise(pl.lit("below"))
    band = [shown("expected_low", 4), shown("expected_high", 4)]
    name, value = pl.col(CHANNEL), shown("value", 4)
    finding = pl.col("finding")
    inside = pl.col("value").is_between("expected_low", "expected_high")
    return (
        pl.when(finding == Finding.STILL)
        .then(pl.format("{} has stood still at {} while the device goes on", name, value))
        .when(finding == Finding.SILENT)
        .then(pl.format("{} is silent while other channels of the device go on", name))
        .when((finding == Finding.JOINT) | inside)
        .then(
            pl.format(
                "The {} channels together are as they never were; furthest off is {} at {} (usual {} to {})",
                pl.col("others") + 1,
                name,
                value,
                *band,
            )
        )
        .when(finding == Finding.CONDITIONAL)
        .then(
            pl.format(
                "{} at {} is {} the {} to {} that the other {} channels let expect", name, value, side, *band, "others"
            )
        )
        .otherwise(pl.format("{} at {} is {} its usual {} to {}", name, value, side, *band))
    )
