"""Which series there are: (device, metric, unit) as dense numbers, so that everything else can be columns.

Nothing is known here of readings; numbers of series that were dropped are given to new ones.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.live.windows import Ids

Kind = tuple[str, str | None]  # metric, unit
_KIND_BITS = 32
FRESH = 20_000
"""New series that may wait unsorted."""


class Numbers:
    """Names as numbers from 0 on; a number that was given back is used again, so that columns stay dense."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._names: list[str | None] = []
        self._free: list[int] = []
        self.version = 0  # changes with every name that is given or given back

    def __len__(self) -> int:
        """Names that are held."""
        return len(self._numbers)

    @property
    def end(self) -> int:
        """One more than the highest number that was ever given."""
        return len(self._names)

    def find(self, name: str) -> int | None:
        """The number of a name, if it is held."""
        return self._numbers.get(name)

    def name(self, number: int) -> str:
        """The name of a number that is held."""
        name = self._names[number]
        if name is None:
            raise LookupError(f"number {number} is not given")
        return name

    def held(self) -> list[str]:
        """All names."""
        return list(self._numbers)

    def of(self, names: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of names, which are given one if they have none."""
        numbers = [self._numbers.get(name, -1) for name in names]
        found = np.array(numbers, np.int64)
        for position in np.flatnonzero(found < 0).tolist():
            found[position] = self.give(names[position])
        return found

    def give(self, name: str) -> int:
        """The number of a name, which is given one if it has none."""
        known = self._numbers.get(name)
        if known is not None:
            return known
        if self._free:
            number = self._free.pop()
            self._names[number] = name
        else:
            number = len(self._names)
            self._names.append(name)
        self._numbers[name] = number
        self.version += 1
        return number

    def drop(self, numbers: Sequence[int]) -> list[str]:
        """Give numbers back; returns their names."""
        names = []
        for number in numbers:
            name = self.name(number)
            del self._numbers[name]
            self._names[number] = None
            self._free.append(number)
            names.append(name)
        self.version += len(names)
        return names


class Series:
    """The series that are held.

    Attributes:
        devices: names of devices as numbers.
        kinds: metrics and units as numbers.
        device: by series, the number of its device; -1 where the series is free.
        kind: by series, the number of its metric and unit.
    """

    def __init__(self) -> None:
        self.devices = Numbers()
        self._kinds: dict[Kind, int] = {}
        self._kind_names: list[Kind | None] = []
        self._free_kinds: list[int] = []
        self.device = np.empty(0, np.int32)
        self.kind = np.empty(0, np.int32)
        self.next = np.empty(0, np.int32)  # the next series of the same device, or -1
        self.first = np.empty(0, np.int32)  # by device, its first series, or -1
        self.end = 0  # one more than the highest number in use
        self._free = np.empty(0, np.int64)
        self._sorted = (np.empty(0, np.int64), np.empty(0, np.int64))  # keys, ascending, and their series
        # What is new waits here: sorting millions of keys anew for each would take longer than all else.
        self._fresh: dict[int, int] = {}

    def __len__(self) -> int:
        """Series that are held."""
        return self.end - len(self._free)

    def end_with(self, more: int) -> int:
        """What `end` is with that many further series."""
        return self.end + max(more - len(self._free), 0)

    def name(self, number: int) -> tuple[str, str, str | None]:
        """Device, metric and unit of a series that is held."""
        return (self.devices.name(int(self.device[number])), *self.kind_name(int(self.kind[number])))

    def kind_name(self, kind: int) -> Kind:
        """Metric and unit of a number. Raises LookupError when it is not held."""
        name = self._kind_names[kind]
        if name is None:
            raise LookupError(f"metric {kind} is not held")
        return name

    def of_device(self, device_id: str) -> list[int]:
        """The series of a device; none when it is unknown."""
        device = self.devices.find(device_id)
        return [] if device is None else self.of_device_number(device)

    def of_device_number(self, device: int) -> list[int]:
        """The same for a number."""
        found = []
        number = int(self.first[device]) if device < len(self.first) else -1
        while number >= 0:
            found.append(number)
            number = int(self.next[number])
        return found

    def find(self, device_id: str, metric: str, unit: str | None) -> int | None:
        """The number of a series that is held."""
        kind, device = self._kinds.get((metric, unit)), self.devices.find(device_id)
        if kind is None or device is None:
            return None
        key = (device << _KIND_BITS) | kind
        if (fresh := self._fresh.get(key)) is not None:
            return fresh
        keys, ids = self._sorted
        position = int(np.searchsorted(keys, key))
        return int(ids[position]) if position < len(keys) and keys[position] == key else None

    def keys_of(self, rows: pl.DataFrame) -> Ids:
        """The keys of series by their columns device_id, metric and unit; new devices and kinds get numbers."""
        names = rows["device_id"].rle().struct.unnest() if rows.height else None
        if names is None:
            return np.empty(0, np.int64)
        devices = np.repeat(self.devices.of(names["value"].to_list()), names["len"].to_numpy())
        kinds = rows.select("metric", "unit").unique(maintain_order=True)
        if kinds.height == 1:
            return (devices << _KIND_BITS) | self._kind(*kinds.row(0))
        numbers = pl.Series([self._kind(*kind) for kind in kinds.iter_rows()], dtype=pl.Int64)
        numbered = kinds.with_columns(number=numbers)
        found = rows.select("metric", "unit").join(
            numbered, on=["metric", "unit"], how="left", nulls_equal=True, maintain_order="left"
        )
        keys: Ids = (devices << _KIND_BITS) | found["number"].to_numpy()
        return keys

    def known(self, keys: Ids) -> Ids:
        """The series of keys, ascending ones being found fastest; -1 where there is none yet."""
        held, ids = self._sorted
        if len(held):
            positions = np.minimum(np.searchsorted(held, keys), len(held) - 1)
            found = np.where(held[positions] == keys, ids[positions], -1)
        else:
            found = np.full(len(keys), -1, np.int64)
        if self._fresh:
            missing = np.flatnonzero(found < 0)
            found[missing] = [self._fresh.get(key, -1) for key in keys[missing].tolist()]
        return found

    def add(self, keys: Ids) -> Ids:
        """Give numbers to keys (ascending, all new). The columns are as long as `end` after it."""
        reused = min(len(self._free), len(keys))
        numbers = np.concatenate([self._free[:reused], np.arange(self.end, self.end + len(keys) - reused)])
        self._free = self._free[reused:]
        self.end += len(keys) - reused
        self.device, self.kind = _longer(self.device, self.end, -1), _longer(self.kind, self.end, 0)
        self.next, self.first = _longer(self.next, self.end, -1), _longer(self.first, self.devices.end, -1)
        devices = keys >> _KIND_BITS
        self.device[numbers], self.kind[numbers] = devices, keys & ((1 << _KIND_BITS) - 1)
        # Keys ascend, so the series of one device follow each other: each points to the one behind it.
        last = np.r_[devices[1:] != devices[:-1], True]
        self.next[numbers] = np.where(last, self.first[devices], np.r_[numbers[1:], -1])
        begins = np.r_[True, devices[1:] != devices[:-1]]
        self.first[devices[begins]] = numbers[begins]
        self._fresh.update(zip(keys.tolist(), numbers.tolist(), strict=True))
        return numbers

    def settle(self) -> None:
        """Sort in what is new if it is much; readers find everything at every moment."""
        if len(self._fresh) > max(FRESH, len(self._sorted[0]) // 8):
            self._settle()

    def unlink(self, numbers: Ids, lock: AbstractContextManager[object]) -> None:
        """Let nobody find these series any more; they keep their numbers until `free`. Held only to swap: `lock`."""
        self._settle()
        gone = np.zeros(self.end, np.bool_)
        gone[numbers] = True
        keys, ids = self._sorted
        kept = ~gone[ids]
        keys, ids = keys[kept], ids[kept]
        live = np.sort(ids)
        order = live[np.argsort(self.device[live], kind="stable")]
        devices = self.device[order]
        following = np.full(len(self.next), -1, np.int32)
        first = np.full(len(self.first), -1, np.int32)
        if len(order):
            same = devices[1:] == devices[:-1]
            following[order[:-1][same]] = order[1:][same]
            begins = np.r_[True, ~same]
            first[devices[begins]] = order[begins]
        with lock:
            self._sorted = keys, ids
            self.next, self.first = following, first

    def free(self, numbers: Ids) -> list[int]:
        """Let unlinked series be used again; returns the devices that have no series left, and are dropped."""
        touched = np.unique(self.device[numbers])
        empty: list[int] = touched[self.first[touched] < 0].tolist()
        self.devices.drop(empty)
        self.device[numbers] = -1
        self._free = np.concatenate([self._free, numbers])
        used = np.zeros(len(self._kind_names), np.bool_)
        used[self.kind[self._sorted[1]]] = True
        for number in np.flatnonzero(~used).tolist():
            kind = self._kind_names[number]
            if kind is not None:
                del self._kinds[kind]
                self._kind_names[number] = None
                self._free_kinds.append(number)
        return empty

    def drop_unused(self, keys: Ids) -> None:
        """Forget devices of `keys` for which there was no room."""
        devices = np.unique(keys >> _KIND_BITS)
        devices = devices[devices < self.devices.end]
        known = devices < len(self.first)
        without = [*devices[~known].tolist(), *devices[known][self.first[devices[known]] < 0].tolist()]
        self.devices.drop(without)

    def _settle(self) -> None:
        if self._fresh:
            held, ids = self._sorted
            keys = np.concatenate([held, np.fromiter(self._fresh, np.int64, len(self._fresh))])
            ids = np.concatenate([ids, np.fromiter(self._fresh.values(), np.int64, len(self._fresh))])
            order = np.argsort(keys, kind="stable")
            # In this order: a reader looks among the fresh ones first.
            self._sorted = keys[order], ids[order]
            self._fresh = {}

    def _kind(self, metric: str, unit: str | None) -> int:
        kind = metric, unit
        number = self._kinds.get(kind)
        if number is None:
            if self._free_kinds:
                number = self._free_kinds.pop()
                self._kind_names[number] = kind
            else:
                number = len(self._kind_names)
                self._kind_names.append(kind)
            self._kinds[kind] = number
        return number


def _longer(column: NDArray[np.int32], length: int, fill: int) -> NDArray[np.int32]:
    """`column` if it is long enough, else a copy with room to grow."""
    if length <= len(column):
        return column
    longer = np.full(max(length, len(column) * 3 // 2, 1024), fill, np.int32)
    longer[: len(column)] = column
    return longer
