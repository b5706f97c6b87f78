"""How easily the last readings are told apart from those of a class of devices: isolation forest on window features.

The daily tier's: nine seconds for a million readings. The trees are kept as a plain table, not as pickled objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, class_codes, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.ridge_lags import FILL
from iot_pipeline.anomalies.engine.rolling import MAD_TO_SIGMA, forward_filled

if TYPE_CHECKING:
    from sklearn.ensemble import IsolationForest

LEAF = -1
EULER = 0.5772156649


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowForest:
    """Isolation forest (Liu, Ting & Zhou, ICDM 2008) on seven features of a window.

    Mean, standard deviation, least, greatest, slope, mean absolute change and the last value, in standard units. The
    score counts in robust standard deviations above the median while learning.

    Args:
        window: columns.
        trees: of a class.
        sample: windows a tree is grown from.
        seed: of the trees.
    """

    window: int = 64
    trees: int = 100
    sample: int = 256
    seed: int = 0

    @property
    def name(self) -> str:
        """Stable name."""
        return "window_forest"

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
        """Trees of each class, and the usual score."""
        # Takes seconds to import, and most runs learn nothing.
        from sklearn.ensemble import IsolationForest  # noqa: PLC0415

        names, codes = class_codes(classes)
        features = self._features(grid.values)
        nodes, usual = [pl.DataFrame(schema=NODES)], []
        for code, name in enumerate(names):
            found = features[codes == code].reshape(-1, features.shape[2])
            found = found[np.isfinite(found).all(axis=1)]
            found = found[:: max(1, len(found) // MOST_WINDOWS)]
            if len(found) < 2 * self.window:
                continue
            forest = IsolationForest(
                n_estimators=self.trees, max_samples=min(self.sample, len(found)), random_state=self.seed
            ).fit(found)
            table = _nodes(forest, name)
            nodes.append(table)
            score = _forest_score(found, table)
            middle = float(np.median(score))
            spread = MAD_TO_SIGMA * float(np.median(np.abs(score - middle)))
            usual.append({"class": name, "middle": middle, "spread": max(spread, 1e-3)})
        return Model(
            {
                "nodes": pl.concat(nodes),
                "usual": pl.DataFrame(usual, schema={"class": pl.String, "middle": pl.Float64, "spread": pl.Float64}),
                "classes": grid.series.with_columns(pl.Series("class", list(classes), pl.String)),
            },
            by_series=("classes",),
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Isolation in robust standard deviations above the usual one; 0 where the window has a long hole."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        wide = part.width - at
        score = np.zeros((len(part.values), wide), dtype=np.float32)
        features = self._features(part.values)
        features = features[:, max(features.shape[1] - wide, 0) :]
        offset = wide - features.shape[1]
        classes = model.tables["classes"]["class"].to_numpy()
        for row in model.tables["usual"].iter_rows(named=True):
            members = np.flatnonzero(classes == row["class"])
            flat = features[members].reshape(-1, features.shape[2])
            whole = np.isfinite(flat).all(axis=1)
            found = np.zeros(len(flat))
            trees = model.tables["nodes"].filter(pl.col("class") == row["class"])
            found[whole] = np.fmax((_forest_score(flat[whole], trees) - row["middle"]) / row["spread"], 0)
            score[members, offset:] = found.reshape(len(members), -1)
        return Scored.bare(np.where(np.isfinite(part.values[:, at:]), score, 0))

    def _features(self, values: Floats) -> Floats:
        """(series, ends, 7)."""
        filled = forward_filled(values, FILL).astype(np.float32)
        if filled.shape[1] < self.window:
            return np.zeros((len(filled), 0, 7), dtype=np.float32)
        windows = sliding_window_view(filled, self.window, axis=1)
        time = np.arange(self.window, dtype=np.float32) - (self.window - 1) / 2
        return np.stack(
            [
                windows.mean(axis=2),
                windows.std(axis=2),
                windows.min(axis=2),
                windows.max(axis=2),
                windows @ (time / (time @ time)),
                np.abs(np.diff(windows, axis=2)).mean(axis=2),
                windows[:, :, -1],
            ],
            axis=2,
        )


MOST_WINDOWS = 4000
"""Windows of a class that are looked at: trees are grown from 256 of them."""

NODES = {
    "class": pl.String(),
    "tree": pl.Int32(),
    "node": pl.Int32(),
    "feature": pl.Int32(),
    "at_most": pl.Float64(),
    "left": pl.Int32(),
    "right": pl.Int32(),
    "path": pl.Float64(),
}
"""One row a node: feature -1 for a leaf, `path` the length of the way to it and on through what is below."""


def _nodes(forest: "IsolationForest", name: str) -> pl.DataFrame:
    tables = []
    for number, (estimator, columns) in enumerate(zip(forest.estimators_, forest.estimators_features_, strict=True)):
        tree = estimator.tree_
        path = np.zeros(tree.node_count)
        for node in range(tree.node_count):
            for child in (tree.children_left[node], tree.children_right[node]):
                if child != LEAF:
                    path[child] = path[node] + 1
        leaf = tree.children_left == LEAF
        feature = np.where(leaf, LEAF, columns[np.where(leaf, 0, tree.feature)])
        tables.append(
            pl.DataFrame(
                {
                    "class": [name] * tree.node_count,
                    "tree": [number] * tree.node_count,
                    "node": np.arange(tree.node_count),
                    "feature": feature,
                    "at_most": tree.threshold,
                    "left": np.where(leaf, np.arange(tree.node_count), tree.children_left),
                    "right": np.where(leaf, np.arange(tree.node_count), tree.children_right),
                    "path": path + _average_path(tree.n_node_samples),
                }
            ).cast(pl.Schema(NODES))
        )
    return pl.concat(tables)


def _average_path(size: Floats) -> Floats:
    """Mean length of an unsuccessful search in a binary tree of so many (Liu et al., equation 1)."""
    large = np.maximum(size, 3).astype(np.float64)
    return np.where(size <= 1, 0.0, np.where(size == 2, 1.0, 2 * (np.log(large - 1) + EULER) - 2 * (large - 1) / large))


def _forest_score(features: Floats, nodes: pl.DataFrame) -> Floats:
    """2 to the power of minus the mean path over its expectation: Liu et al., equation 2."""
    total = np.zeros(len(features))
    trees = nodes.partition_by("tree", maintain_order=True)
    rows = np.arange(len(features))
    for tree in trees:
        feature, at_most, left, right = (tree[name].to_numpy() for name in ("feature", "at_most", "left", "right"))
        place = np.zeros(len(features), dtype=np.int64)
        while True:
            down = feature[place]
            inner = down != LEAF
            if not inner.any():
                break
            smaller = features[rows, np.maximum(down, 0)] <= at_most[place]
            place = np.where(smaller, left[place], right[place])
        total += tree["path"].to_numpy()[place]
    # All trees of a class are grown from samples of one size: what a root's path leaves is that size's.
    expected = float(np.mean([tree["path"][0] for tree in trees])) if trees else 1.0
    return np.asarray(2.0 ** (-total / max(len(trees), 1) / max(expected, 1e-9)))
