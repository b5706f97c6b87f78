"""Labelled runs of a pump loop by their repository's protocol: the first 400 rows train, rows after them count.

Both groups were seen while constants were chosen (on valve1, with valve2 beside it): what runs of other kinds of faults
give is for others to measure.
"""

from datetime import UTC
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from iot_pipeline.anomalies.channels import Channels, grid_of_wide
from iot_pipeline.paths import PROJECT_ROOT

SKAB = PROJECT_ROOT.parent / "shared" / "anomaly" / "skab.parquet"
TRAIN = 400

pytestmark = pytest.mark.skipif(not SKAB.exists(), reason="labelled data is not here")


def rows_of(path: Path, group: str) -> pl.DataFrame:
    """label and score of the rows that count of all runs of `group`."""
    runs = (
        pl.read_parquet(path)
        .filter(pl.col("series").str.starts_with(group))
        .with_columns(pl.col("ts").dt.replace_time_zone("UTC"))
    )
    found = []
    for run in runs.sort("series", "ts").partition_by("series", maintain_order=True):
        grid = grid_of_wide(run.drop("label", "changepoint"))
        model = Channels().fit(grid.head(grid.column_of(run["ts"][TRAIN].astimezone(UTC))))
        scored = Channels().score(grid, model)
        found.append(run[TRAIN:].join(scored, on=["series", "ts"], how="left").select("label", "score", "flag"))
    return pl.concat(found)


@pytest.mark.parametrize("group", ["valve1", "valve2"])
def test_faults_of_the_pump_loop_are_found(group: str) -> None:
    rows = rows_of(SKAB, group)
    label, flag = rows["label"].to_numpy() == 1, rows["flag"].fill_null(value=False).to_numpy()
    hits, false, missed = (label & flag).sum(), (~label & flag).sum(), (label & ~flag).sum()
    f1 = 2 * hits / (2 * hits + false + missed)
    far = 100 * false / (~label).sum()
    assert f1 >= 0.80
    assert far <= 20.0
    assert np.isfinite(rows["score"].drop_nulls().to_numpy()).all()
