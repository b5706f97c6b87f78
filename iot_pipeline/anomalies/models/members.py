"""The detectors of the minute tier and what they need: short look-backs on means by minute.

The detectors themselves are the engine's. Left out is what looks back for days: seasons, slow drift, shapes. Flags of
minutes are grouped to events, so nothing here keeps quiet after an alert.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import FlagType, GridDetector, Model, Scored, Scores, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.noise import Noise
from iot_pipeline.anomalies.engine.rolling import Indices, run_length
from iot_pipeline.anomalies.engine.rules import RangeRule
from iot_pipeline.anomalies.engine.scale import Scale
from iot_pipeline.anomalies.engine.step import Step

LOOKBACK = 60
"""Minutes before a minute that its flags depend on. Two hours would read twice as much for each minute, and see
little more: what is slower than an hour needs days to be told from a daily shape."""

CHANCE = 2
"""Minutes that are equal, or missing, by chance now and then: only what goes on longer counts, else a tail drawn
through single minutes would put every threshold beyond the look-back."""

OVERDUE = 2.5
"""Intervals of a series after which it is overdue, as in `device_slo`."""

LEAST_SPOKEN = 3
"""Minutes of the look-back in which a series must have spoken for its pace to be known."""

MOSTLY = 0.9
"""Of the minutes equal to the one before: then the signal is a state or a constant, and rest is no fault."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteStuck:
    """Minutes since the mean last changed, at most the look-back."""

    name: str = "stuck"
    version: str = "1"
    kind: FlagType = FlagType.STUCK

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """Longer runs count as that."""
        return LOOKBACK

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- each series is its own measure
        """How often a series rests."""
        same = grid.values[:, 1:] == grid.values[:, :-1]
        known = np.isfinite(grid.values[:, 1:]) & np.isfinite(grid.values[:, :-1])
        share = same.sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        return Model({"resting": grid.series.with_columns(pl.Series("share", share, pl.Float64))}, ("resting",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """Length of the run beyond CHANCE."""
        part, at = stretch(grid, columns, LOOKBACK)
        same = np.zeros(part.values.shape, dtype=np.bool_)
        same[:, 1:] = part.values[:, 1:] == part.values[:, :-1]
        rests = model.tables["resting"]["share"].to_numpy()[:, None] > MOSTLY
        run = np.minimum(run_length(same, begin=at), LOOKBACK)
        return Scored.bare(np.where(rests, 0, run - CHANCE))


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteGap:
    """Minutes since something was read, of a series that spoke within the look-back and is overdue by its pace there.

    A threshold that is lent by a class, or older than a device's new pace, would call every pause of a slow one a gap.
    """

    name: str = "gap"
    version: str = "1"
    kind: FlagType = FlagType.GAP

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- the same for every step
        """A series silent for longer is switched off, not interrupted."""
        return LOOKBACK

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:  # noqa: ARG002 -- nothing but a threshold is learned
        """Nothing."""
        return Model({"series": grid.series}, ("series",))

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:  # noqa: ARG002 -- see fit
        """Length of the hole so far beyond CHANCE."""
        part, at = stretch(grid, columns, LOOKBACK)
        known = np.isfinite(part.values)
        # Few are silent, and those that are not have no hole.
        silent = np.flatnonzero(~known[:, at:].all(axis=1))
        holes = np.zeros((len(known), part.width - at))
        if silent.size:
            holes[silent] = _holes(known[silent])[:, at:]
        return Scored.bare(holes)


def _holes(known: NDArray[np.bool_]) -> Indices:
    """Minutes since something was read, less CHANCE, where that is overdue; else 0."""
    run = run_length(~known)
    interval, minutes = _pace(known, run)
    spoke = run <= np.minimum(np.arange(known.shape[1]), LOOKBACK)
    return np.where(spoke & (minutes >= LEAST_SPOKEN) & (run > OVERDUE * interval), run - CHANCE, 0)


def _pace(known: NDArray[np.bool_], run: Indices) -> tuple[Floats, Indices]:
    """Mean interval between the minutes of the look-back in which a series spoke, and their number.

    Args:
        known: (series, minutes): whether something was read.
        run: (series, minutes): minutes since then.
    """
    column = np.arange(known.shape[1])
    begin = np.maximum(column - LOOKBACK, 0)
    spoke_next = np.minimum.accumulate(np.where(known, column, column.size)[:, ::-1], axis=1)[:, ::-1]
    until = np.cumsum(known, axis=1, dtype=np.int64)
    minutes: Indices = until - until[:, begin] + known[:, begin].astype(np.int64)
    span: Floats = (column - run - spoke_next[:, begin]).astype(np.float64)
    return span / np.maximum(minutes - 1, 1), minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class MinuteMember:
    """A detector of the tier.

    Attributes:
        kind: its type, which is its name in flags.
        detector: it.
        share: its part of the budget of false alerts.
        least: smallest threshold that is believed.
        columns: columns of the table of series that hold what it learned, by the engine's name of table and column.
    """

    kind: FlagType
    detector: GridDetector
    share: float
    least: float
    columns: Mapping[str, Mapping[str, str]]

    @property
    def threshold(self) -> str:
        """Column of its threshold."""
        return f"{self.kind.value}_threshold"

    def learned(self, model: Model) -> list[pl.Series]:
        """What it learned, under the names of the table of series."""
        return [
            model.tables[table][inner].cast(pl.Float64).alias(name)
            for table, names in self.columns.items()
            for inner, name in names.items()
        ]

    def model(self, table: pl.DataFrame) -> Model:
        """Back from the table of series."""
        tables = {
            name: table.select(pl.col(column).alias(inner) for inner, column in names.items())
            for name, names in self.columns.items()
        }
        return Model(tables, tuple(tables))


MEMBERS = (
    MinuteMember(
        kind=FlagType.SPIKE, detector=Step(window=2), share=0.15, least=6.0, columns={"usual": {"usual": "spike_usual"}}
    ),
    MinuteMember(
        kind=FlagType.STEP, detector=Step(window=8), share=0.25, least=4.0, columns={"usual": {"usual": "step_usual"}}
    ),
    MinuteMember(
        kind=FlagType.DRIFT, detector=Step(window=30), share=0.2, least=4.0, columns={"usual": {"usual": "drift_usual"}}
    ),
    MinuteMember(
        kind=FlagType.NOISE,
        detector=Noise(window=16),
        share=0.15,
        least=4.0,
        columns={"roughness": {"middle": "noise_middle", "spread": "noise_spread"}},
    ),
    MinuteMember(
        kind=FlagType.STUCK,
        detector=MinuteStuck(),
        share=0.15,
        least=5.0,
        columns={"resting": {"share": "resting_share"}},
    ),
    MinuteMember(kind=FlagType.GAP, detector=MinuteGap(), share=0.1, least=4.0, columns={}),
)
BACK = np.float32(0.999)
"""Highest level of a value within the band: below the threshold."""

RULE = RangeRule()
SCALE = ("level", "spread", "resolution")
RANGE = ("low", "high", "least", "most")
LEARNED = (
    *SCALE,
    *RANGE,
    *(name for member in MEMBERS for names in member.columns.values() for name in names.values()),
)
THRESHOLDS = tuple(member.threshold for member in MEMBERS)


@dataclass(frozen=True, slots=True)
class Told:
    """What one member says of the scored cells. Arrays: (series, columns); level 1.0 is the threshold.

    The band is in the unit of the series, NaN where nothing particular is expected.
    """

    kind: FlagType
    level: Scores
    raw: Scores
    low: Floats
    high: Floats


def range_model(table: pl.DataFrame) -> Model:
    """What the range rule learned."""
    return Model({"range": table.select(RANGE)}, ("range",))


def tell(grid: Grid, table: pl.DataFrame, columns: slice, *, silent: NDArray[np.bool_]) -> Iterator[Told]:
    """What the members say of `columns` of a grid of minutes, the range rule first.

    Args:
        grid: with at least LOOKBACK columns before `columns`.
        table: LEARNED and THRESHOLDS, one row a row of the grid.
        columns: to score.
        silent: of these columns, those in which the intake was silent.
    """
    rule = range_model(table)
    broken = RULE.score(grid, rule, columns)
    told = broken.score >= 1
    level = np.where(told, np.log1p(broken.score) / np.float32(np.log(2.0)), broken.score).astype(np.float32)
    yield Told(FlagType.RANGE, level, broken.score, broken.expected_low, broken.expected_high)
    scale = Scale.from_table(table)
    values = scale.standard(np.where(RULE.impossible(grid, rule), np.nan, grid.values))
    standard = Grid(grid.series, grid.start, grid.step, values)
    for member in MEMBERS:
        # Silence is told by what was read, impossible or not.
        scored = member.detector.score(grid if member.kind is FlagType.GAP else standard, member.model(table), columns)
        limit = table[member.threshold].to_numpy()[:, None]
        level = (np.log1p(scored.score) / np.log1p(limit)).astype(np.float32)
        if member.kind is FlagType.GAP:
            level = np.where(silent, np.float32(0), level)
        centre = (scored.expected_low.astype(np.float64) + scored.expected_high) / 2
        half = (scored.expected_high.astype(np.float64) - scored.expected_low) / 2 * limit
        low, high = ((centre + side * half) * scale.spread + scale.level for side in (-1, 1))
        # A mean can still be away when the value is back: that is the end of something, and no news.
        back = (grid.values[:, columns] >= low) & (grid.values[:, columns] <= high)
        yield Told(member.kind, np.where(back, np.minimum(level, BACK), level), scored.score, low, high)
