"""The questions that API and pages put to the live layer: a protocol, so that tests can answer them with records.

Its records are `live/model.py`, and the layer itself is `live/layer.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from iot_pipeline.live.model import (
    FleetPulse,
    LatestReading,
    LiveFlag,
    LiveStatus,
    Point,
    RegionUsage,
    StateWindow,
    Window,
)


class LiveView(Protocol):
    """What `LiveLayer` answers, see there. No method waits: all may be called on the event loop."""

    def status(self) -> LiveStatus: ...  # noqa: D102
    def fleets(self) -> list[FleetPulse]: ...  # noqa: D102
    def devices(self, *, fleet: str | None, prefix: str | None, limit: int, after: str | None) -> list[str]: ...  # noqa: D102
    def latest(self, device_id: str) -> list[LatestReading]: ...  # noqa: D102
    def latest_of_fleet(self, fleet: str, *, limit: int) -> list[LatestReading]: ...  # noqa: D102
    def recent(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Point]: ...  # noqa: D102
    def minutes(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]: ...  # noqa: D102
    def hours(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]: ...  # noqa: D102
    def flags(self, *, since: datetime, device_id: str | None = None, limit: int) -> list[LiveFlag]: ...  # noqa: D102
    def customer_devices(self, customer: str) -> list[str]: ...  # noqa: D102
    def regions(self) -> Mapping[str, Sequence[RegionUsage]]: ...  # noqa: D102
    def state_windows(self, *, seconds: int = 3) -> list[StateWindow]: ...  # noqa: D102
