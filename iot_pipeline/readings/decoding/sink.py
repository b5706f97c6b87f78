"""Where decoders put what they find, column by column, message after message.

Decoders know nothing of frames, and what is counted here is counted once.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeGuard

from iot_pipeline.readings.language.fields import Json, Missing
from iot_pipeline.readings.schema import QuarantineReason

# (message, event time in µs since 1970 UTC, device, metric, value, text, unit, quality)
Row = tuple[int, int, str, str, float | None, str | None, str | None, str]
# (message, device, fleet, names of attributes, what was told of them)
Description = tuple[int, str, str, tuple[str, ...], tuple[Json | Missing, ...]]
LONGEST_ATTRIBUTE = 512  # characters
PROBLEMS_KEPT = 20  # rows a message may have in quarantine; more are only counted


@dataclass(slots=True)
class Problem:
    """Why a message, or the field of it that is named, was not read."""

    message: int
    reason: QuarantineReason
    detail: str
    field: str | None


@dataclass(slots=True)
class Device:
    """What messages told about a device beside readings: `told` and, where that differed, `before` it."""

    fleet: str
    names: tuple[str, ...]
    told: tuple[Json | Missing, ...]
    message: int
    before: dict[str, Json] | None = None

    @property
    def attributes(self) -> dict[str, Json]:
        """By name, what was told last of each; what was absent or is no short scalar changed nothing."""
        told = {name: value for name, value in zip(self.names, self.told, strict=True) if _describes(value)}
        return told if self.before is None else self.before | told


class DeviceState(StrEnum):
    """What a device, or its node, last told of its being there."""

    ONLINE = "online"
    OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class ToldState:
    """A state, since when it holds (µs since 1970 UTC), and the message that told it."""

    fleet: str
    state: DeviceState
    since_us: int
    message: int


class Sink:
    """Collects rows, problems and devices of a run of messages. `message` is the current one."""

    __slots__ = ("devices", "fields_rejected", "in_message", "message", "nulls", "problems", "rows", "states")

    def __init__(self) -> None:
        self.message = 0
        self.rows: list[Row] = []
        self.problems: list[Problem] = []
        self.devices: dict[str, Device] = {}
        self.states: dict[str, ToldState] = {}
        self.nulls = 0
        self.fields_rejected = 0
        self.in_message = 0

    def begin(self, message: int) -> None:
        """Everything that follows belongs to this message."""
        self.message = message
        self.in_message = 0

    def reject(self, where: str | None, reason: QuarantineReason, detail: str) -> None:
        """Note that the field, record or document `where` cannot be read; None is the whole message."""
        if where is not None:
            self.fields_rejected += 1
        self.in_message += 1
        if self.in_message <= PROBLEMS_KEPT:
            self.problems.append(Problem(self.message, reason, detail[:500], None if where is None else where[:500]))

    def describe(self, device_id: str, fleet: str, names: tuple[str, ...], told: tuple[Json | Missing, ...]) -> None:
        """Note what the current message tells about a device; what is absent changes nothing."""
        device = self.devices.get(device_id)
        if device is None:
            self.devices[device_id] = Device(fleet, names, told, self.message)
            return
        if device.told != told or device.names != names or device.fleet != fleet:
            device.before = device.attributes
            device.fleet, device.names, device.told = fleet, names, told
        device.message = self.message

    def tell_state(self, device_id: str, fleet: str, state: DeviceState, since_us: int) -> None:
        """Note what the current message says of a device being there; the last word counts."""
        self.states[device_id] = ToldState(fleet, state, since_us, self.message)

    def describe_all(self, descriptions: Iterable[Description]) -> None:
        """The same as `describe`, for what many messages tell, in their order."""
        devices = self.devices
        for message, device_id, fleet, names, told in descriptions:
            device = devices.get(device_id)
            # Nearly always a device tells what it told before.
            if device is None:
                devices[device_id] = Device(fleet, names, told, message)
            elif device.told == told and device.names is names and device.fleet is fleet:
                device.message = message
            else:
                self.message = message
                self.describe(device_id, fleet, names, told)


def _describes(value: Json | Missing) -> TypeGuard[Json]:
    # Only short scalars describe a device: an object would make its row as large as a sender likes.
    if isinstance(value, str):
        return len(value) <= LONGEST_ATTRIBUTE
    return isinstance(value, int | float)
