"""Devices with several channels as one array, (devices, channels, time), and the views that they are looked at in.

How frames become such arrays is here; what is unusual in them is not (see `relations.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.channels.means import Array, trailing_mean
from iot_pipeline.anomalies.engine.grid import Grid, grid_of

CHANNEL = "channel"
"""The column of `Grid.series` that tells the channels of a device apart; all other columns name the device."""


@dataclass(frozen=True, slots=True)
class Stack:
    """Some devices with equally many channels.

    Attributes:
        devices: one row a device, the columns that identify it.
        channels: names of the channels of each device, (devices, channels).
        rows: row of the grid of each channel, (devices, channels); -1 where the grid does not have it.
    """

    devices: pl.DataFrame
    channels: list[list[str]]
    rows: NDArray[np.int64]

    @property
    def keys(self) -> pl.DataFrame:
        """One row a device and channel, in the order of arrays: the columns of `devices` and `channel`."""
        names = pl.Series(CHANNEL, self.channels, pl.List(pl.String))
        return self.devices.with_columns(names).explode(CHANNEL)

    def values(self, grid: Grid, columns: slice) -> Array:
        """Values of `grid` in `columns`, (devices, channels, columns); NaN where nothing was read."""
        found = np.asarray(grid.values[self.rows, columns], np.float64)
        found[self.rows < 0] = np.nan
        return found

    def parts(self, devices: int) -> Iterator["Stack"]:
        """The stack in pieces of at most `devices` devices."""
        for begin in range(0, len(self.rows), devices):
            piece = slice(begin, begin + devices)
            yield Stack(self.devices[piece], self.channels[piece], self.rows[piece])


def identity(series: pl.DataFrame) -> list[str]:
    """The columns of `series` that name a device."""
    if CHANNEL not in series.columns or len(series.columns) < 2:
        raise ValueError(f"a grid of channels has columns that name the device and `{CHANNEL}`, not {series.columns}")
    return [name for name in series.columns if name != CHANNEL]


def stacks_of(series: pl.DataFrame) -> Iterator[Stack]:
    """Devices with equally many channels together.

    Args:
        series: one row a device and channel: the columns that name the device, `channel`, and `row`, that of the grid.
    """
    by = [name for name in series.columns if name not in {CHANNEL, "row"}]
    devices = series.group_by(by, maintain_order=True).agg(CHANNEL, "row")
    for _, group in devices.group_by(pl.col("row").list.len(), maintain_order=True):
        yield Stack(group.select(by), group[CHANNEL].to_list(), np.array(group["row"].to_list(), np.int64))


def grid_of_wide(
    frame: pl.DataFrame, *, by: Sequence[str] = ("series",), step: timedelta | None = None, ts: str = "ts"
) -> Grid:
    """Put a frame of one row an instant and one column a channel on a grid.

    Args:
        frame: columns `by`, `ts` (naive time stamps are UTC) and a column of numbers for each channel.
        by: what identifies a device.
        step: time from column to column; the median interval of the rows if not given.
        ts: name of the column with the time stamps.

    Returns:
        A grid with the columns `by` and `channel`; of several rows of one instant the first counts.
    """
    channels = [name for name in frame.columns if name not in (*by, ts)]
    numbers = frame.with_columns(pl.col(channels).cast(pl.Float64, strict=False))
    long = numbers.unpivot(on=channels, index=[*by, ts], variable_name=CHANNEL, value_name="value")
    return grid_of(long, by=(*by, CHANNEL), step=step, ts=ts)


class View(StrEnum):
    """How readings are looked at."""

    MEAN = "mean"
    LEAP = "leap"


def view_of(values: Array, view: View, length: int) -> tuple[Array, Array]:
    """`values` (..., time) in a view, and what it is told from: the sum of both is in the unit of the channel.

    MEAN is the mean of the last `length` columns, from 0. LEAP is each reading less the mean of the `length` columns
    before it: what a slow drift of the whole device does not touch. NaN where it is not known.
    """
    means = trailing_mean(values, length)
    if view == View.MEAN:
        return means, np.zeros_like(means)
    before = np.concatenate([np.full((*means.shape[:-1], 1), np.nan), means[..., :-1]], axis=-1)
    return values - before, before
