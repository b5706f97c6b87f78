"""The scores of all detectors in units of their thresholds, and what of it is worth an alert.

What is learned is in `union.py`, which makes a table of what comes from here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.detector import Model, Scored, Scores, stretch
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.members import Member
from iot_pipeline.anomalies.engine.returning import comes_back
from iot_pipeline.anomalies.engine.returning import lookback_of as usual_lookback_of
from iot_pipeline.anomalies.engine.rolling import lagged, origin_of, rolling_max, rolling_mean
from iot_pipeline.anomalies.engine.rules import RangeRule
from iot_pipeline.anomalies.engine.scale import Scale

Levels = Scores
"""Scores in units of their threshold, as logarithms: log1p(score) / log1p(threshold). 1.0 is the threshold."""

SMOOTH = 16
"""Columns over which the ranking is averaged: anomalies that last are worth more than their first reading."""

ESCALATION = 1.25
"""How much stranger (as logarithms) than in the quiet time before a cell must be to be told again."""

ECHO = 4
"""The quiet time over this: so long, what detectors find in a movement that was told is its echo. A flood is a jump
ahead of its prediction, then a step, then a drift."""

LEAST_CANDIDATE = 0.8
"""Mean level from which on the begin of something is told from what merely goes on."""


@dataclass(frozen=True, slots=True)
class UnionModel:
    """What `Union.fit` learned, as plain tables.

    Attributes:
        budget: false alerts a device-day it was made for.
        scale: one row a series: level, spread, resolution, in its unit.
        thresholds: one row a series, in its order: class, learned, the threshold of each detector, and for the
            ranking what its scores are measured by.
        detectors: name of a detector to what it learned.
    """

    budget: float
    scale: pl.DataFrame
    thresholds: pl.DataFrame
    detectors: Mapping[str, Model]

    def rows(self, rows: slice) -> "UnionModel":
        """The model of some of the series."""
        models = {name: model.rows(rows) for name, model in self.detectors.items()}
        return UnionModel(self.budget, self.scale[rows], self.thresholds[rows], models)


@dataclass(frozen=True, slots=True)
class Levelled:
    """All arrays: (series, columns).

    Attributes:
        score: see `union.Union`.
        flag: an alert begins.
        level: of the strongest detector, whatever was told before.
        code: number of the detector that tells it; the number of all members for the range rule.
        raw: that detector's own score, or how long it has lasted.
        low: expected band, in the unit of the series.
        high: the same.
    """

    score: Scores
    flag: NDArray[np.bool_]
    level: Levels
    code: NDArray[np.int8]
    raw: Scores
    low: Floats
    high: Floats


def levelled(
    grid: Grid, model: UnionModel, columns: slice, *, rule: RangeRule, members: Sequence[Member], quiet: int
) -> Levelled:
    """Level the cells in `columns` of all series of `grid`; nothing is told twice within `quiet` columns."""
    lookback = deepest(members, grid)
    first = columns.start
    # Levels are needed before the scored columns too: for what was told in the quiet time, and for the smoothing.
    begin = max(first - before_columns(quiet), 0)
    part, at = stretch(grid, slice(begin, columns.stop), lookback)
    rule_model = model.detectors[rule.name]
    broken = rule.score(part, rule_model, slice(at, None))
    scale = Scale.from_table(model.scale)
    standard = in_spreads(without(part, rule.impossible(part, rule_model)), scale)
    scored = [one.detector.score(standard, model.detectors[one.detector.name], slice(at, None)) for one in members]
    told = broken.score >= 1
    breaks = told & ~(np.nan_to_num(lagged(told.astype(np.float32), 1)) > 0)
    back = comes_back(standard, quiet)[:, at:]
    found = _Strongest.of(scored, model, members, breaks=breaks, back=back, quiet=quiet, origin=origin_of(grid) + begin)
    flag = found.flag | breaks
    beyond = np.log1p(broken.score) / np.float32(np.log(2.0))
    level = np.where(told, np.fmax(beyond, found.level), found.level)
    smooth = np.nan_to_num(rolling_mean(found.base, SMOOTH, origin_of(grid) + begin))
    candidate = (found.base >= LEAST_CANDIDATE) & (found.base > before(found.base, quiet, origin_of(grid) + begin))
    score = np.where(candidate, _within(found.base, 0.5, 1.0), _within(smooth, 0.0, 0.5))
    score = np.where(flag, np.maximum(level, 1), score).astype(np.float32)
    low = np.where(told, broken.expected_low, found.low * scale.spread + scale.level)
    high = np.where(told, broken.expected_high, found.high * scale.spread + scale.level)
    code = np.where(told, np.int8(len(members)), found.code)
    keep = (slice(None), slice(first - begin, None))
    return Levelled(
        score=score[keep],
        flag=flag[keep],
        level=level[keep].astype(np.float32),
        code=code[keep].astype(np.int8),
        raw=found.raw[keep],
        low=low[keep],
        high=high[keep],
    )


@dataclass(frozen=True, slots=True)
class _Strongest:
    """The detectors put together: of the one that tells an alert, else of the one with the highest level."""

    flag: NDArray[np.bool_]
    level: Levels
    base: Levels
    code: NDArray[np.int8]
    raw: Scores
    low: Floats
    high: Floats

    @classmethod
    def of(
        cls,
        scored: Sequence[Scored],
        model: UnionModel,
        members: Sequence[Member],
        *,
        breaks: NDArray[np.bool_],
        back: NDArray[np.bool_],
        quiet: int,
        origin: int,
    ) -> "_Strongest":
        shape = scored[0].score.shape
        learned = model.thresholds["learned"].to_numpy()[:, None].astype(np.float32)
        flag, code = np.zeros(shape, dtype=bool), np.full(shape, -1, np.int8)
        level, raw, squares = (np.zeros(shape, np.float32) for _ in range(3))
        low, high = (np.full(shape, np.nan, np.float32) for _ in range(2))
        begins: list[tuple[int, Levels, NDArray[np.bool_]]] = []
        for number, (member, one) in enumerate(zip(members, scored, strict=True)):
            name, strength = member.detector.name, np.log1p(one.score) * learned
            if member.ranks:
                measure = model.thresholds[ranked(name)].to_numpy()[:, None]
                squares += (strength / np.log1p(measure).astype(np.float32)) ** 2
            if not member.share > 0:
                continue
            own: Levels = (strength / np.log1p(_limit(model, name))).astype(np.float32)
            # Each detector for itself: another kind of strangeness within the quiet time is news, if it is no echo.
            earlier = before(own, quiet, origin)
            begins.append((number, own, (own >= 1) & ((earlier < 1) | (own >= ESCALATION * earlier))))
        every = np.logical_or.reduce([breaks, *(tells for _, _, tells in begins)])
        back = back & (before(every.astype(np.float32), quiet, origin) > 0)
        # Of detectors that expect a value: to one that counts, like `stuck`, all values are the same.
        expects = [np.isfinite(scored[number].expected_low) for number, _, _ in begins]
        louder = _louder_than_echoes(begins, expects, max(quiet // ECHO, 1), origin)
        for (number, own, strange), expecting in zip(begins, expects, strict=True):
            one, limit = scored[number], _limit(model, members[number].detector.name)
            tells = strange & ~(expecting & (back | (own < louder)))
            # Who begins an alert names it, before who has been above its threshold all day.
            names_it = (tells & ~flag) | ((own > level) & (tells | ~flag))
            level = np.maximum(level, own)
            says = one.score if one.lasting is None else one.lasting
            raw, code = np.where(names_it, says, raw), np.where(names_it, np.int8(number), code)
            flag |= tells
            centre, half = (one.expected_low + one.expected_high) / 2, (one.expected_high - one.expected_low) / 2
            # The band of the first detector stands where nothing is strange.
            band = (names_it & (own >= 1)) | (number == 0)
            low, high = np.where(band, centre - half * limit, low), np.where(band, centre + half * limit, high)
        base = np.sqrt(squares / np.float32(max(sum(member.ranks for member in members), 1))).astype(np.float32)
        return cls(flag, level, base, code, raw, low, high)


def _louder_than_echoes(
    begins: Sequence[tuple[int, Levels, NDArray[np.bool_]]],
    expects: Sequence[NDArray[np.bool_]],
    short: int,
    origin: int,
) -> Levels:
    """The level from which on a movement is news beside what was strange in the `short` columns before; 0 if nothing.

    Args:
        begins: of each detector its number, its levels, and where it is strange anew.
        expects: of each, where it expects a value; only these tell movements.
        short: columns.
        origin: number of the first column.
    """
    if not begins:
        return np.zeros((1, 1), np.float32)
    moves = np.logical_or.reduce([strange & sees for (_, _, strange), sees in zip(begins, expects, strict=True)])
    highest = np.maximum.reduce([np.where(sees, own, 0) for (_, own, _), sees in zip(begins, expects, strict=True)])
    told = before(moves.astype(np.float32), short, origin) > 0
    return np.where(told, ESCALATION * before(highest, short, origin), 0).astype(np.float32)


def _limit(model: UnionModel, name: str) -> Levels:
    return model.thresholds[name].to_numpy()[:, None].astype(np.float32)


def ranked(name: str) -> str:
    """The column of `UnionModel.thresholds` by which a detector's scores are measured for the ranking."""
    return f"{name}_ranked"


def deepest(members: Sequence[Member], grid: Grid) -> int:
    """Columns before a cell that its scores depend on."""
    return max(usual_lookback_of(grid), *(member.detector.lookback_of(grid) for member in members))


def before_columns(quiet: int) -> int:
    """Columns whose levels a score depends on: what was told in the quiet time depends on the quiet time before it."""
    return 2 * quiet + SMOOTH


def before(levels: Levels, quiet: int, origin: int) -> Levels:
    """The highest of the `quiet` columns before each one."""
    return np.nan_to_num(lagged(rolling_max(levels, quiet, origin), 1))


def without(grid: Grid, impossible: NDArray[np.bool_]) -> Grid:
    """The grid with some cells missing."""
    if not impossible.any():
        return grid
    return Grid(grid.series, grid.start, grid.step, np.where(impossible, np.nan, grid.values))


def in_spreads(grid: Grid, scale: Scale) -> Grid:
    """The grid in standard units."""
    return Grid(grid.series, grid.start, grid.step, scale.standard(grid.values))


def _within(values: Scores, low: float, high: float) -> Scores:
    """A ranking from `low` to below `high`."""
    return (low + (high - low) * np.float32(0.999) * values / (1 + values)).astype(np.float32)
