"""Series as one array, (series, time) with a fixed step: what every detector of the engine works on.

How frames of readings become grids is here, for any input; what is unusual in them is not (see the detectors).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.floating]

CELLS_PER_READING = 8
"""Cells a series may have for each of its readings: bounds memory when a file holds bursts hours apart."""

USUAL_SECONDS = (*(unit * n for unit in (1, 60, 3600) for n in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)), 86_400)
"""Intervals that devices are set to. A median within two per cent of one of them is that interval and jitter."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Some series with a common clock.

    Attributes:
        series: one row a series, in the order of `values`: the columns that identify it.
        start: time of the first column (UTC).
        step: time from column to column.
        values: (series, time), NaN where nothing was read.
    """

    series: pl.DataFrame
    start: datetime
    step: timedelta
    values: Floats

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or len(self.values) != len(self.series):
            raise ValueError(f"values of shape {self.values.shape} for {len(self.series)} series")

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.values.shape[1])

    def column_of(self, instant: datetime) -> int:
        """Number of the first column at or after `instant` (UTC), within 0 to `width`."""
        return min(max(-((self.start - instant) // self.step), 0), self.width)

    def times(self) -> pl.Series:
        """UTC time of each column, microseconds."""
        return instants(self.start, self.step, np.arange(self.width))

    def head(self, columns: int) -> "Grid":
        """The first `columns` columns: what was known before column `columns`."""
        return Grid(self.series, self.start, self.step, self.values[:, :columns])


def instants(start: datetime, step: timedelta, columns: NDArray[np.integer]) -> pl.Series:
    """UTC times of columns of a grid that begins at `start`."""
    micros = _micros(start) + columns.astype(np.int64) * (step // timedelta(microseconds=1))
    return pl.Series("ts", micros).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def grid_of(
    frame: pl.DataFrame, *, by: Sequence[str] = ("series",), step: timedelta | None = None, ts: str = "ts"
) -> Grid:
    """Put readings on a grid.

    Order does not matter. Of readings with the same series and time stamp the first in the frame counts; further
    readings within one step are averaged. Values that are null, NaN or infinite are missing, and so are
    rows without a time stamp. Cells are centred on the usual phase of the time stamps, so that jitter around the
    full minute does not put two readings into one cell and none into the next.

    Args:
        frame: columns `by`, `ts` (naive time stamps are UTC) and value.
        by: what identifies a series.
        step: time from column to column; the median interval of the readings if not given.
        ts: name of the column with the time stamps.

    Returns:
        One row for each series in the order of their identity, also of those without any number.
    """
    frame = frame.select(*by, _utc(ts), pl.col("value").cast(pl.Float64, strict=False))
    series = frame.select(by).unique().sort(by)
    numbers = frame.filter(pl.col("ts").is_not_null(), pl.col("value").is_finite().fill_null(value=False)).unique(
        [*by, "ts"], keep="first", maintain_order=True
    )
    if step is None:
        step = step_of(numbers, by)
    if step <= timedelta(0):
        raise ValueError(f"step of a grid is {step}: it must be above zero")
    if numbers.is_empty():
        return Grid(series, datetime(1970, 1, 1, tzinfo=UTC), step, np.full((len(series), 0), np.nan))
    width = step // timedelta(microseconds=1)
    micros = numbers["ts"].dt.epoch("us").to_numpy()
    cells = (micros - _phase(micros, width) + width // 2) // width
    first = int(cells.min())
    numbers = numbers.with_columns(pl.Series("cell", cells - first))
    rows = numbers.join(series.with_row_index("row"), on=by, nulls_equal=True, maintain_order="left")
    rows = rows.group_by("row", "cell", maintain_order=True).agg(pl.col("value").mean())
    values = np.full((len(series), int(cells.max()) - first + 1), np.nan)
    values[rows["row"].to_numpy(), rows["cell"].to_numpy()] = rows["value"].to_numpy()
    start = datetime.fromtimestamp(0, UTC) + timedelta(microseconds=first * width + _phase(micros, width))
    return Grid(series, start, step, values)


def grids_of(frame: pl.DataFrame, *, by: Sequence[str] = ("series",), ts: str = "ts") -> list[Grid]:
    """As `grid_of`, one grid for each group of series with the same interval and overlapping times.

    Series of other years or another interval in one grid would be mostly holes.
    """
    if frame.is_empty():
        return []
    parts: list[tuple[timedelta, datetime, datetime, pl.DataFrame]] = []
    for part in frame.partition_by(by, maintain_order=True):
        times = part.select(*by, _utc(ts)).drop_nulls("ts")
        first, last = times["ts"].min(), times["ts"].max()
        if isinstance(first, datetime) and isinstance(last, datetime):
            parts.append((step_of(times, by), first, last, part))
    parts.sort(key=lambda part: part[:2])
    groups: list[list[pl.DataFrame]] = []
    steps: list[timedelta] = []
    end = datetime.min.replace(tzinfo=UTC)
    for step, first, last, part in parts:
        if groups and steps[-1] == step and first <= end:
            groups[-1].append(part)
            end = max(end, last)
        else:
            groups.append([part])
            steps.append(step)
            end = last
    return [grid_of(pl.concat(group), by=by, step=step, ts=ts) for group, step in zip(groups, steps, strict=True)]


def step_of(frame: pl.DataFrame, by: Sequence[str] = ("series",)) -> timedelta:
    """The usual interval of the readings: the median over all, snapped to an interval that devices are set to.

    One second where no two readings tell it. Never so short that the grid would have more than
    `CELLS_PER_READING` cells a reading.
    """
    times = frame.select(*by, "ts").unique().sort(*by, "ts")
    gaps = times.select(pl.col("ts").diff().over(by).dt.total_microseconds().alias("gap")).drop_nulls()["gap"]
    median = gaps.filter(gaps > 0).median()
    span = times.group_by(by).agg(
        (pl.col("ts").max() - pl.col("ts").min()).dt.total_microseconds().alias("span"), pl.len().alias("readings")
    )
    # Of each series, and of all together: one reading now and one of another a year ago are a year.
    alone = float(span.select((pl.col("span") / pl.col("readings")).max()).item() or 0)
    together = float(times.select((pl.col("ts").max() - pl.col("ts").min()).dt.total_microseconds()).item() or 0)
    shortest = max(alone, together / max(times.height, 1)) / CELLS_PER_READING
    seconds = max(float(median) if isinstance(median, float) else 1e6, shortest) / 1e6
    usual = min(USUAL_SECONDS, key=lambda usual: abs(seconds - usual) / usual)
    if abs(seconds - usual) <= 0.02 * usual:
        return timedelta(seconds=usual)
    return timedelta(microseconds=max(round(float(f"{seconds:.3g}") * 1e6), 1))


def _utc(ts: str) -> pl.Expr:
    """A column of time stamps as `ts`, microseconds UTC; naive ones are UTC."""
    return pl.col(ts).cast(pl.Datetime("us", "UTC")).alias("ts")


def _micros(instant: datetime) -> int:
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


def _phase(micros: NDArray[np.int64], width: int) -> int:
    """Where in a step readings usually fall: the direction of the mean of their angles (circular mean)."""
    angle = np.exp(2j * np.pi * (micros % width) / width).mean()
    return round(float(np.angle(angle)) / (2 * np.pi) * width) if abs(angle) > 0.5 else 0
