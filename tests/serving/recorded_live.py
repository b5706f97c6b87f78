"""A live layer whose answers are records: what API and pages are asked about is then known exactly."""

# ruff: noqa: ARG002 -- the protocol names what these records do not need

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from iot_pipeline.live.model import (
    FleetPulse,
    LatestReading,
    LiveFlag,
    LiveState,
    LiveStatus,
    Point,
    RegionUsage,
    StateWindow,
    Window,
)


@dataclass
class RecordedLive:
    """Answers as `LiveLayer` does. Each reading's series has the windows of `history`."""

    readings: list[LatestReading] = field(default_factory=list)
    flagged: list[LiveFlag] = field(default_factory=list)
    customers: dict[str, list[str]] = field(default_factory=dict)
    history: list[Window] = field(default_factory=list)
    state: LiveState = LiveState.LIVE

    def status(self) -> LiveStatus:
        return LiveStatus(
            state=self.state,
            progress=0.5 if self.state is LiveState.REBUILDING else 1.0,
            visible_lag_seconds=1.5,
            series=len(self.readings),
            series_limit=1_000,
            evicted_series=0,
            readings=len(self.readings),
            duplicates=0,
            memory_bytes=4_096,
            minutes_kept=60,
            files_skipped=0,
            flags_skipped=None,
            error=None,
            started_at=datetime(2026, 11, 22, tzinfo=UTC),
            newest_landed_at=None,
        )

    def fleets(self) -> list[FleetPulse]:
        names = sorted({one.fleet for one in self.readings})
        return [FleetPulse(name, 1, 1, 2.0, None, None, 0) for name in names]

    def devices(self, *, fleet: str | None, prefix: str | None, limit: int, after: str | None) -> list[str]:
        names = sorted({one.device_id for one in self.readings if fleet in (None, one.fleet)})
        return [name for name in names if name.startswith(prefix or "") and name > (after or "")][:limit]

    def latest(self, device_id: str) -> list[LatestReading]:
        return [one for one in self.readings if one.device_id == device_id]

    def latest_of_fleet(self, fleet: str, *, limit: int) -> list[LatestReading]:
        return [one for one in self.readings if one.fleet == fleet][:limit]

    def recent(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Point]:
        return [Point(one.start, one.last) for one in self.history if one.start >= since]

    def minutes(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]:
        return [one for one in self.history if one.start >= since]

    def hours(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]:
        return [one for one in self.history if one.start + timedelta(seconds=one.seconds) > since]

    def flags(self, *, since: datetime, device_id: str | None = None, limit: int) -> list[LiveFlag]:
        found = [one for one in self.flagged if one.event_ts >= since and device_id in (None, one.device_id)]
        return sorted(found, key=lambda one: one.event_ts, reverse=True)[:limit]

    def customer_devices(self, customer: str) -> list[str]:
        return self.customers.get(customer, [])

    def regions(self) -> Mapping[str, Sequence[RegionUsage]]:
        return {"north": [RegionUsage("north", "gas", "rate", "m3/h", 2, 3.5, 0.0, datetime(2026, 11, 22, tzinfo=UTC))]}

    def state_windows(self, *, seconds: int = 3) -> list[StateWindow]:
        return []


def reading(device_id: str, value: float = 1.0, *, metric: str = "t", fleet: str = "weather") -> LatestReading:
    at = datetime(2026, 11, 22, 5, tzinfo=UTC)
    return LatestReading(device_id, fleet, metric, "°C", value, None, "good", at, at, "c-1-0")


def hour(start: datetime, first: float, last: float) -> Window:
    return Window(start, 3600, 10, min(first, last), max(first, last), (first + last) / 2, first, last)
