"""The cells that rows fall into: a clock for each series, told by its past, and the instants at which to learn.

What is computed on the cells is in `walk.py`. Nothing here looks at values, only at time stamps.
"""

import math
from collections.abc import Mapping
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.grid import CELLS_PER_READING, USUAL_SECONDS

WEEK = timedelta(days=7)

LEARNING_SHARE = 0.15
LEARNING_SHARE_WIDE = 0.35
LEARNING_ROWS = 750
LEARNING_TIME = timedelta(days=1)

GROWTH = 0.1
YOUTH = 2.0
"""So many times what was learned from the begin on may come before it is learned from, however short that is. It is
more than once: what lasted longer than half of a stretch is the new usual, and a disturbance must not become that as
long as it is shorter than all that was known before it."""

MOST_CELLS_PER_READING = 512
"""Bounds memory where a device comes to speak that much more rarely than it did: its cells are made longer, the only
thing that depends on what comes later."""

LONGEST_HOLE = timedelta(days=14)
HOLE_CELLS = (128, 4096)
"""Of a hole in the time stamps so much is kept, but at least and at most so many usual intervals: detectors of slow
signals do not look back beyond it, and to those of fast ones the hour is the same on both sides. A clock that began in
1970 is the begin of a series, not half a century of silence."""

FIRST_STAMPS = 8
"""Time stamps that say the interval of a series of which no past is known, unless its first day holds more."""


def default_fit_until(stamps: pl.DataFrame, *, wide: bool) -> pl.DataFrame:
    """The instant from which each series is scored when nobody says one.

    The first 15 % of the time stamps are for learning, or 35 % where a device has several channels (how these go
    together takes more rows to learn than a level does); but no more than 750 or the first day, whichever is more.

    Args:
        stamps: columns subject and us (microseconds UTC), without nulls.
        wide: whether devices have several channels.

    Returns:
        One row a subject: subject, fit_us.
    """
    share = LEARNING_SHARE_WIDE if wide else LEARNING_SHARE
    us = pl.col("us").unique().sort()
    first_day = (us < us.min() + _us(LEARNING_TIME)).sum()
    most = pl.max_horizontal(first_day, LEARNING_ROWS)
    learned = pl.min_horizontal((us.len() * share).floor().cast(pl.Int64), most.cast(pl.Int64))
    return stamps.group_by("subject").agg(us.get(learned.clip(upper_bound=us.len() - 1)).alias("fit_us"))


def given_fit_until(subjects: pl.DataFrame, fit_until: datetime | Mapping[str, datetime]) -> pl.DataFrame:
    """The same from what was given: one instant for all, or one for each series. Naive ones are UTC."""
    if isinstance(fit_until, datetime):
        return subjects.select("subject", pl.lit(_micros(fit_until)).alias("fit_us"))
    chosen = [fit_until.get(name) for name in subjects["series"]]
    fit = pl.Series("fit_us", [None if one is None else _micros(one) for one in chosen], pl.Int64)
    return subjects.select("subject", fit).drop_nulls()


def without_long_holes(rows: pl.DataFrame, fit: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Times moved so that no hole is much longer than detectors look back, by whole weeks: the hour of the week stays.

    How long a hole may be follows from the intervals before `fit_us`; a time is moved for the holes before it alone.

    Args:
        rows: columns subject, us (null where there is no time) and any others.
        fit: one row a subject: subject, fit_us.

    Returns:
        Both with their times moved.
    """
    times = rows.select("subject", "us").drop_nulls("us").unique().sort("subject", "us")
    times = times.join(fit, on="subject", maintain_order="left").with_columns(gap=pl.col("us").diff().over("subject"))
    usual = times.filter(_past()).group_by("subject").agg(pl.col("gap").median().alias("usual"))
    least, most = (pl.col("usual") * count for count in HOLE_CELLS)
    kept = pl.max_horizontal(least, pl.min_horizontal(most, pl.lit(_us(LONGEST_HOLE))))
    weeks = ((pl.col("gap") - kept) // _us(WEEK)).clip(lower_bound=0).fill_null(0).cast(pl.Int64)
    times = times.join(usual, on="subject", how="left", maintain_order="left").with_columns(out=weeks * _us(WEEK))
    if not (times["out"] > 0).any():
        return rows, fit
    times = times.with_columns(to=pl.col("us") - pl.col("out").cum_sum().over("subject"))
    scored = pl.col("us") >= pl.col("fit_us")
    # A begin within a hole is not after its end.
    begin = pl.min_horizontal(
        pl.col("fit_us").first() - pl.col("out").filter(~scored).sum(), pl.col("to").filter(scored).min()
    )
    moved = rows.join(times.select("subject", "us", "to"), on=["subject", "us"], how="left", maintain_order="left")
    return moved.with_columns(us=pl.coalesce("to", "us")).drop("to"), times.group_by("subject").agg(
        begin.alias("fit_us")
    )


def clocks(stamps: pl.DataFrame) -> pl.DataFrame:
    """The usual interval of each series and where in it its readings fall, from what lies before `fit_us`.

    Readings that jitter around the full minute then fall into one cell each. A series of whose past nothing is
    known goes by its first day: it is not scored before its first refit anyway.

    Args:
        stamps: columns subject, us, fit_us.

    Returns:
        One row a subject: subject, step and phase (microseconds), fit_us, first and last (us), readings.
    """
    times = stamps.unique(["subject", "us"]).sort("subject", "us")
    past = times.filter(_past())
    gaps = past.with_columns(gap=pl.col("us").diff().over("subject")).group_by("subject")
    steps = gaps.agg(pl.col("gap").median(), shortest=(pl.col("us").max() - pl.col("us").min()) / pl.len())
    steps = steps.with_columns(gap=pl.max_horizontal("gap", pl.col("shortest") / CELLS_PER_READING))
    usual = {gap: _usual_us(gap) for gap in steps["gap"].unique()}
    spans = times.group_by("subject").agg(
        pl.col("us").min().alias("first"),
        pl.col("us").max().alias("last"),
        pl.len().alias("readings"),
        pl.col("fit_us").first(),
    )
    steps = spans.join(
        steps.select("subject", pl.col("gap").replace_strict(usual, return_dtype=pl.Int64).alias("step")), on="subject"
    )
    # Should later readings be so much rarer that most cells would be empty, cells are made longer.
    longest = (pl.col("last") - pl.col("first")) / pl.col("readings") / MOST_CELLS_PER_READING
    steps = steps.with_columns(step=pl.max_horizontal("step", longest.ceil().cast(pl.Int64)))
    angle = (pl.col("us") % pl.col("step")) / pl.col("step") * (2 * math.pi)
    phases = (
        past.join(steps.select("subject", "step"), on="subject")
        .group_by("subject", "step")
        .agg(angle.cos().mean().alias("x"), angle.sin().mean().alias("y"))
    )
    regular = (pl.col("x").pow(2) + pl.col("y").pow(2)).sqrt() > 0.5
    turn = pl.arctan2("y", "x") / (2 * math.pi) * pl.col("step")
    phase = pl.when(regular).then(turn.round().cast(pl.Int64)).otherwise(0)
    return steps.join(phases.select("subject", phase.alias("phase")), on="subject").sort("subject")


def cell_of(us: pl.Expr) -> pl.Expr:
    """The number of the cell that an instant falls into; cells are centred on the phase."""
    return (us - pl.col("phase") + pl.col("step") // 2) // pl.col("step")


def refits(first: int, fit: int, end: int, every: int) -> NDArray[np.int64]:
    """Columns at which to learn anew, and the end: after `every` columns, or a tenth of what was learned, if more.

    Learning costs as much as there is history; with a fixed pace of days a long history would take its square. What
    was learned from less than half of `every` is learned anew when YOUTH times as much has come.
    """
    bounds = [fit]
    while bounds[-1] < end:
        known = bounds[-1] - first
        young = math.ceil(YOUTH * known) if known else every
        bounds.append(min(bounds[-1] + max(min(every, young), math.ceil(GROWTH * known), 1), end))
    return np.array(bounds, dtype=np.int64)


def _usual_us(gap: float | None) -> int:
    if gap is None or not gap > 0:
        return 1_000_000
    seconds = gap / 1e6
    usual = min(USUAL_SECONDS, key=lambda one: abs(seconds - one) / one)
    if abs(seconds - usual) <= 0.02 * usual:
        return usual * 1_000_000
    # Longer ones to the minute: of a week, three digits are half an hour off.
    return max(round(float(f"{seconds:.3g}") * 1e6), 1) if seconds < 3600 else round(seconds / 60) * 60_000_000


def _us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def _past() -> pl.Expr:
    """Of distinct time stamps in order, those that the clock of a series may be told by."""
    known, rank = pl.col("us") < pl.col("fit_us"), pl.int_range(pl.len()).over("subject")
    first = (pl.col("us") < pl.col("us").min().over("subject") + _us(LEARNING_TIME)) | (rank < FIRST_STAMPS)
    return pl.when(known.sum().over("subject") < 2).then(first).otherwise(known)


def _micros(instant: datetime) -> int:
    stamp = pl.Series([instant]).cast(pl.Datetime("us", "UTC") if instant.tzinfo else pl.Datetime("us"))
    return int(stamp.dt.epoch("us")[0])
