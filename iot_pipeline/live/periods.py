"""The event-time windows that are kept of every series: minutes of the last hour, hours of the last day.

An hour is what its minutes were when they left the ring of minutes, and what came later still; so its
figures are exact, but for the first and last of an hour when a reading comes after its minute left the ring
and another one of the same minute is the first or last. What counts as a reading is `state.py`.
"""

from contextlib import AbstractContextManager
from datetime import UTC, datetime

import numpy as np

from iot_pipeline.live.model import Window
from iot_pipeline.live.windows import NARROW, WIDE, Floats, Ids, Integers, Parts, Windows, grouped

MINUTE_US = 60_000_000
HOUR_MINUTES = 60
HOURS = 25
MOST_MINUTES = 65
LEAST_MINUTES = 3
# Minutes ahead of the present one that clocks may be: the default of the setting max_skew_seconds.
AHEAD = 5
AT_ONCE = 32_768  # series that are changed while readers wait: two milliseconds

Precision = type[np.floating]


def shape_for(memory: int, series: int) -> tuple[Precision, int] | None:
    """Precision and number of minute windows with which `series` series fit into `memory` bytes; None: too many."""
    for precision in (WIDE, NARROW):
        room = memory / max(series, 1) - _hours_bytes(precision)
        minutes = int(room // Windows.bytes_each(precision, np.uint32))
        if minutes >= (MOST_MINUTES if precision is WIDE else LEAST_MINUTES):
            return precision, min(minutes, MOST_MINUTES)
    return None


def most_series(memory: int, *, other_bytes: int) -> int:
    """The most series that fit into `memory` bytes if each takes `other_bytes` beside its windows."""
    least = LEAST_MINUTES * Windows.bytes_each(NARROW, np.uint32)
    return max(int(memory // (other_bytes + _hours_bytes(NARROW) + least)), 1)


def _hours_bytes(precision: Precision) -> int:
    # One more than is shown: clocks that are ahead begin the next hour early.
    return (HOURS + 1) * Windows.bytes_each(precision, np.uint8)


class Periods:
    """Minute and hour windows by number (minutes and hours since 1970 UTC)."""

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._capacity = 0
        self._precision: Precision = WIDE
        self.kept = MOST_MINUTES
        self.current = 0  # the minute in which the newest message was received
        self._minutes: dict[int, Windows] = {}
        self._hours: dict[int, Windows] = {}

    @property
    def oldest_minute(self) -> int:
        """The first minute that has a window of its own."""
        return self.newest_minute - self.kept + 1

    @property
    def newest_minute(self) -> int:
        """The last one; with few minutes there is no room for clocks that are far ahead."""
        return self.current + (AHEAD if self.kept >= 2 * AHEAD else 1)

    @property
    def oldest_hour(self) -> int:
        """The first hour that is kept."""
        return self.current // HOUR_MINUTES - HOURS + 1

    def bytes_used(self, series: int) -> int:
        """Memory of all windows that exist."""
        minute, hour = Windows.bytes_each(self._precision, np.uint32), Windows.bytes_each(self._precision, np.uint8)
        return series * (len(self._minutes) * minute + len(self._hours) * hour)

    def reshape(self, used: int, capacity: int, shape: tuple[Precision, int]) -> None:
        """Make room for `capacity` series, of which `used` exist."""
        precision, self.kept = shape
        self._leave(used)
        if (capacity, precision) != (self._capacity, self._precision):
            self._capacity, self._precision = capacity, precision
            # One after the other, so that only one exists twice.
            for windows in (self._minutes, self._hours):
                for number in list(windows):
                    windows[number] = windows[number].resized(used, capacity, precision)

    def advance(self, current: int, used: int) -> None:
        """It is minute `current`: what is older than the ring goes into its hour, old hours go."""
        if current > self.current:
            self.current = current
            self._leave(used)
            with self._lock:
                for hour in [hour for hour in self._hours if hour < self.oldest_hour]:
                    del self._hours[hour]

    def add(self, ids: Ids, event_us: Integers, values: Floats) -> None:
        """Take in numbers, sorted by series and event time."""
        minutes = event_us // MINUTE_US
        owners, windows, parts = grouped(ids, minutes, event_us - minutes * MINUTE_US, values)
        for minute in np.unique(windows).tolist():
            rows = np.flatnonzero(windows == minute)
            self._merge(minute, owners[rows], parts.take(rows))

    def add_minute(self, minute: int, ids: Ids, parts: Parts) -> None:
        """Take in statistics of a minute; nobody tells at which instant its first and last were."""
        self._merge(minute, ids, parts)

    def correct_minute(self, minute: int, ids: Ids, parts: Parts) -> None:
        """Replace a minute of some series if it still has its window."""
        windows = self._minutes.get(minute)
        if windows is None and self.oldest_minute <= minute <= self.newest_minute:
            windows = self._minutes[minute] = self._new(np.uint32)
        if windows is not None:
            for rows in _pieces(len(ids)):
                with self._lock:
                    windows.put(ids[rows], parts.take(rows))

    def forget_minute(self, minute: int, ids: Ids) -> None:
        """These series had no numbers in the minute."""
        if (windows := self._minutes.get(minute)) is not None:
            with self._lock:
                windows.count[ids] = 0

    def in_minute(self, minute: int, used: int) -> Ids:
        """Series with numbers in a minute that still has its window."""
        windows = self._minutes.get(minute)
        return np.empty(0, np.int64) if windows is None else np.flatnonzero(windows.count[:used])

    def correct_hour(self, hour: int, ids: Ids, parts: Parts) -> None:
        """Replace an hour of some series, all of whose minutes have left the ring."""
        for rows in _pieces(len(ids)):
            with self._lock:
                self._hour(hour).put(ids[rows], parts.take(rows))

    def forget_hour(self, hour: int, ids: Ids) -> None:
        """These series had no numbers in the hour."""
        if (windows := self._hours.get(hour)) is not None:
            with self._lock:
                windows.count[ids] = 0

    def in_hour(self, hour: int, used: int) -> Ids:
        """Series with numbers in an hour."""
        windows = self._hours.get(hour)
        return np.empty(0, np.int64) if windows is None else np.flatnonzero(windows.count[:used])

    def forget(self, ids: Ids) -> None:
        """These series are no more."""
        for windows in (*self._minutes.values(), *self._hours.values()):
            windows.count[ids] = 0

    def minutes_of(self, number: int, since: int) -> list[Window]:
        """Minute windows of a series that begin at or after minute `since`, in order. Under the lock."""
        one = np.array([number])
        found = ((minute, self._minutes[minute].rows(one)) for minute in sorted(self._minutes) if minute >= since)
        return [_window(minute, parts, 1) for minute, parts in found if parts.count[0]]

    def hours_of(self, number: int, since: int) -> list[Window]:
        """Hour windows of a series from hour `since` on, in order, the minutes of the ring included. Under the lock."""
        one = np.array([number])
        since = max(since, self.oldest_hour)
        parts: dict[int, Parts] = {}
        for hour in sorted(self._hours):
            if hour >= since and self._hours[hour].count[number]:
                parts[hour] = self._hours[hour].rows(one)
        for minute in sorted(self._minutes):
            hour, within = divmod(minute, HOUR_MINUTES)
            if hour >= since and self._minutes[minute].count[number]:
                own = self._minutes[minute].rows(one).at(within)
                parts[hour] = parts[hour].merged(own) if hour in parts else own
        return [_window(hour, parts[hour], HOUR_MINUTES) for hour in sorted(parts)]

    def hour_change(self, hour: int, ids: Ids) -> Floats:
        """Last minus first of an hour of some series, 0 where there is nothing."""
        parts = self._hour_rows(hour, ids)
        return np.where(parts.count > 0, parts.last - parts.first, 0.0)

    def _hour_rows(self, hour: int, ids: Ids) -> Parts:
        parts = (self._hours.get(hour) or Windows(1, WIDE, np.uint8)).rows(ids if hour in self._hours else ids * 0)
        for minute in range(max(hour * HOUR_MINUTES, self.oldest_minute), (hour + 1) * HOUR_MINUTES):
            if (windows := self._minutes.get(minute)) is not None:
                parts = parts.merged(windows.rows(ids).at(minute % HOUR_MINUTES))
        return parts

    def _merge(self, minute: int, ids: Ids, parts: Parts) -> None:
        if self.oldest_minute <= minute <= self.newest_minute:
            windows = self._minutes.get(minute)
            if windows is None:
                windows = self._minutes[minute] = self._new(np.uint32)
        elif self.oldest_hour <= minute // HOUR_MINUTES <= self.current // HOUR_MINUTES + 1:
            windows = self._hour(minute // HOUR_MINUTES)
            parts = parts.at(minute % HOUR_MINUTES)
        else:
            return  # older than what is kept
        for rows in _pieces(len(ids)):
            merged = windows.rows(ids[rows]).merged(parts.take(rows))
            with self._lock:
                windows.put(ids[rows], merged)

    def _leave(self, used: int) -> None:
        """Move the minutes that are not kept any more into their hours."""
        for minute in sorted(minute for minute in self._minutes if minute < self.oldest_minute):
            windows = self._minutes[minute]
            hour, within = divmod(minute, HOUR_MINUTES)
            ids = np.flatnonzero(windows.count[:used]) if hour >= self.oldest_hour else np.empty(0, np.int64)
            for rows in _pieces(len(ids)):
                own = ids[rows]
                merged = self._hour(hour).rows(own).merged(windows.rows(own).at(within))
                with self._lock:
                    # A reader adds both up, so they change together.
                    self._hours[hour].put(own, merged)
                    windows.count[own] = 0
            with self._lock:
                del self._minutes[minute]

    def _hour(self, hour: int) -> Windows:
        windows = self._hours.get(hour)
        if windows is None:
            windows = self._hours[hour] = self._new(np.uint8)
        return windows

    def _new(self, times: type[np.unsignedinteger]) -> Windows:
        return Windows(self._capacity, self._precision, times)


def _pieces(length: int) -> list[Ids]:
    return [np.arange(begin, min(begin + AT_ONCE, length)) for begin in range(0, length, AT_ONCE)]


def _window(number: int, parts: Parts, minutes: int) -> Window:
    start = datetime.fromtimestamp(number * minutes * 60, UTC)
    figures = (parts.lowest, parts.highest, parts.mean, parts.first, parts.last)
    return Window(start, minutes * 60, int(parts.count[0]), *(float(figure[0]) for figure in figures))
