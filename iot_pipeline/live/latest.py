"""The newest reading of every series by event time: columns by series id.

Repetitions are recognised before (see `recent.py`); what the numbers of series stand for is `series.py`.
"""

from dataclasses import dataclass

import numpy as np

from iot_pipeline.live.windows import Floats, Ids, Integers
from iot_pipeline.readings.schema import Quality

QUALITIES = tuple(quality.value for quality in Quality)
BYTES_EACH = 8 * 4 + 4 + 2 + 1
LONGEST_TEXT = 1_000
NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class Newest:
    """One reading each of some series, each at most once.

    `batch`, `row` and `collector` name the message; row -1: only the statistics of a window are known.
    """

    ids: Ids
    event_us: Integers
    received_us: Integers
    value: Floats  # NaN: none
    quality: Integers  # position in QUALITIES
    batch: Integers
    row: Integers
    collector: Integers

    def take(self, rows: Ids) -> "Newest":
        """Some of them."""
        return Newest(
            self.ids[rows],
            self.event_us[rows],
            self.received_us[rows],
            self.value[rows],
            self.quality[rows],
            self.batch[rows],
            self.row[rows],
            self.collector[rows],
        )


class Latest:
    """Columns by series id."""

    def __init__(self) -> None:
        self.event_us = np.empty(0, np.int64)
        self.received_us = np.empty(0, np.int64)
        self.value = np.empty(0, np.float64)
        self.quality = np.empty(0, np.uint8)
        self.batch = np.empty(0, np.int64)
        self.row = np.empty(0, np.int32)
        self.collector = np.empty(0, np.uint16)
        self.texts: dict[int, str] = {}

    def resize(self, used: int, capacity: int) -> None:
        """Make room for `capacity` series, of which `used` exist."""
        for name in ("event_us", "received_us", "value", "quality", "batch", "row", "collector"):
            old = getattr(self, name)
            new = np.zeros(capacity, old.dtype)
            if name == "event_us":
                new[used:] = NEVER
            new[:used] = old[:used]
            setattr(self, name, new)

    def newer(self, told: Newest) -> Ids:
        """Rows of `told` that are newer than what is known; of the same time, a message counts more than statistics."""
        known = self.event_us[told.ids]
        better = (told.event_us == known) & (self.row[told.ids] < 0) & (told.row >= 0)
        return np.flatnonzero((told.event_us > known) | better)

    def put(self, told: Newest) -> None:
        """Replace what is known."""
        ids = told.ids
        self.event_us[ids] = told.event_us
        self.received_us[ids] = told.received_us
        self.value[ids] = told.value
        self.quality[ids] = told.quality
        self.batch[ids] = told.batch
        self.row[ids] = told.row
        self.collector[ids] = told.collector

    def say(self, ids: list[int], texts: list[str | None]) -> None:
        """Replace the texts of series; None: the newest reading is a number alone."""
        for number, text in zip(ids, texts, strict=True):
            if text is not None:
                self.texts[number] = text[:LONGEST_TEXT]
            elif self.texts:
                self.texts.pop(number, None)

    def forget(self, ids: Ids) -> None:
        """These series are no more."""
        self.event_us[ids] = NEVER
        for number in ids.tolist():
            self.texts.pop(number, None)
