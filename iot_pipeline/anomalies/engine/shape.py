"""Shapes of cyclic signals: has a stretch as long as a cycle ever looked like this before?

Signals without a cycle get no score here; levels, steps and noise are other detectors' business. How periods are told
and stretches compared is in `cycles.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.cycles import complete, nearest_of, period_of, pieces_of, stretches
from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.rolling import Indices, origin_of, rolling_mean

SHARES = (0.5, 1.0, 2.0)
"""Lengths of stretches in periods. No single length finds all kinds of broken cycles; their mean does best."""

FLATTEST = 0.05
"""Least spread of a stretch to be scaled by, as a share of the signal's: scaled noise of a pause has any shape."""

CLOSEST = 1e-3
"""Least distance to measure in: a signal that repeats itself exactly is still written with rounding."""

PART = 4096
"""Windows made at a time: all of a fast signal would take too much memory."""

CYCLE_TABLE = {
    "row": pl.Int64(),
    "period": pl.Int64(),
    "share": pl.Float64(),
    "piece": pl.Int64(),
    "points": pl.Int64(),
    "usual": pl.Float64(),
    "spread": pl.Float64(),
}
SHAPE_TABLE = {"row": pl.Int64(), "share": pl.Float64(), "column": pl.Int64(), "shape": pl.List(pl.Float32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Distance of the last stretch of a signal to its nearest neighbour among stretches of the past.

    A left discord: of z-normalised windows, the Euclidean distance to the nearest one before (matrix profile, C.-C.
    M. Yeh et al., "Matrix Profile I", ICDM 2016), here to a sample of the past instead of all of it, and of
    piecewise means (PAA, E. Keogh et al., 2001) instead of readings. Distances come from dot products,
    d^2 = |a|^2 + |b|^2 - 2 a.b, as in MASS (A. Mueen et al., "The Fastest Similarity Search Algorithm", 2017), many
    windows in one matrix product. The score is the mean over the lengths SHARES, each in units of what the past had to
    itself: 1.0 is the distance that one stretch in a hundred of the past had to the others. Stretches that overlap are
    never neighbours, so what was learned from is scored as what is new would be.

    Args:
        shortest: shortest period in columns.
        longest: longest period in columns.
        longest_time: longest period in time: the day of a building is no stroke of a machine, and bands by hour of the
            week know it better.
        cyclic: least autocorrelation at the period for a signal to be cyclic.
        cycles: periods that the past must hold.
        sample: stretches of the past that are kept for each length.
    """

    shortest: int = 8
    longest: int = 300
    longest_time: timedelta = timedelta(hours=1)
    cyclic: float = 0.5
    cycles: int = 6
    sample: int = 4096

    @property
    def name(self) -> str:
        """Stable name of the detector."""
        return "shape"

    @property
    def version(self) -> str:
        """Revision of the code."""
        return "2"

    @property
    def kind(self) -> FlagType:
        """What its flags are called."""
        return FlagType.SHAPE

    def lookback_of(self, grid: Grid) -> int:
        """Columns before a cell that its score depends on: the longest stretch."""
        return round(max(SHARES) * max(self._longest(grid), 0))

    def _longest(self, grid: Grid) -> int:
        return min(self.longest, self.longest_time // grid.step)

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """Learn the stretches of all cyclic series of `grid`; `classes` does not matter.

        One series after the other: each has a period of its own. Series without one cost an autocorrelation.
        """
        del classes
        origin = origin_of(grid)
        shapes, cycles = [], []
        longest = min(self._longest(grid), grid.width // self.cycles)
        periods = period_of(grid.values, self.shortest, longest, self.cyclic)
        for row in np.flatnonzero(periods):
            values = np.asarray(grid.values[row], np.float64)
            period, spread = int(periods[row]), float(np.nanstd(values))
            if period * self.cycles > np.isfinite(values).sum():
                continue
            for share in SHARES:
                piece, points = pieces_of(period, share)
                means = rolling_mean(values[None, :], piece, origin, least=(piece + 1) // 2)[0]
                at = complete(means, piece, points)
                at = _sample(at, period, self.sample)
                windows, _, _ = stretches(means, piece, points, at, FLATTEST * spread)
                nearest, _ = nearest_of(windows, at, windows, at, piece * points)
                if not np.isfinite(nearest).any():
                    continue
                usual = max(float(np.quantile(nearest[np.isfinite(nearest)], 0.99)), CLOSEST)
                cycles.append((int(row), period, share, piece, points, usual, spread))
                shapes.append(
                    pl.DataFrame(
                        {"row": int(row), "share": share, "column": origin + at, "shape": windows.astype(np.float32)}
                    ).cast(pl.Schema(SHAPE_TABLE))
                )
        identity = grid.series.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
        cycle_table = pl.DataFrame(cycles, schema=CYCLE_TABLE, orient="row")
        shape_table = pl.concat([pl.DataFrame(schema=SHAPE_TABLE), *shapes])
        found = {"cycle": cycle_table, "shape": shape_table}
        return Model(
            {name: identity.join(table, on="row", maintain_order="right").drop("row") for name, table in found.items()}
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Score the cells in `columns`, of each series one in a piece of its longest stretch: six or more in a cycle.

        Expected is what the nearest stretch of the past had in its place.
        """
        first, last, _ = columns.indices(grid.width)
        wide = (len(grid.values), last - first)
        score = np.zeros(wide, np.float32)
        low, high = np.full(wide, np.nan, np.float32), np.full(wide, np.nan, np.float32)
        by = grid.series.columns
        begin = max(first - self.lookback_of(grid), 0)
        origin = origin_of(grid) + begin
        numbered = grid.series.with_columns(pl.int_range(pl.len()).alias("row"))
        cycles = numbered.join(model.tables["cycle"], on=by, nulls_equal=True, maintain_order="left")
        shapes = numbered.join(model.tables["shape"], on=by, nulls_equal=True, maintain_order="left")
        kept = shapes.partition_by("row", "share", as_dict=True)
        for cycle in cycles.iter_rows(named=True):
            row, piece, points = cycle["row"], cycle["piece"], cycle["points"]
            known = kept[row, cycle["share"]]
            past, seen = known["shape"].explode().to_numpy().reshape(-1, points), known["column"].to_numpy()
            values = np.asarray(grid.values[row : row + 1, begin:last], np.float64)
            means = rolling_mean(values, piece, origin, least=(piece + 1) // 2)[0]
            at = complete(means, piece, points)
            # Stretches that end within a piece of each other are nearly the same.
            pace, _ = pieces_of(cycle["period"], max(SHARES))
            for part in _parts(at[(origin + at) % pace == 0], first - begin):
                windows, middle, size = stretches(means, piece, points, part, FLATTEST * cycle["spread"])
                distance, nearest = nearest_of(windows, origin + part, past, seen, piece * points)
                cells = part - (first - begin)
                score[row, cells] += np.where(np.isfinite(distance), distance, 0.0) / (cycle["usual"] * len(SHARES))
                if cycle["share"] == 1.0:
                    there = middle + size * past[nearest, -1]
                    half = size * cycle["usual"] / np.sqrt(points)
                    low[row, cells], high[row, cells] = there - half, there + half
        return Scored(score, low, high)


def _sample(at: Indices, period: int, most: int) -> Indices:
    """Some of `at`, in order: every point of the cycle as often, where every tenth, say, could be always the same."""
    by_phase = at[np.lexsort((at, at % period))]
    return np.sort(by_phase[np.linspace(0, at.size - 1, min(most, at.size)).round().astype(np.int64)])


def _parts(at: Indices, first: int) -> Iterator[Indices]:
    """Columns from `first` on, some at a time."""
    at = at[np.searchsorted(at, first) :]
    for begin in range(0, at.size, PART):
        yield at[begin : begin + PART]
