"""Statistics of one event-time window for every series: columns by series id, made so that parts can be merged.

Which windows there are, and which readings belong to them, is `state.py`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

WIDE = np.float64
NARROW = np.float32


@dataclass(frozen=True, slots=True)
class Parts:
    """Statistics of sets of numbers, one set a row; all arrays have the same length.

    `first_at` and `last_at` order the first and the last number in time, in whatever unit the window counts.
    A row with count 0 stands for no numbers.
    """

    count: Integers
    lowest: Floats
    highest: Floats
    mean: Floats
    first: Floats
    last: Floats
    first_at: Integers
    last_at: Integers

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Parts":
        """Some rows."""
        return Parts(
            self.count[rows],
            self.lowest[rows],
            self.highest[rows],
            self.mean[rows],
            self.first[rows],
            self.last[rows],
            self.first_at[rows],
            self.last_at[rows],
        )

    def at(self, time: int) -> "Parts":
        """The same numbers in a longer window, in which all of them have the time `time`."""
        times = np.full(len(self.count), time, np.int64)
        return Parts(self.count, self.lowest, self.highest, self.mean, self.first, self.last, times, times)

    def merged(self, other: "Parts") -> "Parts":
        """Row by row the statistics of both sets; of equal times those of `self` win.

        The mean is that of `self` moved towards the other by its share: exact but for rounding, and it
        does not overflow where the sum would.
        """
        empty, theirs = self.count == 0, other.count > 0
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        earlier = theirs & (empty | (other.first_at < self.first_at))
        later = theirs & (empty | (other.last_at > self.last_at))
        with np.errstate(over="ignore", invalid="ignore"):
            mean = self.mean + (other.mean - self.mean) * share
        return Parts(
            count,
            np.where(empty, other.lowest, np.where(theirs, np.minimum(self.lowest, other.lowest), self.lowest)),
            np.where(empty, other.highest, np.where(theirs, np.maximum(self.highest, other.highest), self.highest)),
            np.where(empty, other.mean, mean),
            np.where(earlier, other.first, self.first),
            np.where(later, other.last, self.last),
            np.where(earlier, other.first_at, self.first_at),
            np.where(later, other.last_at, self.last_at),
        )


class Windows:
    """One window of all series.

    With doubles every figure is what the readings were. With single precision minimum, maximum, mean and
    last are kept as distances from the first reading, which stays a double: so a meter that stands at
    100,000 kWh still tells a usage of 0.01 kWh to seven digits.
    """

    __slots__ = ("count", "first", "first_at", "highest", "last", "last_at", "lowest", "mean")

    def __init__(self, capacity: int, precision: type[np.floating], times: type[np.unsignedinteger]) -> None:
        self.count = np.zeros(capacity, np.uint32)
        self.first = np.zeros(capacity, np.float64)
        self.lowest = np.zeros(capacity, precision)
        self.highest = np.zeros(capacity, precision)
        self.mean = np.zeros(capacity, precision)
        self.last = np.zeros(capacity, precision)
        self.first_at = np.zeros(capacity, times)
        self.last_at = np.zeros(capacity, times)

    @staticmethod
    def bytes_each(precision: type[np.floating], times: type[np.unsignedinteger]) -> int:
        """What one series takes."""
        return 4 + 8 + 4 * np.dtype(precision).itemsize + 2 * np.dtype(times).itemsize

    @property
    def narrow(self) -> bool:
        """Whether figures are distances from the first."""
        return bool(self.mean.dtype == np.float32)

    def rows(self, ids: Ids) -> Parts:
        """The statistics of some series."""
        first = self.first[ids]
        base = first if self.narrow else 0.0
        return Parts(
            self.count[ids].astype(np.int64),
            self.lowest[ids] + base,
            self.highest[ids] + base,
            self.mean[ids] + base,
            first,
            self.last[ids] + base,
            self.first_at[ids].astype(np.int64),
            self.last_at[ids].astype(np.int64),
        )

    def put(self, ids: Ids, parts: Parts) -> None:
        """Replace the statistics of some series, each at most once in `ids`."""
        base = parts.first if self.narrow else 0.0
        with np.errstate(over="ignore"):
            self.lowest[ids] = parts.lowest - base
            self.highest[ids] = parts.highest - base
            self.mean[ids] = parts.mean - base
            self.last[ids] = parts.last - base
        self.first[ids] = parts.first
        self.first_at[ids] = parts.first_at
        self.last_at[ids] = parts.last_at
        self.count[ids] = parts.count

    def resized(self, used: int, capacity: int, precision: type[np.floating]) -> "Windows":
        """The first `used` series in columns of another size or precision."""
        times = np.uint8 if self.first_at.dtype == np.uint8 else np.uint32
        other = Windows(capacity, precision, times)
        step = 1 << 18
        for begin in range(0, used, step):
            ids = np.arange(begin, min(begin + step, used))
            ids = ids[self.count[ids] > 0]
            if len(ids):
                other.put(ids, self.rows(ids))
        return other


def grouped(ids: Ids, windows: Integers, times: Integers, values: Floats) -> tuple[Ids, Integers, Parts]:
    """Statistics of numbers by series and window.

    Args:
        ids: series of each number, ascending.
        windows: window of each number.
        times: time of each number within its window, ascending within a series and window.
        values: the numbers.

    Returns:
        Series, window and statistics of each group.
    """
    if not len(ids):
        nothing, none = np.empty(0, np.int64), np.empty(0)
        return nothing, nothing, Parts(nothing, none, none, none, none, none, nothing, nothing)
    starts = np.flatnonzero(np.r_[True, (ids[1:] != ids[:-1]) | (windows[1:] != windows[:-1])])
    ends = np.r_[starts[1:], len(ids)] - 1
    count = ends - starts + 1
    # Shares are added instead of numbers, whose sum may be too large for a double.
    mean = np.add.reduceat(values / np.repeat(count, count), starts)
    # Rounding must not put the mean of equal numbers beside them.
    lowest, highest = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    mean = np.clip(mean, lowest, highest)
    return (
        ids[starts],
        windows[starts],
        Parts(count, lowest, highest, mean, values[starts], values[ends], times[starts], times[ends]),
    )
