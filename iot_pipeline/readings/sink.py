"""Where decoders put what they find, column by column, message after message.

Decoders know nothing of frames, and what is counted here is counted once.
"""

from dataclasses import dataclass, field
from typing import TypeGuard

from iot_pipeline.readings.fields import Json, Missing
from iot_pipeline.readings.schema import QuarantineReason

# (message, event time in µs since 1970 UTC, device, metric, value, text, unit, quality)
Row = tuple[int, int, str, str, float | None, str | None, str | None, str]
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
    """What messages told about a device beside readings; later ones win key by key."""

    fleet: str
    attributes: dict[str, Json] = field(default_factory=dict)
    message: int = 0
    told: tuple[Json | Missing, ...] = ()


class Sink:
    """Collects rows, problems and devices of a run of messages. `message` is the current one."""

    __slots__ = ("devices", "fields_rejected", "in_message", "message", "nulls", "problems", "rows")

    def __init__(self) -> None:
        self.message = 0
        self.rows: list[Row] = []
        self.problems: list[Problem] = []
        self.devices: dict[str, Device] = {}
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
            device = self.devices[device_id] = Device(fleet)
        if device.told != told:
            device.fleet = fleet
            device.told = told
            device.attributes.update(
                {name: value for name, value in zip(names, told, strict=True) if _describes(value)}
            )
        device.message = self.message


def _describes(value: Json | Missing) -> TypeGuard[Json]:
    # Only short scalars describe a device: an object would make its row as large as a sender likes.
    if isinstance(value, str):
        return len(value) <= LONGEST_ATTRIBUTE
    return isinstance(value, int | float)
