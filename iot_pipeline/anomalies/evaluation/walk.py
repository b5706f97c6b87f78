"""Walking forward in time: learn from what was, score what comes next, learn again.

What is learned and scored is a method's business (`methods.py`, `baselines.py`); files are read elsewhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from iot_pipeline.anomalies.engine import FlagType, Grid
from iot_pipeline.anomalies.engine.explain import silence
from iot_pipeline.anomalies.evaluation.groups import Group, groups_of, rows_of
from iot_pipeline.anomalies.evaluation.lattice import (
    clocks,
    default_fit_until,
    given_fit_until,
    refits,
    without_long_holes,
)
from iot_pipeline.anomalies.evaluation.methods import CHANNEL, LEARNING, SUBJECT, Method, method_for
from iot_pipeline.clock import DAY
from iot_pipeline.errors import ConfigurationError

NO_TIME = "no time stamp"

SCORED_SCHEMA = {
    "score": pl.Float64(),
    "flag": pl.Boolean(),
    "type": pl.String(),
    "expected_low": pl.Float64(),
    "expected_high": pl.Float64(),
    "reason": pl.String(),
}

GROSS = 2.0
"""Scores from here on are kept out of what is learned next. Leaving out all that was flagged would lower the threshold
with each refit: the strangest of the usual would be gone from the past."""


def walk_forward(
    frame: pl.DataFrame,
    *,
    fit_until: datetime | Mapping[str, datetime] | None = None,
    budget: float = 0.1,
    refit: timedelta = DAY,
    channels: Sequence[str] | None = None,
    method: Method | None = None,
    ts_unit: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pl.DataFrame:
    """Score each row from what lay before it.

    The score of a row depends on rows up to its time only: models come from before the last refit, and detectors look
    back. Rows may stand in any order; of rows of one series with the same time stamp the first one counts and all
    get its score. What happened while nothing was read is told at the first row after it.

    Args:
        frame: columns series, ts (times, ISO 8601 texts or numbers since 1970; what has no zone is UTC) and value, or
            one column a channel; others do not matter.
        fit_until: what lies before is learned from and not scored; one instant for all or one for each series (a
            series without one has none). By default see `lattice.default_fit_until`.
        budget: false alerts wanted a device-day.
        refit: learn anew so often, or when the past has grown by a tenth, if that is later.
        channels: the columns to look at; several are one device. [default: value if there is such a column, else all
            columns of numbers but label]
        method: instead of the product's.
        ts_unit: of numeric time stamps: s, ms, us or ns; by their size if not given.
        progress: called with rows done and rows in total.

    Returns:
        One row for each row of `frame`, in its order: series and ts as they were, score (1.0 is the threshold), flag,
        type, expected_low, expected_high (in the unit of the channel that the reason names) and reason. While a
        series is being learned the score is 0 and the reason "learning".

    Raises:
        ConfigurationError: a column is missing, a budget or an interval is not above zero.
    """
    names = list(channels) if channels is not None else channels_of(frame)
    _refuse(frame, names, budget, refit)
    chosen = method or method_for(len(names))
    rows = rows_of(frame, names, ts_unit)
    found = pl.DataFrame(schema={"row": pl.UInt32, **SCORED_SCHEMA})
    stamps = rows.drop_nulls("us").select("subject", "us")
    if stamps.height:
        subjects = rows.select("subject", "series").unique("subject").sort("subject")
        fit = (
            default_fit_until(stamps, wide=len(names) > 1)
            if fit_until is None
            else given_fit_until(subjects, fit_until)
        )
        rows, fit = without_long_holes(rows, fit)
        stamps = rows.drop_nulls("us").select("subject", "us")
        walked = []
        done = 0
        # The matrices are small: on two threads the same took 1.7 times the processor time.
        with threadpool_limits(limits=1):
            for group in groups_of(rows, clocks(stamps.join(fit, on="subject")), channels=len(names)):
                for part in _segments(group, names, chosen, budget, refit):
                    walked.append(part)
                    done += part.height
                    if progress is not None:
                        progress(done, rows.height)
        found = pl.concat([found, *walked])
    return (
        rows.select("row", "us")
        .join(found, on="row", how="left", maintain_order="left")
        .select(
            frame["series"],
            frame["ts"],
            pl.col("score").fill_null(0.0),
            pl.col("flag").fill_null(value=False),
            "type",
            "expected_low",
            "expected_high",
            pl.when(pl.col("us").is_null())
            .then(pl.lit(NO_TIME))
            .when(pl.col("score").is_null())
            .then(pl.lit(LEARNING))
            .otherwise("reason")
            .alias("reason"),
        )
    )


def channels_of(frame: pl.DataFrame) -> list[str]:
    """The columns that are looked at when nobody says which."""
    if "value" in frame.columns:
        return ["value"]
    numbers = frame.select(pl.selectors.numeric() | pl.selectors.by_dtype(pl.Null)).columns
    return [name for name in numbers if name not in {"series", "ts", "label"}]


def _refuse(frame: pl.DataFrame, names: list[str], budget: float, refit: timedelta) -> None:
    missing = [name for name in ("series", "ts", *names) if name not in frame.columns]
    if missing or not names:
        raise ConfigurationError(
            f"columns {missing or ['value']} are missing; there are {frame.columns}; expected series, ts and value, or "
            "series, ts and one column a channel"
        )
    if not budget > 0 or refit <= timedelta(0):
        raise ConfigurationError(f"budget {budget} and refit {refit}: both must be above zero")


def _segments(
    group: Group, names: list[str], method: Method, budget: float, refit: timedelta
) -> Iterator[pl.DataFrame]:
    """The rows of each stretch between two refits, scored."""
    step = group.step
    identity = group.names.select(pl.col("series").cast(pl.String).alias(SUBJECT))
    if len(names) > 1:
        identity = identity.join(pl.DataFrame({CHANNEL: names}), how="cross", maintain_order="left_right")
    grid = Grid(identity, group.start, step, group.values)
    history = group.values.copy()
    untold = (
        pl.DataFrame(schema=SCORED_SCHEMA).clear(group.names.height).with_columns(pl.lit(value=False).alias("flag"))
    )
    bounds = refits(0, group.fit, grid.width, max(refit // step, 1))
    for begin, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        rows = group.rows.filter(pl.col("column").is_between(begin, end, closed="left"), ~pl.col("learning"))
        learned = method.learn(Grid(identity, group.start, step, history[:, :begin]), budget)
        scored = learned.score(grid.head(end), slice(begin, end))
        if scored.height != group.names.height * (end - begin):
            raise ValueError(f"{method.name} gave {scored.height} cells for {group.names.height} x {end - begin}")
        _leave_out(history, scored, names, begin, end)
        cells = scored.select(pl.col(name).cast(kind) for name, kind in SCORED_SCHEMA.items())
        told, untold = _told(cells, untold, rows, begin, step)
        yield told


def _told(
    cells: pl.DataFrame, untold: pl.DataFrame, rows: pl.DataFrame, begin: int, step: timedelta
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """What each row is told: its own cell, or a flagged empty one since the row before it.

    Args:
        cells: SCORED_SCHEMA, of all series from the column `begin` on.
        untold: SCORED_SCHEMA, one cell for each series: the strangest flagged one since its last row.
        rows: row, place of the series, column, and column of the row before.
        begin: first column of `cells`.
        step: of the grid.

    Returns:
        Row and SCORED_SCHEMA for each of `rows`; and what is untold after them.
    """
    every, series = pl.concat([cells, untold]), np.arange(untold.height)
    # What is untold stands before all others of its series.
    order = np.column_stack([cells.height + series, np.arange(cells.height).reshape(untold.height, -1)])
    flags = every["flag"].to_numpy()[order]
    strength = np.where(flags, every["score"].to_numpy()[order], -np.inf)
    flagged = np.pad(flags.cumsum(axis=1), ((0, 0), (1, 0)))
    place = rows["place"].to_numpy()
    column = rows["column"].to_numpy() - begin + 1
    since = np.clip(rows["before"].to_numpy() - begin + 2, 0, column)
    at = column.copy()
    unseen = (flagged[place, column] > flagged[place, since]) & ~flags[place, column]
    for row in np.flatnonzero(unseen):
        at[row] = since[row] + int(np.argmax(strength[place[row], since[row] : column[row]]))
    seconds = pl.lit((rows["column"] - rows["before"]) * step.total_seconds())
    told = every[order[place, at]].with_columns(
        pl.when(pl.Series(unseen), pl.col("type") == FlagType.GAP)
        .then(silence(seconds))
        .otherwise("reason")
        .alias("reason")
    )
    last = np.full(untold.height, -1)
    np.maximum.at(last, place, column)
    waiting = np.where(np.arange(order.shape[1]) > last[:, None], strength, -np.inf)
    strangest = every[order[series, waiting.argmax(axis=1)]]
    return (
        rows.select("row").hstack(told),
        strangest.with_columns(pl.Series("flag", np.isfinite(waiting.max(axis=1)), pl.Boolean)),
    )


def _leave_out(history: NDArray[np.float64], scored: pl.DataFrame, names: list[str], begin: int, end: int) -> None:
    """Put what was expected in the place of what was grossly unusual, so that it is not learned as usual.

    Where most of a stretch was, this is the new usual, and stays.
    """
    strange = scored.select(pl.coalesce("level", pl.when("flag").then("score"), 0.0) >= GROSS)
    gross = strange.to_series().to_numpy().reshape(-1, end - begin)
    gross = gross & (gross.mean(axis=1, keepdims=True) < 0.5)
    if not gross.any():
        return
    middle = ((scored["expected_low"] + scored["expected_high"]) / 2).to_numpy().reshape(-1, end - begin)
    guilty = np.zeros(gross.shape, dtype=np.int64)
    if len(names) > 1:
        place = {name: number for number, name in enumerate(names)}
        codes = scored["channel"].replace_strict(place, default=-1, return_dtype=pl.Int64).fill_null(-1)
        guilty = codes.to_numpy().reshape(gross.shape)
    subject, column = np.nonzero(gross & np.isfinite(middle) & (guilty >= 0))
    line = subject * len(names) + guilty[subject, column]
    known = np.isfinite(history[line, column + begin])
    history[line[known], column[known] + begin] = middle[subject[known], column[known]]
