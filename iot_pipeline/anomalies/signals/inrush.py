"""Starts of motors in a series of currents: when, how high, how long, and how much heat.

How a start compares with the last ones of its motor is in `detectors/past.py`.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

LONGEST = timedelta(seconds=10)
"""Pause over which no start is seen, and how long a start is looked at, as in the mart `machine_start`."""

SETTLED = 1.2
"""Share of the load below which the inrush is over."""


def working_load(currents: pl.DataFrame, *, by: Sequence[str]) -> pl.DataFrame:
    """What each machine draws when it works: the median of the currents at or above half their 95th percentile.

    For machines whose rated current nobody told. Columns `by`, current (A); returns `by`, load (A), for machines that
    drew anything.
    """
    heavy = pl.col("current") >= pl.col("current").quantile(0.95, "linear").over(by) / 2
    return (
        currents.filter(pl.col("current").is_finite().fill_null(value=False))
        .filter(heavy & (pl.col("current") > 0))
        .group_by(by, maintain_order=True)
        .agg(pl.col("current").median().alias("load"))
    )


def starts(
    currents: pl.DataFrame,
    loads: pl.DataFrame,
    *,
    by: Sequence[str],
    on_share: float = 0.5,
    longest: timedelta = LONGEST,
) -> pl.DataFrame:
    """The starts of machines and their inrush.

    A start is the first reading at or above `on_share` of the load after one below it. Against a rated current, 0.1 is
    the usual share; against the working load one half, which a machine in setup does not reach. The inrush is over at
    the first reading of at most SETTLED times the load. Locked-rotor currents of NEMA design B motors are 6 to 8
    times the rated one, those of premium motors up to 14, for tenths of a
    second: with a reading a second the peak is a lower bound, and only ratios among starts of the same machine mean
    something. With `on_share` one half, and the load of `working_load` by day, this is the mart `machine_start`.

    Args:
        currents: columns `by`, ts (UTC), current (A, mean of the phases), in any order, one row an instant.
        loads: columns `by`, load (A, above 0).
        by: what identifies a machine.
        on_share: share of the load from which a machine is on.
        longest: see LONGEST.

    Returns:
        One row a start, sorted: `by`, started_at, load (A), peak (A), peak_ratio, inrush_seconds (null when it did not
        settle within `longest`), i2t (A2 s from the start until it settled, else until `longest` or the last reading).
    """
    seconds = (pl.col("ts") - pl.col("started_at")).dt.total_microseconds() / 1e6
    current, load, before = pl.col("current"), pl.col("load"), pl.col("before")
    gap = (pl.col("ts") - pl.col("before_at")).dt.total_microseconds() / 1e6
    is_start = (current >= on_share * load) & (before < on_share * load) & (gap <= longest.total_seconds())
    since = (
        currents.filter(pl.col("current").is_finite().fill_null(value=False))
        .join(loads, on=by, how="inner", nulls_equal=True)
        .sort(*by, "ts")
        .with_columns(current.shift(1).over(by).alias("before"), pl.col("ts").shift(1).over(by).alias("before_at"))
        .with_columns(pl.when(is_start).then("ts").forward_fill().over(by).alias("started_at"))
        .filter(pl.col("started_at").is_not_null())
        .filter(seconds <= longest.total_seconds())
    )
    start = [*by, "started_at"]
    settled = pl.col("ts").filter(current <= SETTLED * load).min()
    heat = (current**2 + current * before + before**2) / 3 * gap
    warming = (pl.col("ts") > pl.col("started_at")) & (
        pl.col("ts") <= settled.over(start).fill_null(pl.col("ts").max().over(start))
    )
    return (
        since.with_columns(pl.when(warming).then(heat).otherwise(0.0).alias("heat"))
        .group_by(start, maintain_order=True)
        .agg(
            load.max(),
            current.max().alias("peak"),
            settled.alias("settled_at"),
            pl.col("heat").sum().alias("i2t"),
        )
        .with_columns(
            (pl.col("peak") / load).alias("peak_ratio"),
            ((pl.col("settled_at") - pl.col("started_at")).dt.total_microseconds() / 1e6).alias("inrush_seconds"),
        )
        .select(*start, "load", "peak", "peak_ratio", "inrush_seconds", "i2t")
        .sort(start)
    )
