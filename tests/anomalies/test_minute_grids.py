"""Minutes as arrays: each number in its place, in whatever pieces and order the rows come."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from iot_pipeline.anomalies.detectors.minute_grids import EXTREMES, MOMENTS, STATISTICS, Memory, MinuteGrids, filled
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.clock import MINUTE
from tests.anomalies.frames import NOW

MINUTES = 6
END = NOW + (MINUTES - 1) * MINUTE


def rows(devices: int, seed: int) -> pl.DataFrame:
    """Statistics of MINUTES minutes from NOW on, some missing, in no order; `mean` tells which is which."""
    rng = np.random.default_rng(seed)
    cells = pl.DataFrame({"device": range(devices)}).join(pl.DataFrame({"lag": range(MINUTES)}), how="cross")
    named = cells.with_columns(
        (NOW + pl.duration(minutes="lag")).alias("minute"),
        pl.format("m{}", "device").alias("device_id"),
        pl.lit("t").alias("metric"),
        pl.when(pl.col("device") % 2 == 0).then(pl.lit("K")).alias("unit"),
        (pl.col("device") * 100.0 + pl.col("lag")).alias("mean"),
        *(pl.lit(1.0).alias(name) for name in (*MOMENTS, *EXTREMES)),
    ).select(STATISTICS)
    kept = named.filter(pl.Series(rng.random(named.height) > 0.2, dtype=pl.Boolean))
    return kept.sample(fraction=1.0, shuffle=True, seed=seed)


@given(devices=st.integers(0, 40), seed=st.integers(0, 1000), cuts=st.lists(st.integers(0, 240), max_size=4))
@profile(max_examples=40, deadline=None)
def test_each_number_is_in_its_place(devices: int, seed: int, cuts: list[int]) -> None:
    told = rows(devices, seed)
    bounds = sorted({0, told.height, *(cut for cut in cuts if cut < told.height)})
    pieces = [told[begin:end] for begin, end in pairwise(bounds)]

    memory = Memory()
    filled([rows(7, seed)], END, {"mean": NOW, "count": NOW}, memory)  # what was there before is not seen
    grids = filled(pieces, END, {"mean": NOW, "count": NOW + 2 * MINUTE}, memory)

    means = grids.between("mean", NOW, END)
    known = {
        (names[0], lag): mean
        for lag in range(MINUTES)
        for names, mean in zip(grids.series.rows(), means[lag], strict=True)
    }
    expected = {(row["device_id"], (row["minute"] - NOW) // MINUTE): row["mean"] for row in told.iter_rows(named=True)}
    assert {cell: mean for cell, mean in known.items() if np.isfinite(mean)} == expected
    assert sorted(grids.series.rows()) == sorted(set(told.select(SERIES).rows()))
    assert int(np.nansum(grids.between("count", NOW, NOW + 9 * MINUTE))) == sum(lag >= 2 for _, lag in expected)


def test_minutes_that_nobody_put_in_are_missing() -> None:
    grids = MinuteGrids.of(rows(3, 1))
    around = grids.between("mean", NOW - 2 * MINUTE, NOW + (MINUTES + 1) * MINUTE)
    assert around.shape == (MINUTES + 4, 3)
    assert np.isnan(around[:2]).all()
    assert np.isnan(around[-2:]).all()
    np.testing.assert_array_equal(around[2:-2], grids.columns["mean"])
    assert np.isnan(grids.between("max", NOW + timedelta(days=1), NOW + timedelta(days=1))).all()


def test_a_mean_that_is_no_number_is_missing() -> None:
    told = rows(2, 1).with_columns(pl.lit(np.inf).alias("mean"))
    assert np.isnan(MinuteGrids.of(told).columns["mean"]).all()
    assert np.isnan(MinuteGrids.of(told).columns["count"]).all()


def test_some_series_have_what_they_have_among_all() -> None:
    grids = MinuteGrids.of(rows(5, 1))
    wanted = pl.concat([grids.series[[3, 1]], grids.series[:1].with_columns(pl.lit("nobody").alias("device_id"))])
    found = grids.of_series(wanted, "mean")
    np.testing.assert_array_equal(found.columns["mean"][:, :2], grids.columns["mean"][:, [3, 1]])
    assert np.isnan(found.columns["mean"][:, 2]).all()
    np.testing.assert_array_equal(found.between("mean", NOW, END)[:, :2], grids.between("mean", NOW, END)[:, [3, 1]])


def test_all_series_are_not_copied() -> None:
    grids = MinuteGrids.of(rows(5, 1))
    assert grids.of_series(grids.series, "mean").columns["mean"] is grids.columns["mean"]
