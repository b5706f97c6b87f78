"""How much fleets say, and what the states measure second by second: small counters beside the columns.

Fleets and states are few; what is known of single series is in `state.py`.
"""

from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from iot_pipeline.live.model import StateMean, StateWindow
from iot_pipeline.live.windows import Floats, Integers

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RATE_SECONDS = 10.0
SECONDS = 180
MOST_GROUPS = 1_000
# One clock that is ahead must not push the seconds of all others out.
AHEAD_US = 2_000_000
_NEVER = np.iinfo(np.int64).min


class FleetCounters:
    """Readings and the newest event time of each fleet, by number of fleet."""

    def __init__(self) -> None:
        self._readings = np.zeros(0, np.int64)
        self.newest_us = np.zeros(0, np.int64)
        self._marks: deque[tuple[float, NDArray[np.int64]]] = deque()

    def add(self, fleets: Integers, event_us: Integers) -> None:
        """Count readings."""
        if not len(fleets):
            return
        counted = np.bincount(fleets)
        missing = len(counted) - len(self._readings)
        if missing > 0:
            self._readings = np.concatenate([self._readings, np.zeros(missing, np.int64)])
            self.newest_us = np.concatenate([self.newest_us, np.full(missing, _NEVER)])
        self._readings[: len(counted)] += counted
        for fleet in np.flatnonzero(counted).tolist():
            self.newest_us[fleet] = max(int(self.newest_us[fleet]), int(event_us[fleets == fleet].max()))

    def mark(self, now: float) -> None:
        """Note the counters at `now` (seconds of a steady clock), about once a second."""
        if self._marks and now - self._marks[-1][0] < 1.0:
            return
        self._marks.append((now, self._readings.copy()))
        while now - self._marks[0][0] > RATE_SECONDS:
            self._marks.popleft()

    def newest(self, fleet: int) -> datetime | None:
        """The newest event time; None before the first reading."""
        newest_us = self.newest_us
        if fleet >= len(newest_us) or newest_us[fleet] == _NEVER:
            return None
        return EPOCH + int(newest_us[fleet]) * timedelta(microseconds=1)

    def per_second(self, fleet: int) -> float:
        """Readings a second over the last seconds."""
        marks = list(self._marks)
        if len(marks) < 2 or fleet >= len(marks[-1][1]):
            return 0.0
        (begin, before), (end, after) = marks[0], marks[-1]
        earlier = int(before[fleet]) if fleet < len(before) else 0
        return (int(after[fleet]) - earlier) / (end - begin)


class StateSeconds:
    """Sum and number of the readings of each state, metric and unit in each of the last seconds of event time."""

    def __init__(self) -> None:
        self._groups: dict[tuple[int, str, str | None], int] = {}
        self._sums = np.zeros((SECONDS, MOST_GROUPS))
        self._counts = np.zeros((SECONDS, MOST_GROUPS), np.int64)
        self._newest = 0

    def add(self, group: tuple[int, str, str | None], event_us: Integers, values: Floats, *, now_us: int) -> None:
        """Take in the readings of one (number of state, metric, unit); those of clocks that are ahead do not count."""
        number = self._groups.setdefault(group, len(self._groups))
        if number >= MOST_GROUPS:
            del self._groups[group]
            return
        timely = event_us <= now_us + AHEAD_US
        seconds, values = event_us[timely] // 1_000_000, values[timely]
        newest = int(seconds.max(initial=self._newest))
        if newest > self._newest:
            passed = np.arange(max(self._newest + 1, newest - SECONDS + 1), newest + 1) % SECONDS
            self._sums[passed], self._counts[passed] = 0.0, 0
            self._newest = newest
        held = seconds > self._newest - SECONDS
        slots = seconds[held] % SECONDS
        self._sums[:, number] += np.bincount(slots, values[held], minlength=SECONDS)
        self._counts[:, number] += np.bincount(slots, minlength=SECONDS)

    def windows(self, length: int, states: Sequence[str], sensors: Integers) -> list[StateWindow]:
        """Windows of `length` seconds, newest first; the oldest one that is not whole is left out."""
        total = int(sensors.sum())
        first = -(-(self._newest - SECONDS + 1) // length)
        found = []
        for window in range(self._newest // length, first - 1, -1):
            slots = np.arange(window * length, min((window + 1) * length, self._newest + 1)) % SECONDS
            counts, sums = self._counts[slots].sum(axis=0), self._sums[slots].sum(axis=0)
            means = [
                StateMean(
                    states[state], metric, unit, float(sums[at] / counts[at]), int(counts[at]), int(sensors[state])
                )
                for (state, metric, unit), at in list(self._groups.items())
                if counts[at]
            ]
            if means:
                means.sort(key=lambda one: (-one.mean, one.state))
                messages = sum(one.messages for one in means)
                start = datetime.fromtimestamp(window * length, UTC)
                found.append(StateWindow(start, length, tuple(means), messages, total))
        return found
