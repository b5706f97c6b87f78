"""Means by minute as a grid: (device, metric, unit) x minutes. What is unusual in them is in `members.py`."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.minute_grids import MinuteGrids
from iot_pipeline.anomalies.detectors.numbering import SERIES, series_numbers
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.clock import MINUTE

READ = ("minute", *SERIES, "mean")
"""Columns of `device_minute` that a grid is made of."""

INTAKE_SHARE = 0.5


def minute_grid(rows: pl.DataFrame, series: pl.DataFrame, first: datetime, last: datetime) -> Grid:
    """Means of `first` to `last`, both included (UTC); NaN where nothing was read.

    Args:
        rows: columns READ, unique by (series, minute), in any order; other series are left out.
        series: columns SERIES, one row a row of the grid.
        first: first column.
        last: last column.
    """
    columns = round((last - first) / MINUTE) + 1
    number = series_numbers(rows, series)
    column = (rows["minute"] - first).dt.total_minutes().to_numpy()
    mean = rows["mean"].cast(pl.Float64).to_numpy()
    inside = (number >= 0) & (column >= 0) & (column < columns) & np.isfinite(mean)
    values = np.full((series.height, columns), np.nan)
    values[number[inside], column[inside]] = mean[inside]
    return Grid(series.select(SERIES), first, MINUTE, values)


def grid_of(grids: MinuteGrids, series: pl.DataFrame, first: datetime, last: datetime) -> Grid:
    """The same from arrays: without a copy where `series` are all of theirs, else NaN for those they do not have."""
    means = grids.of_series(series.select(SERIES), "mean").between("mean", first, last)
    return Grid(series.select(SERIES), first, MINUTE, means.T)


def spoken(grids: MinuteGrids, cumulative: Sequence[str]) -> pl.DataFrame:
    """Columns minute, series: how many series spoke, but for metrics in `cumulative`."""
    counted = ~grids.series["metric"].is_in(cumulative).to_numpy()
    said = np.isfinite(grids.columns["mean"])[:, counted].sum(axis=1)
    return pl.DataFrame({"minute": [grids.last - row * MINUTE for row in reversed(range(said.size))], "series": said})


def silent_intake(counts: pl.DataFrame, first: datetime, last: datetime, lookback: int) -> NDArray[np.bool_]:
    """Minutes `first` to `last` in which less than half as many series spoke as at best in the look-back.

    Then the way of the data is interrupted, and no single series: nobody wants a thousand gaps for one broker.

    Args:
        counts: columns minute, series: how many series spoke; minutes without any may be missing.
        first: first minute (UTC).
        last: last minute (UTC), included.
        lookback: minutes.
    """
    begin = first - lookback * MINUTE
    width = round((last - begin) / MINUTE) + 1
    spoke = np.zeros(width, np.int64)
    inside = counts.filter(pl.col("minute").is_between(begin, last))
    spoke[(inside["minute"] - begin).dt.total_minutes().to_numpy()] = inside["series"].to_numpy()
    before = np.lib.stride_tricks.sliding_window_view(spoke[:-1], lookback).max(axis=1)
    return np.asarray(spoke[lookback:] < INTAKE_SHARE * before)
