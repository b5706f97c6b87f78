"""How far the shape of the last readings is from the shapes a class of devices usually has: distance to centroids.

For whole stretches that are strange without a single reading being so. The daily tier's; the former systems' K-means
of one minute is a baseline and elsewhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, class_codes, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.ridge_lags import FILL
from iot_pipeline.anomalies.engine.rolling import MAD_TO_SIGMA, forward_filled

SAMPLE = 2000
"""Windows of a class that are learned from: ten centroids need no more."""

CHUNK = 2_000_000
"""Cells whose windows are laid out at a time, `window` numbers each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowKMeans:
    """Distance of a window of raw standardised values to the nearest centroid of its class.

    The distance counts in robust standard deviations above its median while learning.

    Args:
        window: columns.
        clusters: centroids of a class.
        seed: of the first centroids.
    """

    window: int = 64
    clusters: int = 10
    seed: int = 0

    @property
    def name(self) -> str:
        """Stable name."""
        return "window_kmeans"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """A shape that lasts."""
        return FlagType.DRIFT

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """The window."""
        return self.window - 1 + FILL

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """Centroids of each class, and the usual distance to them."""
        names, codes = class_codes(classes)
        windows = self._windows(grid.values)
        rows: list[dict[str, object]] = []
        centroids: list[pl.DataFrame] = []
        for code, name in enumerate(names):
            sample = sampled(windows[codes == code], SAMPLE)
            if len(sample) < 2 * self.window:
                continue
            learned = learn_centroids(sample, self.clusters, self.seed)
            rows.append({"class": name, "middle": learned.middle, "spread": learned.spread})
            centroids.append(learned.table(name, [f"v{i}" for i in range(self.window)]))
        usual = pl.DataFrame(rows, schema={"class": pl.String, "middle": pl.Float64, "spread": pl.Float64})
        return Model(
            {
                "usual": usual,
                "centroids": pl.concat(centroids) if centroids else pl.DataFrame(schema={"class": pl.String}),
                "classes": grid.series.with_columns(pl.Series("class", list(classes), pl.String)),
            },
            by_series=("classes",),
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Distance in robust standard deviations above the usual one; 0 where the window has a long hole."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        score = np.zeros((len(part.values), part.width - at), dtype=np.float32)
        windows = self._windows(part.values)
        # The last windows are those that end in the scored columns.
        windows = windows[:, max(windows.shape[1] - score.shape[1], 0) :]
        offset = score.shape[1] - windows.shape[1]
        classes = model.tables["classes"]["class"].to_numpy()
        for row in model.tables["usual"].iter_rows(named=True):
            centroids = model.tables["centroids"].filter(pl.col("class") == row["class"]).select("^v[0-9]+$").to_numpy()
            members = np.flatnonzero(classes == row["class"])
            size = max(CHUNK // max(windows.shape[1] * self.window, 1), 1)
            for chunk in (members[i : i + size] for i in range(0, len(members), size)):
                flat = windows[chunk].reshape(-1, self.window)
                distance = distances(flat, centroids).reshape(len(chunk), -1)
                score[chunk, offset:] = np.nan_to_num((distance - row["middle"]) / row["spread"]).clip(0)
        return Scored.bare(np.where(np.isfinite(part.values[:, at:]), score, 0))

    def _windows(self, values: Floats) -> Floats:
        """(series, ends, window), a view."""
        filled = forward_filled(values, FILL).astype(np.float32)
        if filled.shape[1] < self.window:
            return np.zeros((len(filled), 0, self.window), dtype=np.float32)
        return sliding_window_view(filled, self.window, axis=1)


@dataclass(frozen=True, slots=True)
class Centroids:
    """What K-means found.

    Attributes:
        values: (centroids, numbers), in the order of their values: centroids have no order of their own.
        middle: median distance of what was learned from to the nearest of them.
        spread: robust standard deviation of that distance.
    """

    values: NDArray[np.float32]
    middle: float
    spread: float

    def table(self, name: str, columns: Sequence[str]) -> pl.DataFrame:
        """One row a centroid of the class `name`: class, centroid, `columns`."""
        numbers = {column: self.values[:, place] for place, column in enumerate(columns)}
        return pl.DataFrame({"class": [name] * len(self.values), "centroid": range(len(self.values))} | numbers)


def learn_centroids(sample: NDArray[np.float32], clusters: int, seed: int) -> Centroids:
    """Centroids of the rows of `sample`; fewer than `clusters` where fewer rows are different."""
    # Takes seconds to import, and most runs learn nothing.
    from sklearn.cluster import KMeans  # noqa: PLC0415

    # A signal that rests has one shape only.
    clusters = min(clusters, len(np.unique(sample, axis=0)))
    # Two thousand windows are too few to share: threads wait for each other ten times as long as they work, and add up
    # in the order in which they end, so that the last bits would differ.
    with threadpool_limits(limits=1):
        model = KMeans(n_clusters=clusters, n_init=1, random_state=seed, max_iter=50).fit(sample)
    distance = distances(sample, model.cluster_centers_).astype(np.float64)
    middle = float(np.median(distance))
    spread = MAD_TO_SIGMA * float(np.median(np.abs(distance - middle)))
    ordered = model.cluster_centers_[np.lexsort(model.cluster_centers_.T[::-1])].astype(np.float32)
    return Centroids(ordered, middle, max(spread, 0.05 * middle, 1e-6))


def sampled(windows: Floats, most: int) -> NDArray[np.float32]:
    """At most about `most` whole windows, evenly spaced."""
    rows, ends, width = windows.shape
    pace = max(1, rows * ends // most)
    # Every so many of the ends of each series, shifted from series to series.
    flat = np.arange(0, rows * ends, pace)
    chosen = windows[flat // max(ends, 1), flat % max(ends, 1)] if flat.size else np.zeros((0, width))
    return np.asarray(chosen[np.isfinite(chosen).all(axis=1)], dtype=np.float32)


def distances(windows: Floats, centroids: Floats) -> Floats:
    """Euclidean distance to the nearest centroid; NaN where a value is missing."""
    centroids = centroids.astype(np.float32)
    square = (windows * windows).sum(axis=1, keepdims=True) + (centroids * centroids).sum(axis=1)
    square -= 2 * windows @ centroids.T
    return np.asarray(np.sqrt(np.maximum(square.min(axis=1), 0)))
