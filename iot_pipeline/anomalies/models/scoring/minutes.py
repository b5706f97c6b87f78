"""Minutes scored with a learned model: a detector like the others, whose flags are named by their type.

Which model is in force is in `in_force.py`, what the types are in `models/members.py`.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.detectors.base import ByItself, no_flags, shown_unit
from iot_pipeline.anomalies.detectors.numbering import SERIES, Directory, Numbers
from iot_pipeline.anomalies.detectors.rolling_z import RollingZ
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.engine.explain import shown
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.models.classes import class_of
from iot_pipeline.anomalies.models.members import CHANCE, LEARNED, LOOKBACK, MEMBERS, THRESHOLDS, tell
from iot_pipeline.anomalies.models.minute_grid import silent_intake, spoken
from iot_pipeline.anomalies.models.model import MinuteModel, SeriesState
from iot_pipeline.anomalies.side_by_side import in_blocks
from iot_pipeline.clock import MINUTE
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import FLAGS_SCHEMA

KINDS = (FlagType.RANGE, *(member.kind for member in MEMBERS))
TYPES = tuple(kind.value for kind in KINDS)
"""Names of the flags' detectors, which are their types; of several about one minute the strongest is told."""

SERIES_AT_ONCE = 8_192
"""Rows of a grid that are scored at a time: bounds memory, and a column of them stays in the processor's cache."""

LEAST_READY = 3
"""Series of a class that must have a past before a new one is measured with it."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What some series are measured with.

    Attributes:
        series: their rows among those that were asked for.
        table: with LEARNED and THRESHOLDS.
        row: of `table`, one for each of `series`.
    """

    series: Numbers
    table: pl.DataFrame
    row: Numbers

    def of(self, some: slice) -> pl.DataFrame:
        """LEARNED and THRESHOLDS of these of `series`."""
        return self.table.select(*LEARNED, *THRESHOLDS)[self.row[some]]


@dataclass(frozen=True, slots=True)
class LearnedMinutes(ByItself):
    """Scores means by minute with a model.

    Args:
        model: what was learned.
        version: of the model.
        paths: where the classes of series that the model does not know are found.
    """

    model: MinuteModel
    version: str
    paths: DataPaths

    @property
    def name(self) -> str:
        """Of all its types together; flags carry their type instead."""
        return "learned"

    @property
    def lookback(self) -> timedelta:
        """An hour of `device_minute`."""
        return LOOKBACK * MINUTE

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """FLAGS_SCHEMA: for each series and minute at most one flag, of the type that is furthest over its threshold.

        The flag stands at the last reading of its minute, a gap's at the begin of the minute; its value is the mean.
        """
        begin = window.first - LOOKBACK * MINUTE
        grids = window.history()
        cumulative = RollingZ().cumulative
        spoke = window.spoke if window.spoke is not None else spoken(grids, cumulative)
        silent = silent_intake(spoke, window.first, window.last, LOOKBACK)
        means = grids.between("mean", begin, window.last)
        heard = np.isfinite(means).any(axis=0)
        levels = ~grids.series["metric"].is_in(cumulative).to_numpy()
        column = np.flatnonzero(heard & levels)
        flags = [no_flags()]
        for measures in self._measures(grids.series[column]):

            def of(some: slice, measures: Measures = measures) -> pl.DataFrame:
                columns = column[measures.series[some]]
                part = Grid(grids.series[columns], begin, MINUTE, means[:, columns].T)
                return self._flags(part, measures.of(some), silent)

            flags += in_blocks(of, measures.series.size, SERIES_AT_ONCE)
        return window.at_readings(pl.concat(flags))

    def parameters(self, series: pl.DataFrame) -> pl.DataFrame:
        """What each series is measured with: SERIES, LEARNED, THRESHOLDS; without those that nothing is known of.

        A series that is new, or still learning, is measured with what its class has learned.
        """
        parts = [
            pl.concat([series[one.series].select(SERIES), one.of(slice(None))], how="horizontal")
            for one in self._measures(series)
        ]
        return pl.concat(parts)

    def _measures(self, series: pl.DataFrame) -> list[Measures]:
        learned = self._near(series)
        number = Directory(learned.select(SERIES)).numbers(series.select(SERIES))
        row = pl.Series("row", number).set(pl.Series(number < 0), None)
        known = learned.select(pl.col("class", "state").gather(row)).with_columns(row).with_row_index("asked")
        ready = pl.col("state") == SeriesState.READY.value
        own = known.filter(ready)
        measures = [Measures(own["asked"].to_numpy(), learned, own["row"].to_numpy())]
        young = known.filter(
            ~ready.fill_null(value=False) & (pl.col("state") != SeriesState.COUNTER.value).fill_null(value=True)
        ).select("asked", "class")
        if young.is_empty():
            return measures
        # A class that a series was learned in is stored with it; that of a new one is what its device tells now.
        new = young.filter(pl.col("class").is_null())["asked"]
        classed = young.filter(pl.col("class").is_not_null())
        if new.len():
            told = class_of(self.paths, series[new].select(SERIES)).select(new, "class")
            classed = pl.concat([classed, told])
        lent = self.model.classes.filter(pl.col("ready") >= LEAST_READY)
        rows = classed.join(lent.select("class").with_row_index("row"), on="class", how="inner")
        return [*measures, Measures(rows["asked"].to_numpy(), lent, rows["row"].to_numpy())]

    def _near(self, series: pl.DataFrame) -> pl.DataFrame:
        """What the model says of `series`, and of devices between these: of a large fleet some are scored at a time."""
        learned = self.model.series
        devices = learned["device_id"]
        if series.is_empty() or not devices.is_sorted():
            return learned
        low, high = (str(name) for name in (series["device_id"].min(), series["device_id"].max()))
        return learned[devices.search_sorted(low, "left") : devices.search_sorted(high, "right")]

    def _flags(self, grid: Grid, table: pl.DataFrame, silent: NDArray[np.bool_]) -> pl.DataFrame:
        columns = slice(LOOKBACK, grid.width)
        shape = (grid.series.height, grid.width - LOOKBACK)
        highest = np.zeros(shape, np.float32)
        winner = np.full(shape, -1, np.int8)
        told = list(tell(grid, table, columns, silent=silent))
        for number, one in enumerate(told):
            stronger = one.level > highest
            highest = np.where(stronger, one.level, highest)
            winner = np.where(stronger, np.int8(number), winner)
        rows, minutes = np.nonzero(highest >= 1)
        if rows.size == 0:
            return no_flags()
        which = winner[rows, minutes]

        def of(name: str) -> pl.Series:
            picked = np.full(rows.size, np.nan)
            for number, one in enumerate(told):
                mine = which == number
                picked[mine] = getattr(one, name)[rows[mine], minutes[mine]]
            return pl.Series(name, picked, nan_to_null=True)

        minute = pl.Series("minute", minutes + LOOKBACK).cast(pl.Int64)
        frame = grid.series[rows].with_columns(
            pl.lit(grid.start).cast(FLAGS_SCHEMA["minute"]).alias("start"),
            minute,
            pl.Series("value", grid.values[rows, minutes + LOOKBACK], nan_to_null=True),
            pl.Series("score", highest[rows, minutes]).cast(pl.Float64),
            pl.Series("detector", np.array(TYPES)[which]),
            of("raw"),
            of("low").alias("expected_low"),
            of("high").alias("expected_high"),
        )
        frame = frame.with_columns(
            (pl.col("start") + pl.duration(minutes=pl.col("minute"))).cast(FLAGS_SCHEMA["minute"]).alias("minute")
        ).rechunk()
        return frame.with_columns(
            pl.col("minute").alias("event_ts"),
            pl.lit(self.version).alias("detector_version"),
            reason().alias("reason"),
        ).select(pl.col(name).cast(kind) for name, kind in FLAGS_SCHEMA.items())


def reason() -> pl.Expr:
    """One sentence by type, over value, raw (minutes or sizes), expected_low, expected_high and unit."""
    unit = shown_unit()
    value = pl.format("{}{}", shown("value"), unit)
    band = pl.format("{} to {}{}", shown("expected_low"), shown("expected_high"), unit)
    minutes = pl.col("raw").fill_null(0).round().cast(pl.Int64) + CHANCE
    said = {
        FlagType.RANGE: pl.format("{} on average in this minute is outside of all that was usual, {}", value, band),
        FlagType.SPIKE: pl.format("went to {} from one minute to the next, usual is {}", value, band),
        FlagType.STEP: pl.format(
            "the level moved to {} within minutes, the quarter of an hour before lets expect {}", value, band
        ),
        FlagType.DRIFT: pl.format("moved away to {} within an hour, the half hour before lets expect {}", value, band),
        FlagType.NOISE: pl.format("changes far more from minute to minute than usual, now {}", value),
        FlagType.STUCK: pl.format("has not changed for {} minutes, stays at {}", minutes, value),
        FlagType.GAP: pl.format("nothing was read for {} minutes", minutes),
    }
    sentence = pl.lit(None, pl.String)
    for kind, text in said.items():
        sentence = pl.when(pl.col("detector") == kind.value).then(text).otherwise(sentence)
    return sentence
