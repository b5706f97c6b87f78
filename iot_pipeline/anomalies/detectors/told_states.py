"""What machines told of their state, as detectors look at it: which readings and minutes belong to one state.

How a state is told apart from the next is in `signals/states.py`; who reads the states from files is `flags.py`.

A machine counts as telling its state in a minute in which it told it, so that a minute alone knows as much as a range.
"""

from datetime import timedelta

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.signals.states import with_entry, with_state
from iot_pipeline.clock import MINUTE
from iot_pipeline.trees import UTC_MICROSECONDS, Schema

STATE_METRIC = "state"
"""Metric whose text is what a machine does, as in the mart `machine_state_hour`."""

STATES_SCHEMA: Schema = {"device_id": pl.String(), "ts": UTC_MICROSECONDS, "state": pl.String()}

BEFORE = 62 * MINUTE
"""So far before the first minute states are looked at: the look-back of the detectors, and what is needed to tell since
when the first of its states holds."""

SETTLING = timedelta(seconds=10)
"""Time after a change of state that is kept apart: inrush and run-down."""

LAG = timedelta(seconds=2)
"""A state is told up to so late: readings just before a change may already be of the next state."""

CHANGES = 60 * MINUTE
"""So long after a change of state, differences between minutes tell of the change."""

FOLLOWING = ("spike", "step", "drift", "noise")
"""Detectors that compare minutes with those before them, whatever the machine was told to do."""

_BY = ("device_id",)
_MACHINE_MINUTE = ("device_id", "minute")


def told_states(readings: pl.DataFrame) -> pl.DataFrame:
    """STATES_SCHEMA: the states told in `readings` (READING_SCHEMA; without `text` there are none)."""
    if "text" not in readings.columns:
        return no_states()
    told = readings.filter(
        (pl.col("metric") == STATE_METRIC)
        & pl.col("text").is_not_null()
        & pl.col("value").is_null()
        & (pl.col("quality") != "bad")
    )
    return (
        told.select("device_id", pl.col("event_ts").alias("ts"), pl.col("text").alias("state"))
        .sort("device_id", "ts", "state")
        .unique(["device_id", "ts"], keep="first", maintain_order=True)
    )


def no_states() -> pl.DataFrame:
    """STATES_SCHEMA without rows."""
    return pl.DataFrame(schema=STATES_SCHEMA)


def telling(states: pl.DataFrame) -> pl.DataFrame:
    """Columns device_id, minute: in which minutes which machines told a state."""
    return states.select("device_id", _minute("ts")).unique(maintain_order=True)


def with_told_state(readings: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Readings (columns minute, event_ts, device_id) of machines that told a state in their minute.

    Returns:
        These readings, sorted by event_ts, with state, state_age (seconds) and is_sure: false where a state told late
        may be another one, just before a change and in the last LAG of a minute, of which nobody knows what follows.
    """
    own = readings.join(telling(states), on=_MACHINE_MINUTE, how="semi")
    found = with_state(own.rename({"event_ts": "ts"}), states, by=_BY)
    following = states.select(
        "device_id", "ts", pl.col("state").alias("next_state"), _minute("ts").alias("next_minute")
    )
    found = found.join_asof(
        following.sort("ts"),
        on="ts",
        by=list(_BY),
        strategy="forward",
        tolerance=LAG,
        check_sortedness=False,
        allow_exact_matches=False,
    )
    changes = (pl.col("next_state") != pl.col("state")) & (pl.col("next_minute") == pl.col("minute"))
    at_end = pl.col("ts") >= pl.col("minute") + MINUTE - LAG
    return (
        found.with_columns((~changes.fill_null(value=False) & ~at_end).alias("is_sure"))
        .drop("next_state", "next_minute")
        .rename({"ts": "event_ts"})
    )


def steady() -> pl.Expr:
    """Of `with_told_state`: the state is known and has settled."""
    return pl.col("state").is_not_null() & pl.col("is_sure") & (pl.col("state_age") >= SETTLING.total_seconds())


def steady_minutes(states: pl.DataFrame) -> pl.DataFrame:
    """Columns device_id, minute, state: the minutes that one settled state held from their begin to their end."""
    held = with_entry(states, by=_BY).with_columns(_minute("ts"))
    whole = (
        held.group_by(_MACHINE_MINUTE)
        .agg(pl.col("state").n_unique().alias("states"), pl.col("state").first(), pl.col("entered_at").max())
        .filter(pl.col("states") == 1, pl.col("entered_at") <= pl.col("minute") - SETTLING)
    )
    return whole.select(*_MACHINE_MINUTE, "state").sort(_MACHINE_MINUTE)


def without_changes_of_state(flags: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """`flags` (FLAGS_SCHEMA) but for those of FOLLOWING on machines that changed their state within CHANGES."""
    doubtful = (
        flags.filter(pl.col("detector").is_in(FOLLOWING))
        .select(_MACHINE_MINUTE)
        .unique()
        .join(telling(states), on=_MACHINE_MINUTE, how="semi")
    )
    if doubtful.is_empty():
        return flags
    held = states.select("device_id", _minute("ts").alias("told"), "state").unique()
    changed = (
        doubtful.join(held, on="device_id", how="inner")
        .filter(pl.col("told") <= pl.col("minute"), pl.col("told") >= pl.col("minute") - CHANGES)
        .group_by(_MACHINE_MINUTE)
        .agg(pl.col("state").n_unique().alias("states"))
        .filter(pl.col("states") > 1)
    )
    followed = flags.filter(pl.col("detector").is_in(FOLLOWING)).join(changed, on=_MACHINE_MINUTE, how="semi")
    return flags.join(
        followed, on=[*SERIES, "event_ts", "detector"], how="anti", nulls_equal=True, maintain_order="left"
    )


def _minute(column: str) -> pl.Expr:
    return pl.col(column).dt.truncate("1m").alias("minute")
