"""The typed union of the detectors: one score, one type, one expected band and one sentence for each cell.

What is unusual is in the detectors, thresholds are in `budget.py`, what is worth an alert in `levels.py`, sentences in
`explain.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.budget import block_columns, block_peaks, threshold
from iot_pipeline.anomalies.engine.detector import LARGEST, FlagType, class_codes, stretch
from iot_pipeline.anomalies.engine.explain import sentences
from iot_pipeline.anomalies.engine.grid import Floats, Grid, instants
from iot_pipeline.anomalies.engine.levels import (
    Levelled,
    UnionModel,
    before_columns,
    deepest,
    in_spreads,
    levelled,
    ranked,
    without,
)
from iot_pipeline.anomalies.engine.members import Member, members
from iot_pipeline.anomalies.engine.rules import RangeRule
from iot_pipeline.anomalies.engine.scale import Scale, day_columns, whole_day_columns
from iot_pipeline.anomalies.engine.weekly_band import WeeklyBand

MOST_HISTORY = 180
"""Days that are learned from."""

CHUNK_CELLS = 500_000
"""Cells scored at a time: bounds memory, and lets what one step leaves lie in the processor's cache for the next."""

RANKED_BY = 0.1
"""Alerts a day of the threshold that scores are measured by for the ranking: the same whatever the budget is."""

USUAL_SPREADS = 3.0
"""Robust standard deviations that the band of an hour reaches."""

LEAST_LEARNED = 48
"""Readings that a series must have had before its own models say anything; the range rule does not wait."""


@dataclass(frozen=True, slots=True)
class Union:
    """All detectors together. Series are scored independently of each other once the model is there.

    A score of 1.0 or more is the begin of an alert: some detector is above its threshold, and higher than anything
    in the quiet time (a day) before, so that a disturbance which lasts is told once, and again when it grows. What
    other detectors find in the same movement within a quarter of that time is told only if it is much stranger; that a
    reading comes back to what was usual before is not. From 0.5 to 1.0: what would be such a begin if the budget
    were larger. Below 0.5: how unusual the last readings are.

    Args:
        rule: runs before all others; what it calls impossible they do not see.
        members: the detectors.
        band: what people are told was usual.
        quiet: columns of the quiet time. [default: a day]
    """

    rule: RangeRule = field(default_factory=RangeRule)
    members: tuple[Member, ...] = field(default_factory=members)
    band: WeeklyBand = field(default_factory=WeeklyBand)
    quiet: int | None = None

    def lookback_of(self, grid: Grid) -> int:
        """Columns before a cell that its score depends on."""
        return deepest(self.members, grid) + before_columns(self._quiet(grid))

    def _quiet(self, grid: Grid) -> int:
        return self.quiet or whole_day_columns(grid)

    def fit(self, grid: Grid, *, budget: float = 0.1, classes: Sequence[str] | None = None) -> UnionModel:
        """Learn from the last 180 days of `grid`, which may hold faults.

        Args:
            grid: what was read.
            budget: false alerts allowed a device-day.
            classes: class of each series; series of a class share what one series alone has not seen enough of. By
                default each series is its own.
        """
        if not budget > 0:
            raise ValueError(f"budget of {budget} false alerts a device-day: it must be above zero")
        chosen = list(classes) if classes is not None else [str(number) for number in range(len(grid.series))]
        if len(chosen) != len(grid.series):
            raise ValueError(f"{len(chosen)} classes for {len(grid.series)} series")
        day = day_columns(grid)
        grid, _ = stretch(grid, slice(_history(grid, MOST_HISTORY * day), None), 0)
        rule = self.rule.fit(grid, chosen)
        clean = without(grid, self.rule.impossible(grid, rule))
        scale = Scale.of(clean.values)
        standard = in_spreads(clean, scale)
        models = {self.rule.name: rule, self.band.name: self.band.fit(standard, chosen)}
        # Of fast signals too: the highest scores of parts of a day differ by what is done then, which is no tail.
        block = block_columns(grid.width, whole_day_columns(grid))
        _, codes = class_codes(chosen)
        lived = _days(clean)
        thresholds: dict[str, Floats] = {}
        for member in self.members:
            detector = member.detector
            models[detector.name] = detector.fit(standard, chosen)
            model = models[detector.name]
            peaks = [
                block_peaks(
                    member.tail_of(detector.score(part, model.rows(rows), slice(None)).score),
                    np.isfinite(part.values),
                    block,
                )
                for rows, part in _chunks(standard)
            ]
            every, blocks_a_day = np.concatenate(peaks), _day_of(grid) / block
            if member.ranks:
                measure = member.score_of(threshold(every, RANKED_BY / blocks_a_day, codes, predictive=False))
                thresholds[ranked(detector.name)] = np.clip(measure, member.least, LARGEST)
            if member.share > 0:
                found = member.score_of(threshold(every, budget * member.share / blocks_a_day, codes))
                thresholds[detector.name] = np.where(
                    lived >= member.days, np.clip(found, member.least, LARGEST), LARGEST
                )
        learned = np.isfinite(clean.values).sum(axis=1) >= LEAST_LEARNED
        return UnionModel(
            budget=budget,
            scale=grid.series.hstack(scale.table()),
            thresholds=grid.series.with_columns(
                pl.Series("class", chosen, pl.String),
                pl.Series("learned", learned, pl.Boolean),
                *(pl.Series(name, value, pl.Float64) for name, value in thresholds.items()),
            ),
            detectors=models,
        )

    def score(self, grid: Grid, model: UnionModel, columns: slice | None = None) -> pl.DataFrame:
        """Score the cells in `columns` (all if None).

        Returns:
            One row a cell, series by series, in order of time: the columns of `grid.series`, ts (UTC), value
            (null where nothing was read), score (Float32; 1.0 is the threshold), flag, level (Float32: of the
            strongest detector, without regard to what was told before; above 1.0 as long as it lasts), type,
            detector, expected_low, expected_high, reason (type, detector and reason null where not flagged).
        """
        first, last, _ = (columns or slice(None)).indices(grid.width)
        parts = [
            self._score(part, model.rows(rows), slice(first, last))
            for rows, part in _chunks(grid, last - first + self.lookback_of(grid))
        ]
        return pl.concat(parts)

    def _score(self, grid: Grid, model: UnionModel, columns: slice) -> pl.DataFrame:
        found = levelled(grid, model, columns, rule=self.rule, members=self.members, quiet=self._quiet(grid))
        frame = _table(grid, found, columns)
        # Texts for flagged cells only: for all of a fleet they would cost more than the scores.
        rows = frame["flag"].arg_true()
        at = rows.to_numpy()
        names = [*(member.detector.name for member in self.members), self.rule.name]
        kinds = [*(str(member.detector.kind) for member in self.members), str(FlagType.RANGE)]
        code = pl.Series(found.code.ravel()[at])
        told = frame[rows].with_columns(
            code.replace_strict(range(len(names)), names, return_dtype=pl.String).alias("detector"),
            code.replace_strict(range(len(kinds)), kinds, return_dtype=pl.String).alias("type"),
            pl.Series("raw", found.raw.ravel()[at]),
            *self._usual(model, at // max(columns.stop - columns.start, 1), frame["ts"][rows]),
        )
        told = told.with_columns(sentences(told, grid.step, self.band.offset).alias("reason"))
        empty = pl.repeat(None, frame.height, dtype=pl.String, eager=True)
        texts = [empty.clone().scatter(rows, told[name]).alias(name) for name in ("type", "detector", "reason")]
        return frame.with_columns(texts)

    def _usual(self, model: UnionModel, series: NDArray[np.int64], ts: pl.Series) -> list[pl.Series]:
        """What was usual at the hour of the week of some cells, in the unit of the series."""
        middle, spread = self.band.at(series, ts, model.detectors[self.band.name])
        scale = Scale.from_table(model.scale)
        centre = middle * scale.spread[series, 0] + scale.level[series, 0]
        reach = USUAL_SPREADS * spread * scale.spread[series, 0]
        bounds = {"usual_low": centre - reach, "usual_high": centre + reach}
        return [pl.Series(name, bound, dtype=pl.Float64).fill_nan(None) for name, bound in bounds.items()]


def _table(grid: Grid, found: Levelled, columns: slice) -> pl.DataFrame:
    """The arrays side by side, one row a cell."""
    wide = columns.stop - columns.start
    times = np.tile(np.arange(columns.start, columns.stop), len(grid.series))
    cells = pl.DataFrame(
        {
            "ts": instants(grid.start, grid.step, times),
            "value": pl.Series(grid.values[:, columns].ravel(), dtype=pl.Float64).fill_nan(None),
            "score": found.score.ravel(),
            "flag": found.flag.ravel(),
            "level": found.level.ravel(),
            "expected_low": pl.Series(found.low.ravel(), dtype=pl.Float64).fill_nan(None),
            "expected_high": pl.Series(found.high.ravel(), dtype=pl.Float64).fill_nan(None),
        }
    )
    identity = grid.series[np.repeat(np.arange(len(grid.series)), wide)]
    return pl.concat([identity, cells], how="horizontal")


def _history(grid: Grid, columns: int) -> int:
    """The column from which on something was read in so many columns: a year of silence teaches nothing."""
    spoke = np.flatnonzero(np.isfinite(grid.values).any(axis=0))
    return int(spoke[-columns]) if spoke.size > columns else 0


def _days(grid: Grid) -> Floats:
    """Days from the first reading of each series to the end."""
    known = np.isfinite(grid.values)
    silent = np.where(known.any(axis=1), known.argmax(axis=1) if grid.width else 0, grid.width)
    return np.asarray((grid.width - silent) / _day_of(grid))


def _chunks(grid: Grid, width: int | None = None) -> list[tuple[slice, Grid]]:
    """Some series at a time."""
    size = max(CHUNK_CELLS // max(width or grid.width, 1), 1)
    rows = [slice(start, start + size) for start in range(0, max(len(grid.series), 1), size)]
    return [(part, Grid(grid.series[part], grid.start, grid.step, grid.values[part])) for part in rows]


def _day_of(grid: Grid) -> float:
    """Columns of a real day."""
    return 86_400 / grid.step.total_seconds()
