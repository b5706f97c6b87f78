"""Shapes of cyclic signals: has a stretch as long as a cycle ever looked like this before?

Period of a signal, and the detector that compares each stretch with those of the past. Signals without a cycle get
no score here; levels, steps and noise are other detectors' business.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.signals.means import Array, trailing_mean

POINTS = 24
"""Means that a stretch is told by: fine enough for a waveform, and a tenth of the work of its readings."""

SHARES = (0.5, 1.0, 2.0)
"""Lengths of stretches in periods. No single length finds all kinds of broken cycles; their mean does best."""

FLATTEST = 0.05
"""Least spread of a stretch to be scaled by, as a share of the signal's: scaled noise of a pause has any shape."""

CHUNK = 1024

CLOSEST = 1e-3
"""Least distance to measure in: a signal that repeats itself exactly is still written with rounding."""

CYCLE_TABLE = {
    "row": pl.Int64(),
    "period": pl.Int64(),
    "share": pl.Float64(),
    "piece": pl.Int64(),
    "usual": pl.Float64(),
    "spread": pl.Float64(),
}
SHAPE_TABLE = {"row": pl.Int64(), "share": pl.Float64(), "shape": pl.List(pl.Float32)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Distance of the last stretch of a signal to its nearest neighbour among stretches of the past.

    A left discord: of z-normalised windows, the Euclidean distance to the nearest one before (matrix profile, C.-C.
    M. Yeh et al., "Matrix Profile I", ICDM 2016), here to an even sample of the past instead of all of it, and of
    piecewise means (PAA, E. Keogh et al., 2001) instead of readings. Distances come from dot products,
    d^2 = |a|^2 + |b|^2 - 2 a.b, as in MASS (A. Mueen et al., "The Fastest Similarity Search Algorithm", 2017), many
    windows in one matrix product. The score is the mean over the lengths SHARES, each in units of what the past had to
    itself: 1.0 is the distance that one stretch in a hundred of the past had to the others.

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
    cycles: int = 5
    sample: int = 4096

    @property
    def name(self) -> str:
        """Stable name of the detector."""
        return "shape"

    @property
    def version(self) -> str:
        """Revision of the code."""
        return "1"

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
        shapes, cycles = [], []
        periods = period_of(grid.values, self.shortest, self._longest(grid), self.cyclic)
        for row in np.flatnonzero(periods):
            values = np.asarray(grid.values[row], np.float64)
            period, spread = int(periods[row]), float(np.nanstd(values))
            if period * self.cycles > np.isfinite(values).sum():
                continue
            for share in SHARES:
                piece = max(round(period * share / POINTS), 1)
                windows, _, _ = stretches(values, piece, _points(period, share), FLATTEST * spread)
                at = np.flatnonzero(np.isfinite(windows).all(axis=1))
                at = at[np.linspace(0, len(at) - 1, min(self.sample, len(at))).round().astype(np.int64)]
                usual = _usual_distance(windows[at], at, piece * _points(period, share))
                if not np.isfinite(usual):
                    continue
                cycles.append((int(row), period, share, piece, usual, spread))
                shapes.append(
                    pl.DataFrame(
                        {"row": int(row), "share": share, "shape": windows[at].tolist()},
                        schema=SHAPE_TABLE,
                    )
                )
        identity = grid.series.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
        cycle_table = pl.DataFrame(cycles, schema=CYCLE_TABLE, orient="row")
        shape_table = pl.concat([pl.DataFrame(schema=SHAPE_TABLE), *shapes])
        found = {"cycle": cycle_table, "shape": shape_table}
        return Model(
            {name: identity.join(table, on="row", maintain_order="right").drop("row") for name, table in found.items()}
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Score the cells in `columns`. Expected is what the nearest stretch of the past had in its place."""
        first, last, _ = columns.indices(grid.width)
        wide = (len(grid.values), last - first)
        score, low, high = np.zeros(wide), np.full(wide, np.nan), np.full(wide, np.nan)
        by = grid.series.columns
        begin = max(first - self.lookback_of(grid), 0)
        numbered = grid.series.with_columns(pl.int_range(pl.len()).alias("row"))
        cycles = numbered.join(model.tables["cycle"], on=by, nulls_equal=True, maintain_order="left")
        shapes = numbered.join(model.tables["shape"], on=by, nulls_equal=True, maintain_order="left")
        kept = {key: part["shape"] for key, part in shapes.group_by("row", "share")}
        for cycle in cycles.iter_rows(named=True):
            row, share = cycle["row"], cycle["share"]
            past = np.array(kept[row, share].to_list(), np.float64)
            values = np.asarray(grid.values[row, begin:last], np.float64)
            windows, middle, size = stretches(values, cycle["piece"], past.shape[1], FLATTEST * cycle["spread"])
            distance, nearest = nearest_of(windows[first - begin :], past)
            score[row] += distance / cycle["usual"] / len(SHARES)
            if share == 1.0:
                there = middle[first - begin :] + size[first - begin :] * past[nearest, -1]
                half = size[first - begin :] * cycle["usual"] / np.sqrt(past.shape[1]) * 3
                low[row], high[row] = there - half, there + half
        return Scored(score.astype(np.float32), low.astype(np.float32), high.astype(np.float32))


def period_of(values: NDArray[np.floating], shortest: int, longest: int, cyclic: float) -> NDArray[np.int64]:
    """Period of each series in columns, 0 of those without a cycle. `values`: (series, columns), NaN is missing.

    The first peak of the autocorrelation (by FFT, missing values at the mean) that reaches nine tenths of the largest
    one after it first fell below zero, if that is at least `cyclic`: a slow signal is like itself a little later
    without being cyclic, and a cycle is like itself after two cycles, too.
    """
    known = np.isfinite(values)
    count = known.sum(axis=1)
    periods = np.zeros(len(values), np.int64)
    if longest < shortest or values.shape[1] < 2 * shortest:
        return periods
    reach = min(longest + 2, values.shape[1] // 2)
    for row in np.flatnonzero(count >= 2 * shortest):
        mean = float(values[row, known[row]].mean())
        away = np.where(known[row], values[row] - mean, 0.0).astype(np.float64)
        power = float(away @ away)
        if not power > 0:
            continue
        size = 2 ** int(np.ceil(np.log2(2 * away.size)))
        likeness = np.fft.irfft(np.abs(np.fft.rfft(away, size)) ** 2)[:reach] / power
        likeness *= away.size / (away.size - np.arange(reach))
        fallen = np.flatnonzero(likeness < 0)
        begin = max(int(fallen[0]) if fallen.size else reach, shortest)
        inner = np.arange(begin, reach - 1)
        peak = inner[(likeness[inner] >= likeness[inner - 1]) & (likeness[inner] >= likeness[inner + 1])]
        if peak.size and likeness[peak].max() >= cyclic:
            periods[row] = peak[likeness[peak] >= 0.9 * likeness[peak].max()][0]
    return periods


def stretches(values: Array, piece: int, points: int, least: float) -> tuple[Array, Array, Array]:
    """The stretch of `points` means of `piece` columns that ends at each column, less its mean, by its spread.

    Returns:
        (columns, points), mean and spread of each (columns,); NaN where the stretch begins before the values do, or
        less than half of a piece was read.
    """
    means = trailing_mean(values, piece) if piece > 1 else values
    lags = np.arange(points - 1, -1, -1) * piece
    padded = np.concatenate([np.full(lags[0], np.nan), means]) if points > 1 else means
    windows = padded[lags[0] + np.arange(len(values))[:, None] - lags]
    middle = windows.mean(axis=1)
    size = np.maximum(windows.std(axis=1), max(least, float(np.finfo(np.float64).tiny)))
    return (windows - middle[:, None]) / size[:, None], middle, size


def nearest_of(windows: Array, past: Array) -> tuple[Array, NDArray[np.int64]]:
    """Distance of each window to the nearest of `past`, and which that is; 0 for windows that are not known."""
    distance, nearest = np.zeros(len(windows)), np.zeros(len(windows), np.int64)
    short = past.astype(np.float32)
    own = (short**2).sum(axis=1)
    known = np.flatnonzero(np.isfinite(windows).all(axis=1))
    for begin in range(0, known.size, CHUNK):
        at = known[begin : begin + CHUNK]
        some = windows[at]
        # Single precision finds the winner, or one as near; the distance to it is computed anew.
        nearest[at] = (own - 2.0 * some.astype(np.float32) @ short.T).argmin(axis=1)
        distance[at] = np.sqrt(((some - past[nearest[at]]) ** 2).sum(axis=1))
    return distance, nearest


def _points(period: int, share: float) -> int:
    return min(POINTS, max(round(period * share), 2))


def _usual_distance(windows: Array, at: NDArray[np.int64], length: int) -> float:
    """Distance that one window in a hundred has to the others of which it is no part; infinite for too few windows."""
    own = (windows**2).sum(axis=1)
    nearest = np.full(len(windows), np.inf)
    for begin in range(0, len(windows), CHUNK):
        some = slice(begin, begin + CHUNK)
        squares = own[some, None] + own - 2.0 * windows[some] @ windows.T
        squares[np.abs(at[some, None] - at) < length] = np.inf
        nearest[some] = np.sqrt(np.maximum(squares.min(axis=1, initial=np.inf), 0.0))
    nearest = nearest[np.isfinite(nearest)]
    return max(float(np.quantile(nearest, 0.99)), CLOSEST) if nearest.size else np.inf
