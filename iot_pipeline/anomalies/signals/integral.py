"""Integrals of a signal over fixed windows: charge of a current (A s, A h) and its thermal load (I2t, A2 s).

Which currents there are and what is unusual about their integrals is elsewhere.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

LONGEST = timedelta(seconds=10)
"""Pause over which nothing is assumed, as in the mart `machine_current_hour`."""

INTEGRAL_COLUMNS = ("window", "amount", "squared", "covered_seconds", "coverage")


def integrals(
    readings: pl.DataFrame, *, by: Sequence[str], window: timedelta, longest: timedelta = LONGEST
) -> pl.DataFrame:
    """Integrals of the line through the readings of each series, by windows that begin at multiples of `window`.

    Between two readings a and b that lie dt apart: trapezoid Q = (a + b) / 2 x dt, and of the square of the
    same line S = (a^2 + a b + b^2) / 3 x dt. A stretch across the border of a window is divided there by
    interpolation, so neighbouring windows add up. A stretch longer than `longest` counts for nothing: coverage says so.
    For a current in amperes the amount is the charge in A s (3600 A s = 1 A h) and the squared one is I2t, the
    let-through energy that fuses and motor protection are rated by (IEC 60269-1; thermal model of IEC 60255-149).

    Args:
        readings: columns `by`, ts (UTC) and value, in any order; of equal time stamps the first row counts; values
            that are missing or not finite are no readings.
        by: what identifies a series.
        window: length of the windows.
        longest: longest stretch between readings that is believed.

    Returns:
        One row a series and window with at least one stretch, sorted: `by`, window (begin, UTC), amount (unit x s),
        squared (unit^2 x s), covered_seconds, coverage (share of the window).

    Raises:
        ValueError: `longest` is longer than `window`.
    """
    if not timedelta(0) < longest <= window:
        raise ValueError(f"longest stretch {longest} must be above zero and at most the window of {window}")
    length = window // timedelta(microseconds=1)
    at = pl.col("ts").dt.epoch("us")
    stretches = (
        readings.filter(pl.col("value").is_finite().fill_null(value=False), pl.col("ts").is_not_null())
        .unique([*by, "ts"], keep="first", maintain_order=True)
        .sort(*by, "ts")
        .select(
            *by,
            at.shift(1).over(by).alias("begins"),
            at.alias("ends"),
            pl.col("value").shift(1).over(by).alias("a"),
            pl.col("value").alias("b"),
        )
        .filter(pl.col("ends") - pl.col("begins") <= longest // timedelta(microseconds=1))
        .with_columns((pl.col("ends") // length * length).alias("border"))
        .with_columns((pl.col("begins") < pl.col("border")).alias("is_divided"))
    )
    share = (pl.col("border") - pl.col("begins")) / (pl.col("ends") - pl.col("begins"))
    stretches = stretches.with_columns((pl.col("a") + (pl.col("b") - pl.col("a")) * share).alias("m"))
    whole = stretches.filter(~pl.col("is_divided"))
    divided = stretches.filter("is_divided")
    pieces = pl.concat(
        [
            _pieces(whole, by, length, times=("begins", "ends"), values=("a", "b")),
            _pieces(divided, by, length, times=("begins", "border"), values=("a", "m")),
            _pieces(divided, by, length, times=("border", "ends"), values=("m", "b")),
        ]
    )
    return (
        pieces.group_by(*by, "window")
        .agg(pl.col("amount", "squared", "covered_seconds").sum())
        .with_columns(
            pl.col("window").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            (pl.col("covered_seconds") / window.total_seconds()).alias("coverage"),
        )
        .select(*by, *INTEGRAL_COLUMNS)
        .sort(*by, "window")
    )


def _pieces(
    stretches: pl.DataFrame, by: Sequence[str], length: int, *, times: tuple[str, str], values: tuple[str, str]
) -> pl.DataFrame:
    (begin, end), (a, b) = (pl.col(name) for name in times), (pl.col(name) for name in values)
    seconds = (end - begin) / 1e6
    return stretches.select(
        *by,
        (begin // length * length).alias("window"),
        ((a + b) / 2 * seconds).alias("amount"),
        ((a**2 + a * b + b**2) / 3 * seconds).alias("squared"),
        seconds.alias("covered_seconds"),
    )
