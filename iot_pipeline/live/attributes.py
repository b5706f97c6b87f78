"""What devices told of themselves, as far as questions are asked about it: fleet, customer, region, state.

Columns by number of device. Readings are elsewhere; the table of all devices is dbt's `dim_device`.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.live.series import Numbers
from iot_pipeline.readings.decoding.sink import Device
from iot_pipeline.readings.language.fields import Json

MOST_LABELS = 10_000
"""Different values of an attribute that devices are grouped by; devices with further ones are in no group."""
_GROUPING = ("fleet", "region", "utility", "state")
_NAMES = (*_GROUPING[1:], "customer")


class Labels:
    """Values of one attribute as numbers from 0 on; -1 stands for none."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self.names: list[str] = []

    def number(self, name: str) -> int:
        """The number of a value."""
        known = self._numbers.get(name)
        if known is None:
            if len(self.names) >= MOST_LABELS:
                return -1
            known = self._numbers[name] = len(self.names)
            self.names.append(name)
        return known

    def find(self, name: str) -> int | None:
        """The number of a value that some device told."""
        return self._numbers.get(name)


class Attributes:
    """Attributes of devices by number.

    Attributes:
        labels: by name of attribute, its values.
        label: by name of attribute, the column of the numbers of its values.
        version: changes with the fleet of any device.
    """

    def __init__(self) -> None:
        self.labels = {name: Labels() for name in _GROUPING}
        self.label = {name: np.empty(0, np.int32) for name in _GROUPING}
        self._customers = Numbers()
        self._customer = np.empty(0, np.int32)
        self._members: dict[int, tuple[int, ...]] = {}
        self._digest = np.empty(0, np.int64)
        self._own = np.empty((0, len(_NAMES)), np.bool_)  # by device and attribute: it told it to this layer itself
        self.version = 0

    def resize(self, devices: int) -> None:
        """Make room for devices with numbers below `devices`."""
        if devices > len(self._digest):
            room = max(devices, len(self._digest) * 3 // 2, 1024)
            self.label = {name: _longer(column, room, -1) for name, column in self.label.items()}
            self._customer = _longer(self._customer, room, -1)
            digest = np.zeros(room, np.int64)
            digest[: len(self._digest)] = self._digest
            self._digest = digest
            own = np.zeros((room, len(_NAMES)), np.bool_)
            own[: len(self._own)] = self._own
            self._own = own

    def describe(self, devices: Numbers, told: Mapping[str, Device]) -> None:
        """Take in what messages told of devices; those that are not held are passed over."""
        numbers = [devices.find(name) for name in told]
        digests = [_digest(device) for device in told.values()]
        for number, digest, device in zip(numbers, digests, told.values(), strict=True):
            # Nearly always a device tells what it told before.
            if number is not None and self._digest[number] != digest:
                self._digest[number] = digest
                self.set(number, device.attributes)
                self._own[number] |= [device.attributes.get(name) is not None for name in _NAMES]
                self.set_label(number, "fleet", device.fleet)

    def adopt(self, devices: Numbers, known: pl.DataFrame) -> None:
        """Take in what the batch layer knows (device_id, fleet, region, utility, state, customer).

        What a device told to this layer itself stays: only what it did not tell is taken over then.
        """
        for device_id, fleet, *values in known.select("device_id", "fleet", *_NAMES).iter_rows():
            number = devices.find(device_id)
            if number is None:
                continue
            own = self._own[number].tolist()
            self.set(number, {name: value for name, value, told in zip(_NAMES, values, own, strict=True) if not told})
            if fleet and self.label["fleet"][number] < 0:
                self.set_label(number, "fleet", fleet)

    def set(self, number: int, attributes: Mapping[str, Json]) -> None:
        """Attributes of one device; what is not among them stays as it is."""
        for name in _GROUPING[1:]:
            if (value := attributes.get(name)) is not None:
                self.set_label(number, name, str(value))
        if (customer := attributes.get("customer")) is not None:
            self._move(number, str(customer))

    def set_label(self, number: int, name: str, value: str) -> None:
        """One attribute of one device."""
        label = self.labels[name].number(value)
        if name == "fleet" and self.label[name][number] != label:
            self.version += 1
        self.label[name][number] = label

    def forget(self, devices: Iterable[int]) -> None:
        """These devices are no more."""
        gone = np.fromiter(devices, np.int64)
        for number in gone.tolist():
            self._leave(number)
        for column in self.label.values():
            column[gone] = -1
        self._digest[gone] = 0
        self._own[gone] = False

    def devices_of(self, customer: str) -> tuple[int, ...]:
        """Devices whose attribute `customer` is this."""
        number = self._customers.find(customer)
        return () if number is None else self._members.get(number, ())

    def name_of(self, number: int, attribute: str) -> str | None:
        """One attribute of one device."""
        column = self.label[attribute]
        label = int(column[number]) if number < len(column) else -1
        return None if label < 0 else self.labels[attribute].names[label]

    def counts(self, attribute: str) -> NDArray[np.int64]:
        """Devices by value of an attribute."""
        column = self.label[attribute]
        return np.bincount(column[column >= 0], minlength=len(self.labels[attribute].names))

    def _move(self, number: int, customer: str) -> None:
        found = self._customers.find(customer)
        if found is not None and self._customer[number] == found:
            return
        self._leave(number)
        found = self._customers.give(customer)
        self._customer[number] = found
        self._members[found] = (*self._members.get(found, ()), number)

    def _leave(self, number: int) -> None:
        customer = int(self._customer[number])
        if customer < 0:
            return
        self._customer[number] = -1
        left = tuple(member for member in self._members[customer] if member != number)
        if left:
            self._members[customer] = left
        else:
            del self._members[customer]
            self._customers.drop([customer])


def _digest(device: Device) -> int:
    """Changes when what a device tells does; never 0, which stands for nothing told."""
    try:
        return hash((device.fleet, device.names, device.told, device.before is None)) or 1
    except TypeError:
        return hash((device.fleet, device.names, str(device.told))) or 1


def _longer(column: NDArray[np.int32], length: int, fill: int) -> NDArray[np.int32]:
    longer = np.full(length, fill, np.int32)
    longer[: len(column)] = column
    return longer
