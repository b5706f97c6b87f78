"""One score for a device with several channels: 1.0 is the threshold, and the channel that left the others is named.

Fitting and scoring of whole grids are here; the statistics are in `relations.py`, `silence.py` and `tail.py`, what
is kept in `model.py`, the words in `sentences.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.channels.means import Array
from iot_pipeline.anomalies.channels.model import ChannelsModel, Usual, tables_of
from iot_pipeline.anomalies.channels.relations import Deviations, deviations, relate
from iot_pipeline.anomalies.channels.sentences import Finding, Verdict, frame_of
from iot_pipeline.anomalies.channels.silence import REACH, longest_usual, overdue
from iot_pipeline.anomalies.channels.stacks import CHANNEL, Stack, View, identity, stacks_of, view_of
from iot_pipeline.anomalies.channels.tail import threshold
from iot_pipeline.anomalies.detectors.resolution import decimal_places, spread_floor
from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.engine.grid import Grid

FOLDS = 5
"""Parts of the history that are judged by the rest: residuals within the fit of a short history are far too small."""

USUAL_SHARE = 0.99
"""Statistics are measured in what one column in a hundred of the history exceeds."""

RELATIVE_FLOOR = 1e-6
"""Least believable spread as a share of the level."""

CORE_SHARE = {View.MEAN: 0.8, View.LEAP: 0.1}
JOINT_SHARE = {View.MEAN: 0.05, View.LEAP: 0.05}
"""Parts of the budget. The joint distance gets little: on its own it raises more false alerts than it finds faults."""

CELLS = 2_000_000
"""Cells worked on together: bounds memory to some 300 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Channels:
    """How far the channels of a device are from their usual level, from one another, and all together.

    In two views, means of the last `length` readings and the leap of each reading from the mean before it: of each
    channel the distance from its level, and from what the others let expect (ridge regression leaving the channel
    out); the worst channel of each kind, in units of what one column in a hundred of the history had, and the mean of
    both kinds. Beside it the joint distance of all channels, and channels that stand still or are silent. The score is
    the largest of these in units of their thresholds.

    Args:
        length: readings in a mean; at one reading a second a mean of ten is worth more than any model.
        least_history: columns with readings below which nothing is scored: the device is being learned.
    """

    length: int = 10
    least_history: int = 100

    @property
    def name(self) -> str:
        """Stable name of the ensemble."""
        return "channels"

    @property
    def kind(self) -> FlagType:
        """What its flags are called."""
        return FlagType.MULTICHANNEL

    def lookback_of(self, grid: Grid) -> int:  # noqa: ARG002 -- as of the union of single series
        """Columns before a cell that its score depends on; the same for any grid."""
        return self._lookback

    @property
    def _lookback(self) -> int:
        return max(2 * REACH, self.length)

    def fit(self, grid: Grid, *, budget: float = 0.1) -> ChannelsModel:
        """Learn from all of `grid`, one row a device and channel (column `channel` of its series).

        Args:
            grid: the past.
            budget: false alerts a device-day, above 0.
        """
        by = identity(grid.series)
        empty = {"channel": grid.series.clear(), "device": grid.series.select(by).clear()}
        tables: dict[str, list[pl.DataFrame]] = {}
        for stack in stacks_of(grid.series.with_row_index("row")):
            for part in stack.parts(max(CELLS // max(stack.rows.shape[1] * grid.width, 1), 1)):
                history = part.values(grid, slice(None))
                still, silent = longest_usual(history)
                for view in View:
                    usual = self._learn(history, view, grid.step, budget)
                    for name, table in tables_of(part, view, usual, still, silent).items():
                        tables.setdefault(name, []).append(table)
        return ChannelsModel(empty | {name: pl.concat(found) for name, found in tables.items()}, grid.step, budget)

    def score(self, grid: Grid, model: ChannelsModel, columns: slice | None = None) -> pl.DataFrame:
        """Score the cells in `columns` (all if None), looking at most `lookback_of` columns before them.

        Returns:
            One row a device and column, device by device, in order of time: the columns of `grid.series` but
            `channel`, ts (UTC), score (Float32; 1.0 is the threshold), flag, type, channel (the one that is
            furthest off), value (mean of its last readings), expected_low, expected_high (in its unit), reason
            (one sentence). Of what is not flagged, type and reason are null. A device that the model does not know,
            or knows in another interval, has scores of 0 and no expectation; a channel that it does not know
            is not looked at.
        """
        first, last, _ = (columns or slice(None)).indices(grid.width)
        by = identity(grid.series)
        devices = grid.series.select(by).unique(maintain_order=True)
        known = model.series(by).join(devices, on=by, how="semi", nulls_equal=True, maintain_order="left")
        if grid.step != model.step:
            known = known.clear()
        numbered = grid.series.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
        rows = known.join(numbered, on=[*by, CHANNEL], how="left", nulls_equal=True, maintain_order="left")
        frames = [frame_of(devices.join(known, on=by, how="anti", nulls_equal=True), grid, slice(first, last))]
        for stack in stacks_of(rows.with_columns(pl.col("row").fill_null(-1))):
            for part in stack.parts(max(CELLS // (4 * self._lookback * stack.rows.shape[1]), 1)):
                frames.extend(self._score(part, grid, model, first, last))
        order = devices.with_row_index("order")
        return pl.concat(frames).join(order, on=by, nulls_equal=True).sort("order", "ts").drop("order")

    def _score(self, part: Stack, grid: Grid, model: ChannelsModel, first: int, last: int) -> Iterator[pl.DataFrame]:
        usuals = {view: model.usual(part, view) for view in View}
        still, silent = model.limits(part)
        width = max(CELLS // part.rows.size, self._lookback)
        for begin in range(first, last, width):
            end = min(begin + width, last)
            values = part.values(grid, slice(max(begin - self._lookback, 0), end))
            keep = slice(values.shape[-1] - (end - begin), None)
            verdict = Verdict.none(part.rows.shape[0], end - begin)
            for view, usual in usuals.items():
                seen, before = view_of(values, view, self.length)
                verdict = _worse(verdict, seen[..., keep], before[..., keep], usual)
            for finding, share in zip((Finding.STILL, Finding.SILENT), overdue(values, still, silent), strict=True):
                verdict = _quiet(verdict, finding, share[..., keep], values[..., keep])
            yield frame_of(part.devices, grid, slice(begin, end), verdict=verdict, channels=part.channels)

    def _learn(self, history: Array, view: View, step: timedelta, budget: float) -> Usual:
        seen, _ = view_of(history, view, self.length)
        floor = _floor(history)
        known = np.isfinite(seen)
        spoke = np.asarray(known.any(axis=1))
        independent = self.length if view == View.MEAN else 1
        unseen = _left_out(seen, floor, independent, self.length)
        usual = relate(seen, floor=floor, independent=spoke.sum(axis=-1) / independent)
        level_scale = np.maximum(_size(unseen.level, known), 1.0)
        conditional_scale = np.maximum(_size(unseen.conditional, known), floor / usual.spread)
        level = (np.abs(unseen.level) / level_scale[..., None]).max(axis=1)
        conditional = (np.abs(unseen.conditional) / conditional_scale[..., None]).max(axis=1)
        level_usual, conditional_usual = (_exceeded_seldom(worst, spoke) for worst in (level, conditional))
        core = (level / level_usual[:, None] + conditional / conditional_usual[:, None]) / 2
        learned = np.isfinite(history).any(axis=1).sum(axis=-1) >= self.least_history
        thresholds = []
        for score, share in ((core, CORE_SHARE[view]), (unseen.joint, JOINT_SHARE[view])):
            limit = threshold(np.where(spoke, score, np.nan), budget=share * budget, step=step, independent=independent)
            thresholds.append(np.where(learned, limit, np.inf))
        return Usual(usual, level_scale, conditional_scale, level_usual, conditional_usual, *thresholds)


def _left_out(means: Array, floor: Array, independent: int, gap: int) -> Deviations:
    """Deviations of each of FOLDS stretches of the history from what the others, `gap` columns away, make usual."""
    width = means.shape[-1]
    found = []
    for part in np.array_split(np.arange(width), FOLDS) if width else ():
        begin, end = (int(part[0]), int(part[-1]) + 1) if part.size else (0, 0)
        rest = np.concatenate([means[..., : max(begin - gap, 0)], means[..., end + gap :]], axis=-1)
        spoke = np.isfinite(rest).any(axis=1).sum(axis=-1)
        usual = relate(rest, floor=floor, independent=spoke / independent)
        found.append(deviations(means[..., begin:end], usual))
    if not found:
        return Deviations(means, means, means[:, 0])
    return Deviations(
        *(np.concatenate([getattr(part, name) for part in found], axis=-1) for name in Deviations.__slots__)
    )


def _worse(verdict: Verdict, seen: Array, before: Array, usual: Usual) -> Verdict:
    """The verdict, and where this view is stranger, its own; `seen` is told from `before` on."""
    found = deviations(seen, usual.relations)
    level = np.abs(found.level) / (usual.level_scale * usual.level_usual[:, None])[..., None]
    conditional = np.abs(found.conditional) / (usual.conditional_scale * usual.conditional_usual[:, None])[..., None]
    limit = usual.core_threshold[:, None]
    core = (level.max(axis=1) + conditional.max(axis=1)) / 2 / limit
    joint = found.joint / usual.joint_threshold[:, None]
    guilty = np.argmax(level + conditional, axis=1)[:, None]

    def of_guilty(array: Array) -> Array:
        return np.take_along_axis(array, guilty, axis=1)[:, 0]

    centre, spread = (of_guilty(part[..., None]) for part in (usual.relations.centre, usual.relations.spread))
    base = of_guilty(before)
    by_others = of_guilty(conditional) >= of_guilty(level)
    middle = np.where(by_others, of_guilty(found.level) - of_guilty(found.conditional), 0.0)
    half = np.where(
        by_others,
        of_guilty(usual.conditional_scale[..., None]) * usual.conditional_usual[:, None],
        of_guilty(usual.level_scale[..., None]) * usual.level_usual[:, None],
    )
    alone = np.where(by_others, Finding.CONDITIONAL, Finding.LEVEL)
    return verdict.worse_of(
        Verdict(
            score=np.maximum(core, joint),
            finding=np.where(joint > core, Finding.JOINT, alone).astype(np.int8),
            channel=guilty[:, 0],
            value=base + of_guilty(seen),
            low=base + centre + spread * (middle - half * limit),
            high=base + centre + spread * (middle + half * limit),
        )
    )


def _quiet(verdict: Verdict, finding: Finding, share: Array, values: Array) -> Verdict:
    """The verdict, and where a channel has been quiet for too long, that."""
    guilty = np.argmax(share, axis=1)[:, None]
    longest = np.take_along_axis(share, guilty, axis=1)[:, 0]
    unknown = np.full(longest.shape, np.nan)
    return verdict.worse_of(
        Verdict(
            score=np.where(longest >= 1.0, longest, 0.0),
            finding=np.full(longest.shape, finding, np.int8),
            channel=guilty[:, 0],
            value=np.take_along_axis(values, guilty, axis=1)[:, 0],
            low=unknown,
            high=unknown,
        )
    )


def _floor(history: Array) -> Array:
    """Least spread to believe in for each channel, (devices, channels)."""
    some = history[..., :: max(history.shape[-1] // 1000, 1)]
    size = np.abs(np.where(np.isfinite(some), some, 0.0)).max(axis=-1, initial=0.0)
    floor: Array = spread_floor(decimal_places(some).max(axis=-1, initial=0), size, RELATIVE_FLOOR)
    return floor


def _size(unseen: Array, known: NDArray[np.bool_]) -> Array:
    """Root mean square of the deviations of each channel, where it was read; (devices, channels)."""
    size: Array = np.sqrt((unseen**2).sum(axis=-1) / np.maximum(known.sum(axis=-1), 1))
    return size


def _exceeded_seldom(worst: Array, spoke: NDArray[np.bool_]) -> Array:
    """What `worst` (devices, columns) exceeds in one of a hundred columns of each device, at least 1."""
    found = [
        float(np.quantile(row[there], USUAL_SHARE)) if there.any() else 1.0
        for row, there in zip(worst, spoke, strict=True)
    ]
    return np.array(found, np.float64).clip(1.0)
