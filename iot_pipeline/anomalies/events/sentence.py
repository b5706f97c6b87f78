"""An event in one sentence, for whoever stands beside the machine. Names in it are data and never markup."""

from datetime import timedelta

import polars as pl


def sentence() -> pl.Expr:
    """`pump_7 pressure: 3.1 bar is below the usual 4 to 4.4 bar; 34 readings in 12 min`.

    Reads device_id, metric, reason (that of the highest score), flags, opened_at and last_flag_at.
    """
    lasting = pl.format("; {} readings in {}", "flags", lasted(pl.col("last_flag_at") - pl.col("opened_at")))
    return pl.format(
        "{} {}: {}{}",
        "device_id",
        "metric",
        pl.col("reason").str.strip_suffix("."),
        pl.when(pl.col("flags") > 1).then(lasting).otherwise(pl.lit("")),
    )


def lasted(duration: pl.Expr) -> pl.Expr:
    """A duration as people say it: `45 s`, `12 min`, `3.5 h`."""
    seconds = duration.dt.total_seconds()
    hour = timedelta(hours=1).total_seconds()
    return (
        pl.when(seconds < 60)
        .then(pl.format("{} s", seconds))
        .when(seconds < hour)
        .then(pl.format("{} min", seconds // 60))
        .otherwise(pl.format("{} h", (seconds / hour).round(1)))
    )
