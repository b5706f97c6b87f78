"""A difference between two means of a series, over its usual size: what `step` and `drift` have in common.

Which means are compared is theirs.
"""

import numpy as np
import polars as pl

from iot_pipeline.anomalies.engine.detector import Model, Scored
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import thinned, usual_size


def learn_size(grid: Grid, difference: Floats, *, least: float) -> Model:
    """Usual size of the difference of each series, at least `least`: table `usual`."""
    usual = np.maximum(usual_size(thinned(np.abs(difference))), least)
    table = grid.series.with_columns(pl.Series("usual", usual[:, 0].astype(float)))
    return Model({"usual": table}, by_series=("usual",))


def over_usual(part: Grid, at: int, model: Model, difference: Floats, earlier: Floats) -> Scored:
    """The difference from `earlier` over its usual size, from column `at` of `part` on.

    `difference` and `earlier` end with `part`, and may begin with `at`.
    """
    usual = model.tables["usual"]["usual"].to_numpy()[:, None].astype(np.float32)
    known = np.isfinite(part.values[:, at:])
    difference, earlier = (values[:, values.shape[1] - known.shape[1] :] for values in (difference, earlier))
    return Scored.around(np.where(known, np.abs(difference) / usual, 0), earlier, usual)
