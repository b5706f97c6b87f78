"""What is unusual in the events of an industrial line: charge of a window, starts, strokes, changes of state.

Each function takes the readings of some days and returns rows of one shape, FINDING_COLUMNS. The formulas are beside
this module; which past counts for which event is decided here.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from iot_pipeline.anomalies.detectors.base import shown
from iot_pipeline.anomalies.signals.inrush import starts, working_load
from iot_pipeline.anomalies.signals.integral import integrals
from iot_pipeline.anomalies.signals.past import against_past, slope_per_hundred
from iot_pipeline.anomalies.signals.states import illegal, time_in_state, transitions
from iot_pipeline.anomalies.signals.strokes import LAST_STROKES

FINDING_COLUMNS = ("signal", "ts", "value", "support", "score", "expected_low", "expected_high", "reason")

LAST_STARTS = 20
LAST_WINDOWS = 100
LEAST_COVERAGE = 0.9
"""Share of a window that must have been read."""

HELD = 0.999
"""Share of a window that one state must hold: with a second of inrush in it a window is another one."""

STARTED = ("peak_ratio", "inrush_seconds", "i2t")


def charge_findings(
    currents: pl.DataFrame, told: pl.DataFrame, *, by: Sequence[str], window: timedelta
) -> pl.DataFrame:
    """The integral of each series over windows against the last LAST_WINDOWS windows in the same state.

    Args:
        currents: columns `by`, ts, value (A).
        told: columns that identify the machine (those of `by` that it has), ts, state.
        by: what identifies a series of currents.
        window: length of the windows, from a minute up, a divisor of a day.

    Returns:
        `by`, state, FINDING_COLUMNS. Windows that were read for less than LEAST_COVERAGE, or in which the
        state changed, are left out: their charge tells when it changed.
    """
    machine = [name for name in by if name in told.columns]
    share = pl.col("seconds") / window.total_seconds()
    holding = time_in_state(told, by=machine, window=window).filter(share >= HELD)
    found = integrals(currents, by=by, window=window).filter(pl.col("coverage") >= LEAST_COVERAGE)
    found = found.join(
        holding.select(*machine, "window", "state"), on=[*machine, "window"], how="inner", nulls_equal=True
    )
    # Per covered second, so that windows with a small hole are not smaller for it.
    mean = pl.col("amount") / pl.col("covered_seconds") * window.total_seconds()
    judged = against_past(
        found.with_columns(mean.alias("charge")), by=[*by, "state"], value="charge", last=LAST_WINDOWS, ts="window"
    )
    return _findings(
        judged, [*by, "state"], "charge", "charge", "window", f"the {LAST_WINDOWS} windows before in this state"
    )


def start_findings(currents: pl.DataFrame, *, by: Sequence[str], rated: pl.DataFrame | None = None) -> pl.DataFrame:
    """Peak ratio, duration and I2t of each start against the last LAST_STARTS starts of the same machine.

    Args:
        currents: columns `by`, ts, current (A, mean of the phases).
        by: what identifies a machine.
        rated: columns `by`, load: rated currents, as far as known; a start is then seen at a tenth of it. Machines
            without one go by what they draw when they work.

    Returns:
        `by`, FINDING_COLUMNS; signal is one of STARTED.
    """
    known = rated if rated is not None else currents.select(*by, pl.lit(0.0).alias("load")).clear()
    others = currents.join(known, on=by, how="anti", nulls_equal=True)
    found = pl.concat(
        [starts(currents, known, by=by, on_share=0.1), starts(others, working_load(others, by=by), by=by)]
    )
    return pl.concat(
        [
            _findings(
                against_past(found, by=by, value=signal, last=LAST_STARTS, ts="started_at"),
                by,
                signal,
                signal,
                "started_at",
                f"the {LAST_STARTS} starts before",
            )
            for signal in STARTED
        ]
    )


def stroke_findings(strokes: pl.DataFrame, *, by: Sequence[str]) -> pl.DataFrame:
    """Each travel time, and its slope per hundred strokes, against the last LAST_STROKES strokes.

    Args:
        strokes: columns `by` (valve and direction), ts, value (any unit of time; null is a missing end switch).
        by: what identifies valve and direction.

    Returns:
        `by`, FINDING_COLUMNS; signal is travel_time, travel_slope (unit per hundred strokes) or missing_end.
    """
    judged = against_past(strokes, by=by, value="value", last=LAST_STROKES)
    sloped = slope_per_hundred(strokes, by=by, value="value", last=LAST_STROKES)
    slopes = against_past(sloped, by=by, value="slope_per_hundred", last=4 * LAST_STROKES)
    missing = strokes.filter(pl.col("value").is_null()).with_columns(
        pl.lit("missing_end").alias("signal"),
        pl.lit(0, pl.Int64).alias("support"),
        pl.lit(1.0).alias("score"),
        pl.lit(None, pl.Float64).alias("expected_low"),
        pl.lit(None, pl.Float64).alias("expected_high"),
        pl.lit("the end switch did not answer the command").alias("reason"),
    )
    before = f"the {LAST_STROKES} strokes before"
    return pl.concat(
        [
            _findings(judged, by, "value", "travel_time", "ts", before),
            _findings(slopes, by, "slope_per_hundred", "travel_slope", "ts", "its slopes before"),
            missing.select(*by, pl.col("ts"), pl.exclude(*by, "ts")).select(*by, *FINDING_COLUMNS),
        ],
        how="vertical_relaxed",
    )


def transition_findings(told: pl.DataFrame, allowed: pl.DataFrame, *, by: Sequence[str]) -> pl.DataFrame:
    """Changes of state that are not allowed: `by`, FINDING_COLUMNS; value is the seconds in the former state."""
    strange = illegal(transitions(told, by=by), allowed)
    return strange.select(
        *by,
        pl.lit("transition").alias("signal"),
        "ts",
        pl.col("seconds").alias("value"),
        pl.lit(0, pl.Int64).alias("support"),
        pl.lit(1.0).alias("score"),
        pl.lit(None, pl.Float64).alias("expected_low"),
        pl.lit(None, pl.Float64).alias("expected_high"),
        pl.format("went from {} to {}, which is not allowed", "from_state", "to_state").alias("reason"),
    )


def _findings(  # noqa: PLR0917 -- private, called in this file only
    judged: pl.DataFrame, by: Sequence[str], value: str, signal: str, ts: str, past: str
) -> pl.DataFrame:
    side = pl.when(pl.col(value) > pl.col("usual")).then(pl.lit("above")).otherwise(pl.lit("below"))
    words = signal.replace("_", " ")
    reason = pl.format(
        "{} {} is {} the {} to {} of {}",
        pl.lit(words),
        shown(value, 4),
        side,
        shown("expected_low", 4),
        shown("expected_high", 4),
        pl.lit(past),
    )
    return (
        judged.rechunk()
        .filter(pl.col(value).is_not_null())
        .select(
            *by,
            pl.lit(signal).alias("signal"),
            pl.col(ts).alias("ts"),
            pl.col(value).cast(pl.Float64).alias("value"),
            "support",
            "score",
            "expected_low",
            "expected_high",
            pl.when(pl.col("score") >= 1.0).then(reason).alias("reason"),
        )
    )
