"""States of machines: how long they are in each, how they change, and readings beside the state they were made in.

Which readings are unusual in a state is in `models/state_level.py`.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

LONGEST = timedelta(seconds=60)
"""A state holds so long without being told again: a silent machine is in no state that anybody knows."""

LEAST_SEEN = 3
"""Times that a change must have been seen to be allowed."""

LEAST_EXITS = 100
"""Changes out of a state that must have been seen before one that never came is called illegal."""

US = timedelta(microseconds=1)


def time_in_state(
    told: pl.DataFrame, *, by: Sequence[str], window: timedelta, longest: timedelta = LONGEST
) -> pl.DataFrame:
    """Seconds in each state by windows that begin at multiples of `window`, and how often it was entered.

    A state holds until the next one is told, at most `longest`, and not past midnight (UTC), so that a day comes out
    the same whatever it is computed with; the first state of a day is not an entry. With windows of an hour this is
    the mart `machine_state_hour`.

    Args:
        told: columns `by`, ts (UTC), state, in any order, one row an instant.
        by: what identifies a machine.
        window: length of the windows; a day must be a multiple of it.
        longest: see LONGEST; at most the window.

    Returns:
        `by`, window, state, seconds, entries; sorted.
    """
    if longest > window or timedelta(days=1) % window:
        raise ValueError(f"windows of {window} must divide a day and not be shorter than {longest}")
    length, day = window // US, timedelta(days=1) // US
    at = pl.col("ts").dt.epoch("us")
    same_day = [*by, "day"]
    held = (
        told.drop_nulls(["ts", "state"])
        .with_columns((at // day).alias("day"), at.alias("at"))
        .sort(*by, "at")
        .with_columns(
            pl.min_horizontal(
                pl.col("at").shift(-1).over(same_day), pl.col("at") + longest // US, (pl.col("day") + 1) * day
            ).alias("until"),
            (pl.col("state").shift(1).over(same_day) != pl.col("state")).fill_null(value=False).alias("entries"),
            (pl.col("at") // length * length).alias("window"),
        )
        .with_columns((pl.col("window") + length).alias("border"))
    )
    first = held.with_columns(pl.min_horizontal("until", "border").alias("until"))
    rest = held.filter(pl.col("until") > pl.col("border")).with_columns(
        pl.col("border").alias("at"), pl.col("border").alias("window"), pl.lit(value=False).alias("entries")
    )
    return (
        pl.concat([first, rest])
        .group_by(*by, "window", "state")
        .agg(((pl.col("until") - pl.col("at")) / 1e6).sum().alias("seconds"), pl.col("entries").sum().cast(pl.Int64))
        .with_columns(pl.col("window").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"))
        .sort(*by, "window", "state")
    )


def transitions(told: pl.DataFrame, *, by: Sequence[str], longest: timedelta = LONGEST) -> pl.DataFrame:
    """Changes of state: `by`, ts (UTC, of the new state), from_state, to_state, seconds (in the former, as told).

    A change across a silence longer than `longest` is none: what happened in between is not known.
    """
    changed = (pl.col("state") != pl.col("before")).fill_null(value=False)
    steps = (
        told.drop_nulls(["ts", "state"])
        .sort(*by, "ts")
        .with_columns(
            pl.col("state").shift(1).over(by).alias("before"), pl.col("ts").shift(1).over(by).alias("before_at")
        )
        .with_columns((pl.col("ts") - pl.col("before_at") > longest).fill_null(value=True).alias("is_silence"))
        .with_columns(pl.when(changed | pl.col("is_silence")).then("ts").forward_fill().over(by).alias("since"))
        .with_columns(pl.col("since").shift(1).over(by).alias("entered_at"))
    )
    return steps.filter(changed & ~pl.col("is_silence")).select(
        *by,
        "ts",
        pl.col("before").alias("from_state"),
        pl.col("state").alias("to_state"),
        ((pl.col("ts") - pl.col("entered_at")).dt.total_microseconds() / 1e6).alias("seconds"),
    )


def illegal(changes: pl.DataFrame, seen: pl.DataFrame, *, by: Sequence[str]) -> pl.DataFrame:
    """The rows of `changes` that machines of the same kind practically never made, as far as enough is known of them.

    Nobody registers which changes a machine may make, so what its kind did LEAST_SEEN times is allowed. Of a state that
    was left fewer than LEAST_EXITS times nothing is said yet, and one that was never seen is news and not a fault: it
    is for a person to say what it is.

    Args:
        changes: columns `by`, from_state, to_state and any others, such as those of `transitions`.
        seen: columns `by`, from_state, to_state and seen: how often each change came on earlier days.
        by: what machines share that may do the same, such as their class.

    Returns:
        These rows with exits: how often machines of the kind left the former state.
    """
    exits = seen.group_by(*by, "from_state").agg(pl.col("seen").sum().alias("exits"))
    known = pl.concat([seen.select(*by, pl.col(name).alias("to_state")) for name in ("from_state", "to_state")])
    allowed = seen.filter(pl.col("seen") >= LEAST_SEEN)
    return (
        changes.join(exits, on=[*by, "from_state"], how="inner")
        .join(known.unique(), on=[*by, "to_state"], how="semi")
        .join(allowed, on=[*by, "from_state", "to_state"], how="anti")
        .filter(pl.col("exits") >= LEAST_EXITS)
    )


def with_entry(told: pl.DataFrame, *, by: Sequence[str], longest: timedelta = LONGEST) -> pl.DataFrame:
    """`by`, ts, state, entered_at: since when each told state holds, as far back as was told; sorted by `by` and ts.

    After a silence longer than `longest` a state is entered anew.
    """
    is_entry = (pl.col("state") != pl.col("state").shift(1).over(by)) | (
        pl.col("ts") - pl.col("ts").shift(1).over(by) > longest
    )
    return (
        told.drop_nulls(["ts", "state"])
        .sort(*by, "ts")
        .with_columns(pl.when(is_entry.fill_null(value=True)).then("ts").forward_fill().over(by).alias("entered_at"))
        .select(*by, "ts", "state", "entered_at")
    )


def with_state(
    readings: pl.DataFrame, told: pl.DataFrame, *, by: Sequence[str], longest: timedelta = LONGEST
) -> pl.DataFrame:
    """`readings` (columns `by`, ts) with state and state_age (seconds since it was entered, as far back as was told).

    The state is the last one told at or before the reading, at most `longest` ago; null without one. Sorted by ts.
    """
    return (
        readings.sort("ts", maintain_order=True)
        .join_asof(
            with_entry(told, by=by, longest=longest).sort("ts"),
            on="ts",
            by=list(by),
            strategy="backward",
            tolerance=longest,
            check_sortedness=False,
        )
        .with_columns(((pl.col("ts") - pl.col("entered_at")).dt.total_microseconds() / 1e6).alias("state_age"))
        .drop("entered_at")
    )
