"""What is known of devices with several channels: arrays for computing, plain tables for keeping.

How it is learned and used is in `ensemble.py`.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.channels.means import Array
from iot_pipeline.anomalies.channels.relations import Relations
from iot_pipeline.anomalies.channels.stacks import CHANNEL, Stack, View

VIEW = "view"
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Usual:
    """What is usual for some devices in one view.

    Attributes:
        relations: centre, spread and precision.
        level_scale: usual size of the level's deviations, judged by parts left out, (devices, channels).
        conditional_scale: the same of deviations from what the other channels say, (devices, channels).
        level_usual: what the worst of the scaled level's deviations exceeds one time in a hundred, (devices,).
        conditional_usual: the same of the conditional ones, (devices,).
        core_threshold: of the mean of both in units of what is usual, (devices,); infinite while learning.
        joint_threshold: of the joint distance, (devices,); infinite while learning.
    """

    relations: Relations
    level_scale: Array
    conditional_scale: Array
    level_usual: Array
    conditional_usual: Array
    core_threshold: Array
    joint_threshold: Array


OF_DEVICE = ("level_usual", "conditional_usual", "core_threshold", "joint_threshold")


@dataclass(frozen=True, slots=True)
class ChannelsModel:
    """What is usual for each device, as plain tables.

    Attributes:
        tables: `channel` (one row a device, view and channel; centre and spread in the unit of the
            channel, limits of standing still and silence in columns), `precision` (one a device, view and pair of
            channels) and `device` (one a device and view).
        step: interval of the history; readings at another interval are not scored.
        budget: alerts a device-day that the thresholds are for.
    """

    tables: dict[str, pl.DataFrame]
    step: timedelta
    budget: float

    def series(self, by: list[str]) -> pl.DataFrame:
        """The devices (columns `by`) and channels that are known."""
        return self.tables["channel"].select(*by, CHANNEL).unique(maintain_order=True)

    def usual(self, part: Stack, view: View) -> Usual:
        """What is usual for the devices of `part` in a view."""
        shape = part.rows.shape
        of_channel = self._of("channel", part.keys, view)
        pairs = _pairs(part)
        precision = self._of("precision", pairs, view)["value"].to_numpy().reshape(*shape, shape[1])
        centre, spread, level, conditional = (
            of_channel[name].to_numpy().reshape(shape)
            for name in ("centre", "spread", "level_scale", "conditional_scale")
        )
        of_device = self._of("device", part.devices, view)
        return Usual(
            Relations(centre, spread, precision),
            level,
            conditional,
            *(of_device[name].to_numpy() for name in OF_DEVICE),
        )

    def limits(self, part: Stack) -> tuple[Array, Array]:
        """Columns of standing still and of silence that are usual, (devices, channels) each."""
        rows = self._of("channel", part.keys, View.MEAN)
        return rows["still"].to_numpy().reshape(part.rows.shape), rows["silent"].to_numpy().reshape(part.rows.shape)

    def _of(self, table: str, keys: pl.DataFrame, view: View) -> pl.DataFrame:
        rows = self.tables[table].filter(pl.col(VIEW) == view.value)
        return keys.join(rows, on=keys.columns, how="left", nulls_equal=True, maintain_order="left")


def tables_of(part: Stack, view: View, usual: Usual, still: Array, silent: Array) -> dict[str, pl.DataFrame]:
    """The rows of `ChannelsModel.tables` for the devices of `part`."""
    views = pl.lit(view.value).alias(VIEW)
    of_channel = {
        "centre": usual.relations.centre,
        "spread": usual.relations.spread,
        "level_scale": usual.level_scale,
        "conditional_scale": usual.conditional_scale,
        "still": still,
        "silent": silent,
    }
    return {
        "channel": part.keys.with_columns(views, **{name: pl.Series(a.ravel()) for name, a in of_channel.items()}),
        "precision": _pairs(part).with_columns(views, value=pl.Series(usual.relations.precision.ravel())),
        "device": part.devices.with_columns(
            views, **{name: pl.Series(np.asarray(getattr(usual, name))) for name in OF_DEVICE}
        ),
    }


def _pairs(part: Stack) -> pl.DataFrame:
    """Each channel of a device with each, in the order of a matrix."""
    others = part.keys.rename({CHANNEL: OTHER})
    return part.keys.join(others, on=part.devices.columns, nulls_equal=True, maintain_order="left_right")
