"""What the detectors look at to score some minutes, read from files: readings, told states, statistics by minute.

What is made of it is in the detectors, which devices are taken together in `slices.py`. Of a large fleet no row of
`device_minute` of the look-back is ever part of a frame, and what few series need is read of these alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain

import polars as pl

from iot_pipeline.anomalies.detectors import Detector, ScoringWindow
from iot_pipeline.anomalies.detectors.minute_grids import EXTREMES, MEANS, MOMENTS, Memory, MinuteGrids, filled
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.told_states import BEFORE, STATE_METRIC, told_states
from iot_pipeline.anomalies.detectors.window import Asked
from iot_pipeline.anomalies.side_by_side import ahead
from iot_pipeline.anomalies.slices import Slice
from iot_pipeline.clock import MINUTE
from iot_pipeline.settings import Settings
from iot_pipeline.stats.current import devices_left_out, read_current, read_metric, read_series
from iot_pipeline.stats.relations import device_minute_tree
from iot_pipeline.trees import MinuteTree

READ = ("event_ts", *SERIES, "value", "text", "quality")
"""Columns of readings that detectors look at."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Reads what `detectors` need to score `first` to `last`, and no more.

    Args:
        settings: where the data is.
        first: first minute to score (UTC).
        last: last minute to score (UTC), included.
        detectors: all that will score.
    """

    settings: Settings
    first: datetime
    last: datetime
    detectors: Sequence[Detector]

    @property
    def begin(self) -> datetime:
        """First minute whose statistics a detector looks at."""
        return self.first - max(detector.lookback for detector in self.detectors)

    def read(self, part: Slice, memory: Memory) -> ScoringWindow:
        """The window of the devices of `part`.

        Args:
            part: devices.
            memory: that of a window which nobody needs any more.
        """
        return self._of_all() if part.spoke is None else self._of_some(part, part.spoke, memory)

    def _of_all(self) -> ScoringWindow:
        readings = read_current(self.settings, self.first, self.last, columns=READ)
        minutes = self._tree.read(self.begin, self.last)
        states = told_states(readings.filter(pl.col("event_ts") >= self.first))
        return self._window(readings, minutes, states["device_id"], MinuteGrids.of(minutes))

    def _of_some(self, part: Slice, spoke: pl.DataFrame, memory: Memory) -> ScoringWindow:
        """Single readings only of machines that told a state; others are read for those who ask for them."""
        settings, devices = self.settings, (part.begin, part.end)
        told = read_metric(settings, self.first, self.last, STATE_METRIC, columns=READ, devices=devices)
        machines = told_states(told)["device_id"].unique().sort()
        minutes = self._rows(self.first, self.last, part.where())
        readings = told.clear()
        if machines.len():
            minutes = pl.concat([self._rows(self.begin, self.first - MINUTE, _one_of(machines)), minutes])
            readings = read_series(settings, self.first, self.last, machines, columns=READ)

        def read(asked: pl.Series | None) -> pl.DataFrame:
            if asked is None:
                return read_current(settings, self.first, self.last, columns=READ, devices=devices)
            if asked.is_empty():
                return readings.clear()
            return read_series(settings, self.first, self.last, asked, columns=READ)

        beside = devices_left_out(settings, self.first, self.last, devices=devices)
        window = self._window(readings, minutes, machines, self._grids(part, memory))
        return replace(window, spoke=spoke, asked=Asked(read, beside))

    def _window(
        self, readings: pl.DataFrame, minutes: pl.DataFrame, machines: pl.Series, grids: MinuteGrids
    ) -> ScoringWindow:
        """With what is known of machines that told a state."""
        window = ScoringWindow(readings=readings, minutes=minutes, grids=grids, first=self.first, last=self.last)
        machines = machines.unique().sort()
        if machines.is_empty():
            return window
        before = self.first - MINUTE
        states = read_series(self.settings, self.first - BEFORE, self.last, machines, STATE_METRIC)
        recent = read_series(self.settings, before, before, machines)
        return replace(window, states=told_states(states), recent=recent)

    @property
    def _tree(self) -> MinuteTree:
        return device_minute_tree(self.settings.paths)

    def _rows(self, first: datetime, last: datetime, where: pl.Expr | None) -> pl.DataFrame:
        tree = self._tree
        return pl.concat([tree.empty(), *tree.pieces(first, last, list(tree.schema), where=where)])

    def _grids(self, part: Slice, memory: Memory) -> MinuteGrids:
        """Means as far back as somebody looks, MOMENTS as far as somebody looks at these."""
        moments = self.first - max(detector.moments_lookback for detector in self.detectors)
        early = self._tree.pieces(self.begin, moments - MINUTE, MEANS, where=part.where())
        late = self._tree.pieces(moments, self.last, [*MEANS, *MOMENTS], where=part.where())
        begins = {"mean": self.begin, **dict.fromkeys(MOMENTS, moments)}
        grids = filled(ahead(chain(early, late)), self.last, begins, memory)

        def of_few(series: pl.DataFrame) -> MinuteGrids:
            wanted = _one_of(series["device_id"].unique().sort())
            pieces = self._tree.pieces(moments, self.last, ["minute", *SERIES, *EXTREMES], where=wanted)
            return filled(ahead(pieces), self.last, dict.fromkeys(EXTREMES, moments), Memory())

        return replace(grids, of_few=of_few)


def _one_of(devices: pl.Series) -> pl.Expr:
    """Whether a row is of one of `devices` (sorted), so that row groups beyond them are passed over."""
    low, high = (pl.lit(name, pl.String) for name in (devices[0], devices[-1]))
    return pl.col("device_id").is_between(low, high) & pl.col("device_id").is_in(devices.implode())
