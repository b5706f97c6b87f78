"""What a fleet is: readings in frames, frames in messages, all due at instants of the clock.

A `Frame` is one message before encoding, which is where faults can be injected. No connections
(`mqtt.py`), no values (one module a fleet), no faults (`faults.py`) here.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

from sensors_sim.shapes import SECOND_US

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CATCH_UP_US = SECOND_US
"""Instants that were missed by more than this (broker away, laptop asleep) are skipped, not sent in a burst."""


def to_us(instant: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    return (instant - EPOCH) // timedelta(microseconds=1)


def from_us(at_us: int) -> datetime:
    """Inverse of `to_us`, in UTC."""
    return EPOCH + timedelta(microseconds=at_us)


def iso(at_us: int) -> str:
    """ISO 8601 in UTC with microseconds and `Z`."""
    return f"{from_us(at_us):%Y-%m-%dT%H:%M:%S.%fZ}"


@dataclass(frozen=True, slots=True)
class Message:
    """What goes to the broker. `due` is the instant (UTC) at which it is to be published."""

    due: datetime
    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = False


@dataclass(slots=True)
class Reading:
    """One value of one series, named as the pipeline will name it.

    `at_us` is the sampling instant; `noise` the standard deviation of the series' own noise in the unit of
    the value, 0 for a series whose values are never falsified (states, cumulative registers).
    """

    device_id: str
    metric: str
    at_us: int
    value: float | str
    noise: float = 0.0


@dataclass(slots=True)
class Frame:
    """The readings of one message. A `vital` frame (a Sparkplug birth) is never held back, doubled or broken.

    `late` says that it is sent long after its sampling instant, which Sparkplug marks as historical.
    """

    topic: str
    due_us: int
    readings: list[Reading]
    vital: bool = False
    late: bool = False


class Fleet(Protocol):
    """All that the runner knows of a fleet."""

    name: str

    def messages(self, now: datetime) -> Iterable[Message]:
        """What became due since the last call, in order; nothing older than `CATCH_UP_US`."""


class SampledFleet(ABC):
    """A fleet whose slots (device, gateway, ...) take turns: slot k % slots is due at k * period / slots.

    Turns are counted from the epoch and not from the start, so that instants do not drift, do not depend
    on how often anybody asks, and load is spread evenly over the period.
    """

    name: str

    def __init__(self, *, start: datetime, period_us: int, slots: int) -> None:
        self._period_us = period_us
        self._slots = slots
        self._next = -(-to_us(start) * slots // period_us)
        self.skipped = 0

    @abstractmethod
    def sample(self, turn: int, at_us: int) -> Iterable[Frame]:
        """The frames of a turn, sampled at `at_us` (microseconds since the epoch)."""

    @abstractmethod
    def encode(self, frame: Frame) -> Message:
        """The message of a frame. Called once for each, in the order in which they are published."""

    def frames(self, now: datetime) -> Iterator[Frame]:
        """The frames that became due since the last call."""
        now_us = to_us(now)
        last = ((now_us + 1) * self._slots - 1) // self._period_us
        oldest = -(-(now_us - CATCH_UP_US) * self._slots // self._period_us)
        if self._next - last > 1 + CATCH_UP_US * self._slots // self._period_us:
            self._next = last + 1  # The clock was set back: go on from there instead of waiting for the old present.
        if oldest > self._next:
            self.skipped += oldest - self._next
            self._next = oldest
        while self._next <= last:
            turn = self._next
            self._next += 1
            yield from self.sample(turn, turn * self._period_us // self._slots)

    def messages(self, now: datetime) -> Iterator[Message]:
        """See `Fleet.messages`."""
        for frame in self.frames(now):
            yield self.encode(frame)
