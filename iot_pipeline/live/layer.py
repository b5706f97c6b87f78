"""The live layer as the API and the pages see it: one thread that follows landing, and questions to its state.

No HTTP here. Every question may come from any thread and does not wait for the thread that follows.
"""

import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from polars.exceptions import PanicException

from iot_pipeline.clock import floor_minute, utc_now
from iot_pipeline.errors import IotError
from iot_pipeline.live import answers
from iot_pipeline.live.flags import LiveFlags
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
from iot_pipeline.live.pace import Paced
from iot_pipeline.live.regions import regions_of
from iot_pipeline.live.state import State
from iot_pipeline.live.tail import Group, Tail
from iot_pipeline.live.truth import Steps, Truth, first_landing_minute, number_of
from iot_pipeline.readings.frames import no_cycles
from iot_pipeline.settings import Settings

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.25
STEPS_SECONDS = 0.2
"""Longest time between two looks at landing that the past and corrections take."""
STALE_SECONDS = 10.0
RETRY_SECONDS = 1.0
SWITCH_SECONDS = 0.001
"""How long a thread may keep the interpreter from another one, while the layer runs: see `docs/decisions.md`."""
_FLAGS_SPAN: Final = timedelta(hours=1)


class LiveLayer:
    """Latest values, event-time windows and flags of all devices, a few seconds behind landing."""

    def __init__(self, settings: Settings, *, now: Callable[[], datetime] = utc_now) -> None:
        """Prepare; nothing is read before `start`. `now` is the clock that says how far back the day reaches."""
        self._settings = settings
        self._now = now
        self._state = State(settings.live_memory_mb * 1_000_000)
        self._flags = LiveFlags(settings.paths)
        self._listing = answers.Listing(self._state)
        self._regions: Mapping[str, tuple[RegionUsage, ...]] = {}
        self._tail: Tail | None = None
        self._truth: Truth | None = None
        self._steps: Steps | None = None
        self._rebuilt = False
        self._ready = False
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._errors: dict[str, str] = {}
        self._started_at: datetime | None = None
        self._newest_landed_at: datetime | None = None
        self._waits_since: datetime | None = None
        self._lag = 0.0
        self._caught_up_at: datetime | None = None
        self._looked = time.monotonic()
        self._chores = {
            "mappings": Paced(self._reload_mappings, seconds=2.0, share=0.1),
            "flags": Paced(self._score, seconds=2.0, share=0.1),
            "regions": Paced(self._sum_regions, seconds=2.0, share=0.05),
            "devices": Paced(self._list_devices, seconds=1.0, share=0.05),
            "corrections": Paced(self._look_for_corrections, seconds=2.0, share=0.5),
        }

    def start(self) -> None:
        """Begin to rebuild and to follow, in a thread of its own; returns at once."""
        if self._thread is None:
            self._started_at = utc_now()
            self._stopping.clear()
            # Threads that answer wait for the interpreter for at most this long each time they need it.
            sys.setswitchinterval(min(sys.getswitchinterval(), SWITCH_SECONDS))
            self._thread = threading.Thread(target=self._run, name="live", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End the thread. Idempotent."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def status(self) -> LiveStatus:
        """How the layer is; works at any time."""
        state, truth = self._state, self._truth
        progress = 1.0 if self._rebuilt else 0.0 if truth is None else min(truth.progress, 0.99)
        return LiveStatus(
            state=self._condition(),
            progress=progress,
            visible_lag_seconds=self._visible_lag(),
            series=len(state.series),
            series_limit=state.limit,
            evicted_series=state.evicted,
            readings=state.readings,
            duplicates=state.duplicates,
            memory_bytes=state.memory_bytes,
            minutes_kept=state.periods.kept,
            files_skipped=0 if self._tail is None else self._tail.skipped,
            flags_skipped=self._flags.skipped,
            error="; ".join(list(self._errors.values())) or None,
            started_at=self._started_at,
            newest_landed_at=self._newest_landed_at,
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

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                busy = self._turn()
                self._errors.pop("following", None)
            except (Exception, PanicException) as error:  # noqa: BLE001  # whatever it is, the layer goes on and says so
                self._failed("following", error)
                self._stopping.wait(RETRY_SECONDS)
                continue
            if not busy:
                self._stopping.wait(POLL_SECONDS)

    def _turn(self) -> bool:
        """Look once at everything; whether there is more to do at once."""
        if not self._ready:
            self._begin()
        self._follow()
        busy = self._step()
        self._state.periods.advance(number_of(floor_minute(self._now())), self._state.series.end)
        self._state.fleets.mark(time.monotonic())
        self._chore()
        self._looked = time.monotonic()
        return busy

    def _chore(self) -> None:
        """Do the one chore that has been due for longest: what lands is not kept waiting for all of them."""
        name, chore = max(self._chores.items(), key=lambda item: item[1].overdue)
        if chore.overdue < 0:
            return
        try:
            chore.turn()
            self._errors.pop(name, None)
        except (Exception, PanicException) as error:  # noqa: BLE001  # one chore must not keep the others from being done
            self._failed(name, error)

    def _begin(self) -> None:
        """Find out how far the batch layer came; the past is read from there in steps."""
        now = self._now()
        self._state.periods.advance(number_of(floor_minute(now)), self._state.series.end)
        truth = Truth(self._settings.paths, self._state, heard=self._flags.hear_minute)
        self._tail = Tail(self._settings, first_landing_minute(truth, now))
        self._truth, self._steps, self._ready = truth, truth.rebuild(), True
        self._flags.read_published(now)

    def _follow(self) -> None:
        """Take in what landed, a group of files at a time."""
        tail, truth = self._tail, self._truth
        if tail is None or truth is None or not truth.minutes_read:
            return
        tail.look()
        while (group := tail.next_group(truth.landed_through)) is not None and not self._stopping.is_set():
            self._waits_since = group.landed_at
            try:
                # What was decoded is gone when the garbage collector comes back; else it would stop everybody to look.
                with no_cycles():
                    self._take(tail, truth, group)
            except (Exception, PanicException):
                tail.failed(group)
                raise
            tail.done(group)
            if self._caught_up_at is not None and group.landed_at >= self._caught_up_at:
                # What landed before the layer could see it says nothing of how fast it is.
                self._lag = (utc_now() - group.landed_at).total_seconds()
            self._newest_landed_at = max(line.landed_at for line in group.lines)
            self._looked = time.monotonic()
        self._waits_since = None
        self._caught_up_at = self._caught_up_at or utc_now()

    def _take(self, tail: Tail, truth: Truth, group: Group) -> None:
        known = truth.landed_through is not None and group.lines[-1].minute <= truth.landed_through
        for arrived in tail.decode(group):
            taken = self._state.take(arrived, published=truth.through if known else None)
            self._flags.hear(arrived, taken)

    def _step(self) -> bool:
        """Go on with the past or with corrections for a moment; whether there is more."""
        until = time.monotonic() + STEPS_SECONDS
        while self._steps is not None and time.monotonic() < until and not self._stopping.is_set():
            try:
                next(self._steps)
            except StopIteration:
                if not self._rebuilt:
                    log.info("live_rebuilt", series=len(self._state.series), readings=self._state.readings)
                self._steps, self._rebuilt = None, True
            except (Exception, PanicException):
                # What is left undone is done with the next publication.
                self._steps, self._rebuilt = None, True
                if self._truth is not None:
                    self._truth.minutes_read = True
                raise
        return self._steps is not None

    def _look_for_corrections(self) -> None:
        if self._steps is None and self._truth is not None:
            self._steps = self._truth.corrections()

    def _reload_mappings(self) -> None:
        if self._tail is not None and (mappings := self._tail.reload()) is not None:
            log.info("live_mappings_reloaded", mappings=len(mappings.mappings))

    def _score(self) -> None:
        now = self._now()
        self._flags.read_published(now)
        self._flags.score(now, len(self._state.series))

    def _sum_regions(self) -> None:
        self._regions = regions_of(self._state)

    def _list_devices(self) -> None:
        self._state.summarise_fleets()
        if self._listing.version != answers.version_of(self._state):
            self._listing = answers.Listing(self._state)

    def _failed(self, what: str, error: Exception) -> None:
        told = str(error) if isinstance(error, IotError) else f"{type(error).__name__}: {error}"
        if self._errors.get(what) != told:
            # Without the values of variables: these are what devices sent.
            frames = traceback.extract_tb(error.__traceback__)
            where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames]
            log.error("live_failed", what=what, error=told, where=where)
        self._errors[what] = told

    def _condition(self) -> LiveState:
        if self._thread is None or not self._thread.is_alive() or "following" in self._errors:
            return LiveState.STALE
        if not self._rebuilt or self._caught_up_at is None:
            return LiveState.REBUILDING
        return LiveState.STALE if self._visible_lag() > STALE_SECONDS else LiveState.LIVE

    def _visible_lag(self) -> float:
        waits, lag = self._waits_since, self._lag
        if waits is not None:
            lag = max(lag, (utc_now() - waits).total_seconds())
        return max(lag, time.monotonic() - self._looked if self._thread is not None else 0.0)

    def _fleet_of(self, device_id: str) -> str:
        number = self._state.series.devices.find(device_id)
        return "" if number is None else self._state.attributes.name_of(number, "fleet") or ""
