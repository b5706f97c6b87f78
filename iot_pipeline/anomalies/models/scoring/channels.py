"""Minutes of machines scored by what their channels let expect of one another: a detector like the others.

What was learned is in `channels.py`, which model is in force in `store.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.channels.means import Array
from iot_pipeline.anomalies.channels.minutes import WINDOW, Expectation, deviate, smoothed
from iot_pipeline.anomalies.detectors.base import ByItself, no_flags, shown_unit
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.engine.explain import shown
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.models.channels import LEARNED, in_parts
from iot_pipeline.anomalies.models.minute_grid import grid_of
from iot_pipeline.clock import MINUTE
from iot_pipeline.stats.relations import FLAGS_SCHEMA

MULTICHANNEL = FlagType.MULTICHANNEL.value

BEFORE = (WINDOW - 1) * MINUTE
"""Before a minute, what its flags depend on."""

CELLS = 4_000_000
"""Deviations in memory at a time."""


@dataclass(frozen=True, slots=True)
class LearnedChannels(ByItself):
    """Names the channel of a machine that left what the others let expect.

    Args:
        channels: what was learned, CHANNEL_SCHEMA.
        version: of the model.
    """

    channels: pl.DataFrame
    version: str

    @property
    def name(self) -> str:
        """Its only type."""
        return MULTICHANNEL

    @property
    def lookback(self) -> timedelta:
        """Some minutes of `device_minute`."""
        return BEFORE

    def spans(self) -> pl.DataFrame:
        """Columns low, high: the first and the last device of each machine of several, in the order of bytes."""
        device = pl.col("device_id")
        found = self.channels.group_by("number").agg(device.min().alias("low"), device.max().alias("high"))
        return found.filter(pl.col("low") < pl.col("high")).select("low", "high")

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """FLAGS_SCHEMA: for each machine and minute at most one flag, on the series that is furthest off.

        The flag stands at the last reading of its minute; its value is the mean of the last WINDOW minutes, and so is
        what is expected. A machine is not judged in minutes in which a channel was silent for so long.
        """
        begin = window.first - BEFORE
        grids = window.history()
        parts = in_parts(self._within(grids.series["device_id"]), round((window.last - begin) / MINUTE) + 1)
        found = [self.flags(grid_of(grids, part, begin, window.last), part) for part in parts]
        return window.at_readings(pl.concat([no_flags(), *found]))

    def _within(self, devices: pl.Series) -> pl.DataFrame:
        """The machines that lie among `devices` as a whole: of a large fleet, windows hold some devices each."""
        if devices.is_empty():
            return self.channels.clear()
        first, last = (pl.lit(name, pl.String) for name in (devices.min(), devices.max()))
        inside = pl.col("device_id").is_between(first, last)
        return self.channels.filter(inside.all().over("number"))

    def flags(self, grid: Grid, part: pl.DataFrame) -> pl.DataFrame:
        """The flags of some machines, at the begins of their minutes.

        Args:
            grid: means by minute, one row a row of `part`; the first minutes, BEFORE, are only looked back at.
            part: CHANNEL_SCHEMA, whole machines.
        """
        flagged = pl.concat(list(_found(smoothed(grid), part))).rechunk()
        minute = (pl.lit(grid.start + BEFORE) + pl.duration(minutes="column")).cast(FLAGS_SCHEMA["minute"])
        return (
            flagged.with_columns(minute.alias("minute"), minute.alias("event_ts"))
            .with_columns(
                pl.lit(self.name).alias("detector"),
                pl.lit(self.version).alias("detector_version"),
                reason().alias("reason"),
            )
            .select(pl.col(name).cast(kind) for name, kind in FLAGS_SCHEMA.items())
        )


def reason() -> pl.Expr:
    """One sentence over value, expected_low, expected_high, unit, others (a number) and most (the name of one)."""
    side = pl.when(pl.col("value") > pl.col("expected_high")).then(pl.lit("above")).otherwise(pl.lit("below"))
    return pl.format(
        "{}{} on average of {} minutes is {} the {} to {}{} that the other {} channels let expect, most of all {}",
        shown("value"),
        shown_unit(),
        pl.lit(WINDOW),
        side,
        shown("expected_low"),
        shown("expected_high"),
        shown_unit(),
        "others",
        "most",
    )


def _found(means: Array, part: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """SERIES, column, score, value, expected_low, expected_high, others, most: what is above its threshold."""
    size = part.select(pl.len().over("number"))["len"].to_numpy()
    names = _names(part)
    yield _none(part)
    for count in np.unique(size):
        rows = np.flatnonzero(size == count).reshape(-1, count)
        step = max(CELLS // (count * max(means.shape[1], count)), 1)
        for start in range(0, len(rows), step):
            yield _of_equals(means, part, names, rows[start : start + step])


def _of_equals(means: Array, part: pl.DataFrame, names: pl.Series, rows: NDArray[np.int64]) -> pl.DataFrame:
    """The same of some machines with equally many channels; `rows` (machines, channels) of `part`."""
    shape = rows.shape
    own = part[rows.ravel()]
    numbers = {name: own[name].to_numpy().reshape(shape) for name in LEARNED}
    weights = own["weights"].explode().to_numpy().reshape(*shape, shape[1])
    limit = own["threshold"].to_numpy().reshape(shape)[:, 0]
    values = means[rows]
    found = deviate(values, Expectation(weights=weights, **numbers))
    size = np.nan_to_num(np.abs(found.size))
    guilty = np.argmax(size, axis=1)
    worst = np.take_along_axis(size, guilty[:, None], axis=1)[:, 0]
    level = np.log1p(worst) / np.log1p(limit)[:, None]
    machine, column = np.nonzero(level >= 1)
    if not machine.size:
        return _none(part)
    channel = guilty[machine, column]
    half = (limit[:, None] * numbers["usual"] * numbers["spread"])[machine, channel]
    expected = found.expected[machine, channel, column]
    nearest = np.argmax(np.abs(weights), axis=2)[machine, channel]
    series: pl.DataFrame = part.select(SERIES)[rows[machine, channel]]
    return series.with_columns(
        pl.Series("column", column, pl.Int64),
        pl.Series("score", level[machine, column], pl.Float64),
        pl.Series("value", values[machine, channel, column], pl.Float64),
        pl.Series("expected_low", expected - half, pl.Float64),
        pl.Series("expected_high", expected + half, pl.Float64),
        pl.lit(shape[1] - 1, pl.Int64).alias("others"),
        names[rows[machine, nearest]].alias("most"),
    )


def _names(part: pl.DataFrame) -> pl.Series:
    """What a channel is called beside its machine: its metric, with the device where that is only a part."""
    device = pl.col("device_id").str.extract(r"([^/]*)$")
    return part.select(
        pl.when(pl.col("machine") == pl.col("device_id"))
        .then("metric")
        .otherwise(pl.format("{} {}", device, "metric"))
        .alias("most")
    )["most"]


def _none(part: pl.DataFrame) -> pl.DataFrame:
    numbers = {name: pl.Float64() for name in ("score", "value", "expected_low", "expected_high")}
    schema = {"column": pl.Int64(), **numbers, "others": pl.Int64(), "most": pl.String()}
    return part.select(SERIES).clear().with_columns(pl.lit(None, kind).alias(name) for name, kind in schema.items())
