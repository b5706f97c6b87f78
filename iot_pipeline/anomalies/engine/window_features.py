"""How far a few features of the last day are from those that a class of devices usually has.

For stretches that are unusual in level, spread or roughness without one reading being so. Shapes as such are in
`window_kmeans.py`; trees on features of a window in `window_forest.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import FlagType, Model, Scored, class_codes, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.ridge_lags import FILL
from iot_pipeline.anomalies.engine.rolling import forward_filled, lagged, origin_of, rolling_max, rolling_mean
from iot_pipeline.anomalies.engine.scale import MOST, Scale, day_columns
from iot_pipeline.anomalies.engine.window_kmeans import SAMPLE, distances, learn_centroids, sampled

FEATURES = ("mean", "deviation", "least", "greatest", "slope", "change", "last")

LEAST_SAMPLE = 128
"""Windows that a class must have had."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowFeatures:
    """Distance of the features of a window to the nearest of the centroids that K-means finds in those of the past.

    A whole day, so that the hour does not matter: mean, standard deviation, least, greatest, slope, mean absolute
    change and the last value. Each is measured in robust standard deviations from its median, as a signed logarithm,
    so that one that is far out does not drown the others. The distance counts in robust standard deviations above its
    median while learning.

    Args:
        clusters: centroids of a class.
        seed: of the first centroids.
    """

    clusters: int = 20
    seed: int = 0

    @property
    def name(self) -> str:
        """Stable name."""
        return "window_features"

    @property
    def version(self) -> str:
        """Of this code."""
        return "1"

    @property
    def kind(self) -> FlagType:
        """A stretch that lasts."""
        return FlagType.DRIFT

    def lookback_of(self, grid: Grid) -> int:
        """A day, the change of its first reading, and holes before it."""
        return day_columns(grid) + 1 + FILL

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """Centroids of each class, and the usual distance to them."""
        names, codes = class_codes(classes)
        usual, scales, centroids = [], [], []
        for code, name in enumerate(names):
            some = sampled(_features(grid.values[codes == code], grid), SAMPLE)
            if len(some) < LEAST_SAMPLE:
                continue
            scale = Scale.of(some.T)
            learned = learn_centroids(_signed_logs(some, scale), self.clusters, self.seed)
            usual.append({"class": name, "middle": learned.middle, "spread": learned.spread})
            scales.append(scale.table().select(pl.lit(name).alias("class"), pl.Series("feature", FEATURES), pl.all()))
            centroids.append(learned.table(name, FEATURES))
        number = pl.Float64()
        return Model(
            {
                "usual": pl.DataFrame(usual, schema={"class": pl.String(), "middle": number, "spread": number}),
                "features": pl.concat(scales) if scales else pl.DataFrame(schema={"class": pl.String()}),
                "centroids": pl.concat(centroids) if centroids else pl.DataFrame(schema={"class": pl.String()}),
                "classes": grid.series.with_columns(pl.Series("class", list(classes), pl.String)),
            },
            by_series=("classes",),
        )

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Distance in robust standard deviations above the usual one; 0 where half of the window is missing."""
        part, at = stretch(grid, columns, self.lookback_of(grid))
        score = np.zeros((len(part.values), part.width - at), dtype=np.float32)
        classes = model.tables["classes"]["class"].to_numpy()
        for row in model.tables["usual"].filter(pl.col("class").is_in(np.unique(classes))).iter_rows(named=True):
            own = pl.col("class") == row["class"]
            centroids = model.tables["centroids"].filter(own).select(FEATURES).to_numpy()
            members = np.flatnonzero(classes == row["class"])
            found = _features(part.values[members], part)[:, at:].reshape(-1, len(FEATURES))
            logs = _signed_logs(found, Scale.from_table(model.tables["features"].filter(own)))
            away = (distances(logs, centroids) - row["middle"]) / row["spread"]
            score[members] = np.nan_to_num(away).clip(0).reshape(score[members].shape)
        return Scored.bare(np.where(np.isfinite(part.values[:, at:]), score, 0))


def _signed_logs(features: Floats, scale: Scale) -> Floats:
    """Features (windows, 7) in spreads from the usual, as logarithms with their sign."""
    standard = scale.standard(features.T).T
    return np.sign(standard) * np.log1p(np.abs(standard))


def _features(values: Floats, grid: Grid) -> Floats:
    """(series, columns, 7); NaN where less than half of the window was read."""
    window, origin = day_columns(grid), origin_of(grid)
    filled = forward_filled(values, FILL).astype(np.float32)
    mean = rolling_mean(filled, window, origin, least=window // 2)
    square = rolling_mean(filled * filled, window, origin, least=window // 2)
    half = rolling_mean(filled, window // 2, origin)
    unknown = np.isnan(filled)
    found = [
        mean,
        np.sqrt(np.maximum(square - mean * mean, 0)),
        -rolling_max(np.where(unknown, np.float32(-MOST), -filled), window, origin),
        rolling_max(np.where(unknown, np.float32(-MOST), filled), window, origin),
        half - lagged(half, window - window // 2),
        rolling_mean(np.abs(filled - lagged(filled, 1)), window, origin),
        filled,
    ]
    return np.stack(found, axis=2)
