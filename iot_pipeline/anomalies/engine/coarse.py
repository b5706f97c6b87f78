"""A detector of the engine on means of several columns: what takes a day to show is looked for at a day's own pace.

What is looked for is the detector's business; here readings are put together, and its scores taken apart again.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from iot_pipeline.anomalies.engine.detector import FlagType, GridDetector, Model, Scored
from iot_pipeline.anomalies.engine.grid import Floats, Grid
from iot_pipeline.anomalies.engine.rolling import origin_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Coarse:
    """A detector on the means of as many columns as make a day fit into `most` of them.

    Elsewhere "a day" of signals faster than three minutes is their last 512 readings (see `scale.LONGEST_DAY`): of one
    reading in ten seconds an hour and a half, in which no drift of a day shows. Blocks of columns begin at fixed
    instants; a cell has the score of the last block that ended with it or before.

    Args:
        detector: it.
        most: columns of a day.
    """

    detector: GridDetector
    most: int

    @property
    def name(self) -> str:
        """The detector's."""
        return self.detector.name

    @property
    def version(self) -> str:
        """Of this code and the detector's."""
        return f"1.{self.detector.version}"

    @property
    def kind(self) -> FlagType:
        """The detector's."""
        return self.detector.kind

    def pace_of(self, step: timedelta) -> int:
        """Columns in a block."""
        return max(math.ceil(timedelta(days=1) / step / self.most), 1)

    def lookback_of(self, grid: Grid) -> int:
        """The detector's, and the block that is not over yet."""
        pace = self.pace_of(grid.step)
        if pace == 1:
            return self.detector.lookback_of(grid)
        bare = Grid(grid.series, grid.start, pace * grid.step, np.empty((len(grid.series), 0), np.float32))
        return (self.detector.lookback_of(bare) + 2) * pace

    def fit(self, grid: Grid, classes: Sequence[str]) -> Model:
        """What the detector learns from means."""
        return self.detector.fit(self._means(grid)[0], classes)

    def score(self, grid: Grid, model: Model, columns: slice) -> Scored:
        """The detector's score of the last whole block."""
        if self.pace_of(grid.step) == 1:
            return self.detector.score(grid, model, columns)
        pace = self.pace_of(grid.step)
        first, last, _ = columns.indices(grid.width)
        begin = max(first - self.lookback_of(grid), 0)
        part = Grid(grid.series, grid.start + begin * grid.step, grid.step, grid.values[:, begin:last])
        means, skipped = self._means(part)
        # Number of the last whole block at each column; -1 before the first one.
        block = (np.arange(first - begin, last - begin) + 1 - skipped) // pace - 1
        since = max(int(block.min(initial=0)), 0)
        found = self.detector.score(means, model, slice(since, None))
        known = np.isfinite(part.values[:, first - begin :])
        if means.width <= since:
            return Scored.bare(np.zeros(known.shape, np.float32))
        at, unknown = np.maximum(block - since, 0), (block < 0)[None, :]
        return Scored(
            np.where(known & ~unknown, found.score[:, at], np.float32(0)),
            np.where(unknown, np.float32(np.nan), found.expected_low[:, at]),
            np.where(unknown, np.float32(np.nan), found.expected_high[:, at]),
        )

    def _means(self, grid: Grid) -> tuple[Grid, int]:
        """The whole blocks of `grid`, and the columns before the first one."""
        pace = self.pace_of(grid.step)
        if pace == 1:
            return grid, 0
        skipped = -origin_of(grid) % pace
        count = max((grid.width - skipped) // pace, 0)
        cut: Floats = grid.values[:, skipped : skipped + count * pace].reshape(len(grid.values), count, pace)
        known = np.isfinite(cut)
        total = np.where(known, cut, cut.dtype.type(0)).sum(axis=2)
        read = known.sum(axis=2)
        values = np.where(read > 0, total / np.maximum(read, 1), np.nan).astype(cut.dtype)
        return Grid(grid.series, grid.start + skipped * grid.step, pace * grid.step, values), skipped
