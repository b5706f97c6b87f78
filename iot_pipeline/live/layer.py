"""The live layer as the API and the pages see it: questions to a state that one thread keeps (`following.py`).

No HTTP here. Every question may come from any thread and does not wait for the thread that follows landing.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from iot_pipeline.clock import utc_now
from iot_pipeline.live import answers
from iot_pipeline.live.flags import LiveFlags
from iot_pipeline.live.following import Following
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
from iot_pipeline.live.pace import Paced
from iot_pipeline.live.regions import regions_of
from iot_pipeline.live.state import State
from iot_pipeline.settings import Settings

_FLAGS_SPAN: Final = timedelta(hours=1)


class LiveLayer:
    """Latest values, event-time windows and flags of all devices, a few seconds behind landing."""

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = utc_now) -> None:
        """Prepare; nothing is read before `start`. `now` is the clock that says how far back the day reaches."""
        self._now = now
        self._state = State(settings.live_memory_mb * 1_000_000)
        self._flags = LiveFlags(settings.paths)
        self._listing = answers.Listing(self._state)
        self._regions: Mapping[str, tuple[RegionUsage, ...]] = {}
        chores = {
            "regions": Paced(self._sum_regions, seconds=2.0, share=0.05),
            "devices": Paced(self._list_devices, seconds=1.0, share=0.05),
        }
        self._following = Following(settings, self._state, self._flags, chores=chores, now=now)

    def start(self) -> None:
        """Begin to rebuild and to follow, in a thread of its own; returns at once."""
        self._following.start()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._following.stop()

    def status(self) -> LiveStatus:
        """How the layer is; works at any time."""
        state, following = self._state, self._following
        return LiveStatus(
            state=following.condition,
            progress=following.progress,
            visible_lag_seconds=following.visible_lag,
            series=len(state.series),
            series_limit=state.limit,
            evicted_series=state.evicted,
            readings=state.readings,
            duplicates=state.duplicates,
            memory_bytes=state.memory_bytes,
            minutes_kept=state.periods.kept,
            files_skipped=following.files_skipped,
            flags_skipped=self._flags.skipped,
            error=following.error,
            started_at=following.started_at,
            newest_landed_at=following.newest_landed_at,
        )

    def fleets(self) -> list[FleetPulse]:
        """All fleets, by name; devices without one are not counted."""
        state, now = self._state, self._now()
        flags: dict[str, int] = {}
        for flag in self.flags(since=now - _FLAGS_SPAN, limit=sys.maxsize):
            fleet = self._fleet_of(flag.device_id)
            flags[fleet] = flags.get(fleet, 0) + 1
        found = []
        counted = zip(list(state.attributes.labels["fleet"].names), state.by_fleet, strict=False)
        for number, (fleet, (devices, series)) in enumerate(counted):
            newest = state.fleets.newest(number)
            found.append(
                FleetPulse(
                    fleet=fleet,
                    devices=devices,
                    series=series,
                    readings_per_second=state.fleets.per_second(number),
                    newest_event_ts=newest,
                    lag_seconds=None if newest is None else (now - newest).total_seconds(),
                    flags_last_hour=flags.get(fleet, 0),
                )
            )
        return sorted((pulse for pulse in found if pulse.devices), key=lambda pulse: pulse.fleet)

    def devices(self, *, fleet: str | None, prefix: str | None, limit: int, after: str | None) -> list[str]:
        """Names of devices in order: of a fleet, beginning with `prefix`, behind `after`; at most `limit`."""
        return self._listing.page(fleet=fleet, prefix=prefix, limit=limit, after=after)

    def latest(self, device_id: str) -> list[LatestReading]:
        """The newest reading of each series of a device, by metric and unit; empty when it is unknown."""
        return answers.latest(self._state, device_id)

    def latest_of_fleet(self, fleet: str, *, limit: int) -> list[LatestReading]:
        """The newest reading of series of a fleet, by device, metric and unit; at most `limit`."""
        devices = self._listing.names(fleet).head(max(limit, 0)).to_list()
        return list(answers.latest_of(self._state, devices, limit))

    def recent(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Point]:
        """Single readings from `since` on, by event time; bounded to what is held, minutes for most."""
        return answers.recent(self._state, (device_id, metric, unit), since)

    def minutes(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]:
        """Windows of 60 s that begin at or after `since`, by time: about the last hour."""
        return answers.minutes(self._state, (device_id, metric, unit), since)

    def hours(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]:
        """Windows of 3600 s that end after `since`, by time: the last 25 hours, batch truth where it is published."""
        return answers.hours(self._state, (device_id, metric, unit), since)

    def flags(self, *, since: datetime, device_id: str | None = None, limit: int) -> list[LiveFlag]:
        """Flags of readings from `since` on, newest first: those of the last hour are known."""
        found: list[LiveFlag] = []
        for flag in self._flags.newest_first:
            if flag.event_ts < since or len(found) >= limit:
                break
            if device_id is None or flag.device_id == device_id:
                found.append(flag)
        return found

    def customer_devices(self, customer: str) -> list[str]:
        """Devices whose attribute `customer` is this, in order."""
        return answers.customer_devices(self._state, customer)

    def regions(self) -> Mapping[str, Sequence[RegionUsage]]:
        """What the devices of each region measure now, by region; by utility, metric and unit within it."""
        return self._regions

    def state_windows(self, *, seconds: int = 3) -> list[StateWindow]:
        """The last windows of `seconds` by event time, newest first, with the means of each state."""
        state = self._state
        if seconds < 1:
            raise ValueError(f"seconds: received {seconds}; it must be at least 1")
        with state.lock:
            names = list(state.attributes.labels["state"].names)
            return state.seconds.windows(seconds, names, state.attributes.counts("state"))

    def _sum_regions(self) -> None:
        self._regions = regions_of(self._state)

    def _list_devices(self) -> None:
        self._state.summarise_fleets()
        if self._listing.version != answers.version_of(self._state):
            self._listing = answers.Listing(self._state)

    def _fleet_of(self, device_id: str) -> str:
        number = self._state.series.devices.find(device_id)
        return "" if number is None else self._state.attributes.name_of(number, "fleet") or ""
