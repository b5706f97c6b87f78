"""The last single readings of all series in one ring of fixed size, and whether a reading was among them.

A reading is a repetition when one with the same event time is found among the last `DEPTH` of its series
that the ring still holds: that far, and no further, repetitions are recognised.
"""

import math

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.live.windows import Floats, Ids, Integers

DEPTH = 1_000
MOST_POINTS = 5_000
BYTES_EACH = 24


class Recent:
    """Readings in order of arrival; each points to the one before it of the same series.

    Positions count from the first reading ever, so that one that was overwritten is known by its age.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.total = 0
        self._time = np.zeros(size, np.int64)  # µs since 1970 UTC
        self._value = np.zeros(size, np.float64)  # NaN: no number that counts
        self._before = np.full(size, -1, np.int64)

    def repeated(self, heads: Integers, times: Integers) -> NDArray[np.bool_]:
        """Which readings are repetitions, by the newest position of their series and their event times."""
        found = np.zeros(len(heads), np.bool_)
        rows, at = np.arange(len(heads)), heads
        oldest = self.total - self.size
        for _ in range(DEPTH):
            held = at >= max(oldest, 0)
            rows, at = rows[held], at[held]
            if not len(rows):
                break
            slots = at % self.size
            same = self._time[slots] == times[rows]
            found[rows[same]] = True
            rows, at = rows[~same], self._before[slots[~same]]
        return found

    def push(self, ids: Ids, heads: Integers, times: Integers, values: Floats) -> tuple[Ids, Integers]:
        """Take in readings sorted by series and event time, `heads` being as for `repeated`.

        Returns:
            The series, each once, and their newest positions.
        """
        positions = self.total + np.arange(len(ids))
        begins = np.r_[True, ids[1:] != ids[:-1]]
        slots = positions % self.size
        self._time[slots], self._value[slots] = times, values
        self._before[slots] = np.where(begins, heads, positions - 1)
        self.total += len(ids)
        ends = np.r_[begins[1:], True]
        return ids[ends], positions[ends]

    def points(self, head: int, since: int) -> list[tuple[int, float]]:
        """(µs, value) of the numbers of a series from `since` on that are still held, by event time.

        At most `MOST_POINTS` of those that came last. Readings come nearly in order, so the search ends
        where `DEPTH` in a row were older.
        """
        found: list[tuple[int, float]] = []
        older = 0
        while head >= max(self.total - self.size, 0) and len(found) < MOST_POINTS and older < DEPTH:
            slot = head % self.size
            time, value = int(self._time[slot]), float(self._value[slot])
            older = older + 1 if time < since else 0
            if time >= since and not math.isnan(value):
                found.append((time, value))
            head = int(self._before[slot])
        return sorted(found)
