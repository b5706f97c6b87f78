"""Rows of `device_minute` as arrays: one row a minute, one column a series, one array a statistic.

What is made of them is in the detectors, which files are read in `anomalies/flags.py`. Minutes of a fleet are put in
one after another, so that millions of rows are never a frame; what a minute says lies side by side in memory.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.numbering import MOST_RUNS, SERIES, Directory, Numbering
from iot_pipeline.anomalies.detectors.resolution import Floats
from iot_pipeline.clock import MINUTE

MEANS = ("minute", *SERIES, "mean")
"""Columns of `device_minute` for detectors that look at means alone."""
MOMENTS = ("count", "stddev")
"""Further ones for bands around the readings before a minute."""
EXTREMES = ("min", "max", "first", "last")
"""Further ones for what a series used to do, which is asked of those alone that have left their band."""
STATISTICS = (*MEANS, *MOMENTS, *EXTREMES)
"""Columns of `device_minute` for all detectors."""

SPARE = 8
"""One part in this many of further series is made room for: making room again touches hundreds of megabytes."""


class Memory:
    """Room for one set of grids after another: to touch new memory costs more than to fill it with numbers."""

    def __init__(self) -> None:
        self._kept: dict[str, Floats] = {}

    def room(self, name: str, shape: tuple[int, int]) -> Floats:
        """With any numbers. What this gave under the same name before must not be in use any more."""
        size = shape[0] * shape[1]
        kept = self._kept.get(name)
        if kept is None or kept.size < size:
            kept = self._kept[name] = np.empty(size)
        return kept[:size].reshape(shape)


@dataclass(frozen=True, slots=True)
class MinuteGrids:
    """Statistics of some series by minute.

    Attributes:
        directory: of the series, one a column of the arrays.
        last: minute of the last row (UTC) of all columns; they may begin with different minutes.
        columns: by name of their column in `device_minute`: (minutes, series), NaN where nothing was read or it is not
            known.
        of_few: gives such of some series (SERIES) with columns that are not here; None where all are here.
    """

    directory: Directory
    last: datetime
    columns: Mapping[str, Floats]
    of_few: Callable[[pl.DataFrame], "MinuteGrids"] | None = None

    @property
    def series(self) -> pl.DataFrame:
        """SERIES, one row a column of the arrays."""
        return self.directory.series

    @classmethod
    def of(cls, rows: pl.DataFrame) -> "MinuteGrids":
        """All of `rows` (STATISTICS, unique by series and minute), in any order."""
        begin, end = rows["minute"].min(), rows["minute"].max()
        if not isinstance(begin, datetime) or not isinstance(end, datetime):
            begin = end = datetime.fromtimestamp(0, UTC)
        return filled([rows], end, dict.fromkeys(("mean", *MOMENTS, *EXTREMES), begin), Memory())

    def of_series(self, series: pl.DataFrame, *names: str) -> "MinuteGrids":
        """The statistics `names` of `series` (SERIES), in their order; NaN for those that are not known.

        Nothing is copied where these are all series of this.
        """
        if self.of_few is not None and not set(names) <= set(self.columns):
            return self.of_few(series).of_series(series, *names)
        number = self.directory.numbers(series)
        if np.array_equal(number, np.arange(self.series.height)):
            return MinuteGrids(self.directory, self.last, {name: self.columns[name] for name in names})
        known = number >= 0
        columns = {name: np.full((len(self.columns[name]), number.size), np.nan) for name in names}
        for name, wanted in columns.items():
            wanted[:, known] = self.columns[name][:, number[known]]
        return MinuteGrids(Directory(series), self.last, columns)

    def between(self, name: str, first: datetime, last: datetime) -> Floats:
        """The statistic `name` of the minutes `first` to `last` (UTC), both included; NaN where there are none."""
        known = self.columns[name]
        end = len(known) - round((self.last - last) / MINUTE)
        begin = end - round((last - first) / MINUTE) - 1
        if begin >= 0 and end <= len(known):
            return known[begin:end]
        wanted = np.full((max(end - begin, 0), known.shape[1]), np.nan)
        inside = slice(min(max(begin, 0), len(known)), max(min(end, len(known)), 0))
        wanted[inside.start - begin : inside.start - begin + len(known[inside])] = known[inside]
        return wanted


def filled(
    pieces: Iterable[pl.DataFrame], last: datetime, begins: Mapping[str, datetime], memory: Memory
) -> MinuteGrids:
    """Put in rows piece by piece.

    Args:
        pieces: columns minute, SERIES, and of those minutes of which they are kept the statistics; unique by series
            and minute. Other minutes are left out.
        last: last minute (UTC), included.
        begins: by statistic the first minute (UTC) of which it is kept, the earliest first; memory is 8 bytes for
            each series and minute. Where the first statistic is no finite number, all are missing.
        memory: new, or that of former grids which nobody needs any more.
    """
    lengths = {name: round((last - begin) / MINUTE) + 1 for name, begin in begins.items()}
    columns = {name: np.empty((length, 0)) for name, length in lengths.items()}
    numbering = Numbering()
    leading = next(iter(begins))
    for minute, rows in by_minute(pieces):
        row = round((minute - last) / MINUTE) - 1
        if not -lengths[leading] <= row < 0:
            continue
        known = numbering.series.height
        number = numbering.numbers(rows.select(SERIES))
        count = numbering.series.height
        if count > columns[leading].shape[1]:
            columns = {name: _wider(name, grid, count, memory) for name, grid in columns.items()}
        for grid in columns.values():
            grid[:, known:count] = np.nan
        at = slice(0, number.size) if np.array_equal(number, np.arange(number.size)) else number
        finite = np.isfinite(rows[leading].to_numpy())
        whole = bool(finite.all())
        for name, grid in columns.items():
            if -row <= len(grid):
                told = rows[name].to_numpy()  # null is NaN
                grid[row, at] = told if whole else np.where(finite, told, np.nan)
    count = numbering.series.height
    return MinuteGrids(numbering.directory, last, {name: grid[:, :count] for name, grid in columns.items()})


def _wider(name: str, grid: Floats, series: int, memory: Memory) -> Floats:
    """Room for `series` series, and for some that may come up later: the first minute seldom has all."""
    known = grid.copy()  # it may lie where the wider one will
    wider = memory.room(name, (len(grid), series + series // SPARE))
    wider[:, : known.shape[1]] = known
    return wider


def by_minute(pieces: Iterable[pl.DataFrame]) -> Iterator[tuple[datetime, pl.DataFrame]]:
    """Rows by their `minute`, in the order of the pieces; a minute may come several times."""
    for piece in pieces:
        minutes = piece["minute"]
        if piece.height and minutes.min() == minutes.max():
            yield minutes[0], piece
            continue
        mixed = minutes.rle().len() > MOST_RUNS
        rows = piece.sort("minute", maintain_order=True) if mixed else piece
        start = 0
        for length, minute in rows["minute"].rle().struct.unnest().iter_rows():
            yield minute, rows[start : start + length]
            start += length
