"""What a customer uses, from the live layer: newest values and the last 24 hours of each meter.

Live figures: the daily recompute over sealed readings is the billing truth. For pages and API alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise

from iot_pipeline.live.model import LatestReading, Window
from iot_pipeline.serving.live_view import LiveView

LAST_HOURS = timedelta(hours=24)
# The metric that counts what was used, as the marts of meters name it; a rate may go up and down all day for nothing.
REGISTER = "register"


@dataclass(frozen=True, slots=True)
class HourUse:
    """One hour of a series; `change` is its last value minus that of the window before it, in the series' unit.

    Between two values of a register lies what was used. The first window has none before it: there it is last
    minus first.
    """

    window: Window
    change: float


@dataclass(frozen=True, slots=True)
class SeriesUse:
    """A series of one of the customer's devices, with the hours that end within the last 24, by time."""

    latest: LatestReading
    hours: Sequence[HourUse]

    @property
    def is_register(self) -> bool:
        """Whether a change of the value is what was used."""
        return self.latest.metric == REGISTER

    @property
    def change_24h(self) -> float | None:
        """Last minus first value of the hours given; None without any, and for what is no register."""
        if not self.hours or not self.is_register:
            return None
        return self.hours[-1].window.last - self.hours[0].window.last + self.hours[0].change


def customer_usage(live: LiveView, customer: str, now: datetime) -> list[SeriesUse] | None:
    """All series of all devices of `customer`, by device, metric and unit; None for a customer nobody knows.

    Args:
        live: the live layer.
        customer: the devices' attribute `customer`, exactly.
        now: the present instant (UTC).
    """
    devices = live.customer_devices(customer)
    if not devices:
        return None
    since = now - LAST_HOURS
    return [
        SeriesUse(latest, _by_hour(live.hours(device, latest.metric, latest.unit, since=since)))
        for device in devices
        for latest in live.latest(device)
    ]


def _by_hour(windows: Sequence[Window]) -> list[HourUse]:
    if not windows:
        return []
    first = HourUse(windows[0], windows[0].last - windows[0].first)
    return [first, *(HourUse(after, after.last - before.last) for before, after in pairwise(windows))]
