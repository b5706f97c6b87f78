"""Learning what the channels of machines let expect of one another, and thresholds from the budget of false alerts.

What is computed is in `anomalies/channels/minutes.py`; nothing is stored here.
"""

from collections.abc import Callable, Iterator

import numpy as np
import polars as pl

from iot_pipeline.anomalies.channels.means import Array
from iot_pipeline.anomalies.channels.minutes import Expectation, learn, smoothed
from iot_pipeline.anomalies.engine.budget import block_columns, block_peaks, threshold
from iot_pipeline.anomalies.engine.detector import FlagType, Scores, class_codes
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.models.channels import CHANNEL_SCHEMA, LEARNED, in_parts, machines_of, rows_of
from iot_pipeline.anomalies.models.history import History
from iot_pipeline.anomalies.models.minute_grid import minute_grid

CHANNEL_SHARE = 0.1
"""Part of a device's budget of false alerts that goes to its channels together. A machine counts as one device."""

LEAST_THRESHOLD = 1.5
"""In what one minute of a hundred exceeds."""

LEAST_MINUTES = 360
"""Minutes in which all channels of a machine must have been known: a quarter of a day."""

DAY_COLUMNS = 1440


def learn_channels(
    past: History,
    series: pl.DataFrame,
    factors: pl.DataFrame,
    *,
    budget: float,
    leave_out: Callable[[Grid], int],
) -> pl.DataFrame:
    """What the machines among `series` taught.

    Args:
        past: minutes to learn from.
        series: columns SERIES, class, state, minutes, resting_share.
        factors: columns class, type, factor: by how much people's false alarms raise thresholds.
        budget: false alerts a device-day, of all detectors together.
        leave_out: forgets minutes of a grid that are known to be faults.

    Returns:
        CHANNEL_SCHEMA. Machines with too little past are not in it: they are being learned.
    """
    machines = machines_of(series)
    block = block_columns(past.minutes, DAY_COLUMNS)
    learned: list[pl.DataFrame] = []
    peaks: list[Scores] = []
    for part in in_parts(machines, past.minutes):
        grid = minute_grid(rows_of(past, part), part, past.first, past.last)
        leave_out(grid)
        for table, worst in _learned(smoothed(grid), part):
            learned.append(table)
            peaks.append(block_peaks(np.log1p(np.nan_to_num(worst)).astype(np.float32), np.isfinite(worst), block))
    if not learned:
        return pl.DataFrame(schema=CHANNEL_SCHEMA)
    of_machine = pl.concat([table.group_by("number", maintain_order=True).agg("class") for table in learned])
    limits = _limits(np.concatenate(peaks), of_machine, CHANNEL_SHARE * budget * block / DAY_COLUMNS)
    raised = _with_factors(pl.concat(learned).join(limits, on="number", maintain_order="left"), factors)
    return (
        raised.sort("number", "channel")
        .with_columns((pl.col("number").rle_id()).alias("number"))
        .select(pl.col(name).cast(kind) for name, kind in CHANNEL_SCHEMA.items())
    )


def _learned(means: Array, part: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, Array]]:
    """What machines with equally many channels taught, a row a channel, and their deviations, (machines, minutes)."""
    size = part.select(pl.len().over("number"))["len"].to_numpy()
    for count in np.unique(size):
        rows = np.flatnonzero(size == count).reshape(-1, count)
        values = means[rows]
        rows = rows[np.isfinite(values).all(axis=1).sum(axis=-1) >= LEAST_MINUTES]
        if not rows.size:
            continue
        expectation, worst = learn(means[rows])
        yield _table(part[rows.ravel()], expectation), worst


def _table(channels: pl.DataFrame, expectation: Expectation) -> pl.DataFrame:
    count = expectation.weights.shape[-1]
    weights = pl.Series("weights", expectation.weights.reshape(-1, count), pl.Array(pl.Float64, count))
    numbers = {name: getattr(expectation, name).ravel() for name in LEARNED}
    return channels.with_columns(pl.Series(name, array, pl.Float64) for name, array in numbers.items()).with_columns(
        weights.cast(pl.List(pl.Float64))
    )


def _limits(peaks: Scores, of_machine: pl.DataFrame, per_block: float) -> pl.DataFrame:
    """Columns number, threshold: machines with channels of the same classes share what their tails are like."""
    codes = class_codes(of_machine["class"].list.join("\n").to_list())[1]
    limits = np.expm1(np.fmax(threshold(peaks, per_block, codes), np.log1p(LEAST_THRESHOLD)))
    return of_machine.select("number", pl.Series("threshold", limits, pl.Float64))


def _with_factors(table: pl.DataFrame, factors: pl.DataFrame) -> pl.DataFrame:
    """Thresholds of machines raised by the largest factor of their channels' classes, on the logarithm."""
    own = factors.filter(pl.col("type") == FlagType.MULTICHANNEL.value).select("class", "factor")
    factor = pl.col("factor").fill_null(1.0).max().over("number")
    return table.join(own, on="class", how="left", maintain_order="left").with_columns(
        ((pl.col("threshold").log1p() * factor).exp() - 1).alias("threshold")
    )
