"""All that is known of series now, and how a reading changes it. One thread changes it; any may ask.

Readings come decoded from `tail.py`, corrections from `truth.py`. Whoever asks holds the lock for
microseconds, and whoever changes holds it for a piece of a column at a time.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.live.attributes import Attributes
from iot_pipeline.live.latest import BYTES_EACH as LATEST_BYTES
from iot_pipeline.live.latest import QUALITIES, Latest, Newest
from iot_pipeline.live.periods import MINUTE_US, Periods, most_series, shape_for
from iot_pipeline.live.pulse import FleetCounters, StateSeconds
from iot_pipeline.live.recent import BYTES_EACH as RECENT_BYTES
from iot_pipeline.live.recent import Recent
from iot_pipeline.live.series import Series
from iot_pipeline.live.windows import Floats, Ids, Integers, Parts
from iot_pipeline.readings.decoding.sink import Device
from iot_pipeline.readings.schema import Quality

# Beside windows, of one series: its newest reading, its places in the index, its share of names. An estimate
# for series that have a device of their own; several of one device take less.
SERIES_BYTES = LATEST_BYTES + 60 + 100
RECENT_SHARE = 0.05
LEAST_RECENT, MOST_RECENT = 1 << 16, 1 << 24
EVICTED_SHARE = 0.05
_SMALLEST = 4_096
_BAD = QUALITIES.index(Quality.BAD.value)


@dataclass(frozen=True, slots=True)
class Arrived:
    """Decoded readings of one landed file, or of a piece of it.

    Attributes:
        rows: columns of `frames.ROW_SCHEMA`, in order of arrival within a series.
        received_us: by message, when it came.
        collectors: by message, who landed it.
        batch: by message, the number of its batch.
        row: by message, its row in its batch.
        fleets: by message, its fleet.
        devices: what they tell of devices.
    """

    rows: pl.DataFrame
    received_us: Integers
    collectors: Sequence[str]
    batch: Integers
    row: Integers
    fleets: Sequence[str]
    devices: dict[str, Device]


@dataclass(frozen=True, slots=True)
class Taken:
    """The readings of an `Arrived` that were no repetitions: their series, and their rows in its frame."""

    ids: Ids
    rows: Integers


class State:
    """Columns of all series."""

    def __init__(self, memory: int) -> None:
        self.lock = threading.Lock()
        self.series = Series()
        self.latest = Latest()
        recent = int(min(max(memory * RECENT_SHARE // RECENT_BYTES, LEAST_RECENT), MOST_RECENT))
        self._memory = max(memory - recent * RECENT_BYTES, 1)
        self.limit = most_series(self._memory, other_bytes=SERIES_BYTES)
        self.recent = Recent(recent)
        self.periods = Periods(self.lock)
        self.attributes = Attributes()
        self.fleets = FleetCounters()
        self.seconds = StateSeconds()
        self.collectors: list[str] = []
        self.by_fleet: list[tuple[int, int]] = []  # devices and series
        self.evicted = 0
        self.readings = 0
        self.duplicates = 0
        self._capacity = 0
        self._heads = np.empty(0, np.int64)

    @property
    def memory_bytes(self) -> int:
        """What the columns take, pages that were never written not counted."""
        ring = min(self.recent.total, self.recent.size) * RECENT_BYTES
        return ring + len(self.series) * SERIES_BYTES + self.periods.bytes_used(self.series.end)

    def take(self, arrived: Arrived, *, published: int | None = None) -> Taken:
        """Take in readings. Repetitions change nothing.

        Args:
            arrived: the readings.
            published: minute through which the windows have these readings already, by the batch layer.
        """
        if not arrived.rows.height:
            self.attributes.describe(self.series.devices, arrived.devices)
            return Taken(np.empty(0, np.int64), np.empty(0, np.int64))
        rows = arrived.rows
        ids = self._number(lambda: self.series.keys_of(rows))
        event_us = rows["event_us"].to_numpy()
        # Stable, so that of two equal times the one that came first stays first.
        order = np.lexsort((event_us, ids))
        order = order[ids[order] >= 0]
        order = order[~self._repeated(ids[order], event_us[order])]
        self.duplicates += len(ids) - len(order)
        self.readings += len(order)
        ids, event_us = ids[order], event_us[order]
        if not len(ids):
            return Taken(ids, order)
        values = _numbers(rows["value"])[order]
        quality = _quality(rows["quality"])[order]
        message = rows["message"].to_numpy()[order]
        counts = np.isfinite(values) & (quality != _BAD)
        self._belong(ids, arrived, message, event_us)
        self.attributes.describe(self.series.devices, arrived.devices)
        self._push(ids, event_us, np.where(counts, values, np.nan))
        newest = np.flatnonzero(np.r_[ids[1:] != ids[:-1], True])
        told_in = message[newest]
        self._put_latest(
            Newest(
                ids[newest],
                event_us[newest],
                arrived.received_us[told_in],
                values[newest],
                quality[newest],
                arrived.batch[told_in],
                arrived.row[told_in],
                self._collectors(arrived.collectors)[told_in],
            ),
            rows["text"][order[newest]],
        )
        now_us = int(arrived.received_us.max())
        self.periods.advance(now_us // MINUTE_US, self.series.end)
        self._count_states(ids[counts], event_us[counts], values[counts], now_us)
        if published is not None:
            counts &= event_us // MINUTE_US > published
        self.periods.add(ids[counts], event_us[counts], values[counts])
        return Taken(ids, order)

    def number(self, rows: pl.DataFrame) -> Ids:
        """The series of rows with columns device_id, metric and unit; -1 where there is no room for a new one."""
        return self._number(lambda: self.series.keys_of(rows), evict=False)

    def told_by_windows(self, ids: Ids, start_us: int, last: Floats) -> None:
        """The batch layer knows of windows that begin at `start_us`: their last values, unless a message told more."""
        self._told(ids, np.full(len(ids), start_us), last, None)

    def told_texts(self, ids: Ids, event_us: Integers, texts: pl.Series) -> None:
        """The batch layer knows the newest texts of series."""
        self._told(ids, event_us, np.full(len(ids), np.nan), texts)

    def summarise_fleets(self) -> None:
        """Count devices and series by fleet."""
        device = self.series.device[: self.series.end]
        fleet = self.attributes.label["fleet"]
        of_series = fleet[device[device >= 0]]
        series = np.bincount(of_series[of_series >= 0], minlength=len(self.attributes.labels["fleet"].names))
        self.by_fleet = list(zip(self.attributes.counts("fleet").tolist(), series.tolist(), strict=True))

    def head(self, number: int) -> int:
        """The position in `recent` of the newest arrival of a series."""
        return int(self._heads[number])

    def _told(self, ids: Ids, event_us: Integers, values: Floats, texts: pl.Series | None) -> None:
        none = np.full(len(ids), -1)
        good = np.full(len(ids), QUALITIES.index(Quality.GOOD.value))
        self._put_latest(Newest(ids, event_us, event_us, values, good, none, none, none + 1), texts)

    def _number(self, keys_of: Callable[[], Ids], *, evict: bool = True) -> Ids:
        """Number rows by their keys; makes room, which can change keys, so that they are asked for again."""
        keys = keys_of()
        ids = self.series.known(keys)
        if (ids >= 0).all():
            return ids
        fresh = np.unique(keys[ids < 0])
        missing = len(self.series) + len(fresh) - self.limit
        if missing > 0 and evict:
            self._evict(max(missing, int(self.limit * EVICTED_SHARE)), keep=np.unique(ids[ids >= 0]))
            keys = keys_of()
            ids = self.series.known(keys)
            fresh = np.unique(keys[ids < 0])
        room = max(self.limit - len(self.series), 0)
        self.evicted += len(fresh[room:]) if evict else 0
        fresh = fresh[:room]
        self._room_for(self.series.end_with(len(fresh)))
        if len(fresh):
            with self.lock:
                self.series.add(fresh)
            self.series.settle()
            self.attributes.resize(self.series.devices.end)
        self.series.drop_unused(keys)
        return self.series.known(keys)

    def _room_for(self, end: int) -> None:
        if end <= self._capacity:
            return
        used = self.series.end
        capacity = min(max(end, self._capacity * 5 // 4, _SMALLEST), max(self.limit, end))
        shape = shape_for(self._memory - capacity * SERIES_BYTES, capacity)
        if shape is None:
            raise MemoryError(f"{capacity} series were allowed but do not fit into {self._memory} bytes")
        self.periods.reshape(used, capacity, shape)
        self.latest.resize(used, capacity)
        heads = np.full(capacity, -1, np.int64)
        heads[:used] = self._heads[:used]
        self._heads = heads
        self._capacity = capacity

    def _evict(self, count: int, keep: Ids) -> None:
        """Drop series that were not heard for longest, but for `keep`."""
        held = np.flatnonzero(self.series.device[: self.series.end] >= 0)
        held = np.setdiff1d(held, keep, assume_unique=True)
        count = min(count, len(held))
        if not count:
            return
        oldest = held[np.argpartition(self.latest.received_us[held], count - 1)[:count]]
        self.series.unlink(oldest, self.lock)
        # Nobody finds them any more.
        self.latest.forget(oldest)
        self.periods.forget(oldest)
        self._heads[oldest] = -1
        self.attributes.forget(self.series.free(oldest))
        self.evicted += count

    def _repeated(self, ids: Ids, event_us: Integers) -> NDArray[np.bool_]:
        """Which of the sorted readings are repetitions of another one among them, or of an earlier one."""
        repeated = np.zeros(len(ids), np.bool_)
        repeated[1:] = (ids[1:] == ids[:-1]) & (event_us[1:] == event_us[:-1])
        # What is newer than everything known of its series cannot be known.
        old = np.flatnonzero((event_us <= self.latest.event_us[ids]) & ~repeated)
        repeated[old] = self.recent.repeated(self._heads[ids[old]], event_us[old])
        return repeated

    def _belong(self, ids: Ids, arrived: Arrived, message: Integers, event_us: Integers) -> None:
        """Note the fleet of devices, and count its readings."""
        labels = self.attributes.labels["fleet"]
        known = {fleet: labels.number(fleet) for fleet in set(arrived.fleets)}
        by_message = np.array([known[fleet] for fleet in arrived.fleets], np.int64)
        fleets = by_message[message]
        self.attributes.label["fleet"][self.series.device[ids]] = fleets
        told = fleets >= 0
        self.fleets.add(fleets[told], event_us[told])

    def _push(self, ids: Ids, event_us: Integers, values: Floats) -> None:
        step = self.recent.size // 2
        for begin in range(0, len(ids), step):
            piece = slice(begin, begin + step)
            with self.lock:
                owners, heads = self.recent.push(ids[piece], self._heads[ids[piece]], event_us[piece], values[piece])
                self._heads[owners] = heads

    def _put_latest(self, told: Newest, texts: pl.Series | None) -> None:
        rows = self.latest.newer(told)
        newer = told.take(rows)
        spoken: list[str | None] = [None] * len(rows) if texts is None else texts[rows].to_list()
        speaks = self.latest.texts or any(spoken)
        with self.lock:
            self.latest.put(newer)
            if speaks:
                self.latest.say(newer.ids.tolist(), spoken)

    def _collectors(self, names: Sequence[str]) -> Integers:
        numbers = {}
        for name in dict.fromkeys(names):
            if name not in self.collectors:
                self.collectors.append(name)
            numbers[name] = self.collectors.index(name)
        return np.array([numbers[name] for name in names], np.int64)

    def _count_states(self, ids: Ids, event_us: Integers, values: Floats, now_us: int) -> None:
        states = self.attributes.label["state"][self.series.device[ids]]
        rows = np.flatnonzero(states >= 0)
        if not len(rows):
            return
        groups = (states[rows].astype(np.int64) << 32) | self.series.kind[ids[rows]]
        for group in np.unique(groups).tolist():
            own = rows[groups == group]
            _, metric, unit = self.series.name(int(ids[own[0]]))
            self.seconds.add((group >> 32, metric, unit), event_us[own], values[own], now_us=now_us)


def parts_of(frame: pl.DataFrame, begin: int, end: int) -> Parts:
    """Statistics that the batch layer published, of minutes or hours.

    They do not say when the first and the last reading were: `begin` and `end` of the window are taken for it.
    """
    return Parts(
        frame["count"].to_numpy(),
        _numbers(frame["min"]),
        _numbers(frame["max"]),
        _numbers(frame["mean"]),
        _numbers(frame["first"]),
        _numbers(frame["last"]),
        np.full(frame.height, begin, np.int64),
        np.full(frame.height, end, np.int64),
    )


def _numbers(column: pl.Series) -> Floats:
    return column.fill_null(float("nan")).to_numpy()


def _quality(column: pl.Series) -> Integers:
    codes = {name: code for code, name in enumerate(QUALITIES)}
    return column.replace_strict(codes, default=_BAD, return_dtype=pl.Int64).to_numpy()
