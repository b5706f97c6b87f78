"""Strokes of valves: from the command to the end switch, and commands that no end switch answered.

For valves that tell commands and end switches; whether a travel time is unusual is elsewhere (`models/scoring/`).
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl


def travel_times(commands: pl.DataFrame, ends: pl.DataFrame, *, by: Sequence[str], timeout: timedelta) -> pl.DataFrame:
    """Time from each command edge to the edge of the end switch that it asked for.

    A command is answered by the first end at or after it, if that comes within `timeout` and before the next command of
    the valve, in whatever direction: a valve that was turned round did not arrive. A missing answer is a stuck
    valve, lost air, or a broken switch: a fault by itself, for which no past is needed.

    Args:
        commands: columns `by`, direction and ts (UTC), in any order.
        ends: the same of end switches.
        by: what identifies a valve.
        timeout: longest travel.

    Returns:
        `commands` sorted by `by` and ts, with reached_at (null when the end is missing), travel_seconds, is_missing.
    """
    following = pl.col("ts").shift(-1).over(by)
    reached = ends.sort("ts").with_columns(pl.col("ts").alias("reached_at"))
    found = (
        commands.sort(*by, "ts")
        .with_columns(following.alias("next_at"))
        .sort("ts")
        .join_asof(
            reached.select(*by, "direction", "ts", "reached_at"),
            on="ts",
            by=[*by, "direction"],
            strategy="forward",
            tolerance=timeout,
            check_sortedness=False,
        )
    )
    in_time = (pl.col("reached_at") < pl.col("next_at")).fill_null(value=True)
    return (
        found.with_columns(pl.when(in_time).then("reached_at").alias("reached_at"))
        .with_columns(
            ((pl.col("reached_at") - pl.col("ts")).dt.total_microseconds() / 1e6).alias("travel_seconds"),
            pl.col("reached_at").is_null().alias("is_missing"),
        )
        .drop("next_at")
        .sort(*by, "ts")
    )
