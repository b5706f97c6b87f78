"""What the line's page shows of the present: machines and valves from the layer's newest values and windows.

Formulas are those of the marts, so that a figure does not jump when its day is published; where the layer keeps less
than the marts read, the docstring says what is taken for it. What lies hours back is `line/past.py`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from iot_pipeline.live.model import LatestReading, Point, Window
from iot_pipeline.serving.live_view import LiveView

FLEET = "industrial_line"
PHASES = ("current_l1", "current_l2", "current_l3")
DIRECTIONS = ("open", "close")
QUIET_AFTER = timedelta(seconds=60)
UNBALANCE_OVER = timedelta(seconds=10)
# Below this share of the heaviest minute a machine is at rest, and how its phases differ is noise: as in the mart.
AT_REST = 0.2
# Over a longer silence nothing is assumed: as in the mart.
LONGEST_STRETCH_SECONDS = 10


@dataclass(frozen=True, slots=True)
class MachineNow:
    """A machine now; figures are None where it tells none.

    Attributes:
        device_id: the device.
        name: without the line.
        state: as the machine tells it; None when it tells none or is quiet.
        told_at: when it last told its state (UTC).
        currents: newest of the three phases, A.
        unbalance: largest deviation of a phase from the mean of the three, per cent of it (NEMA MG 1 has the formula
            for voltages), of the means of the last 10 s; None at rest, where it is noise.
        v_rms: newest velocity of the vibration, mm/s rms.
        a_peak: newest peak acceleration, g.
        newest: event time of the newest value of all (UTC).
        is_quiet: nothing came for a minute.
    """

    device_id: str
    name: str
    state: str | None
    told_at: datetime | None
    currents: tuple[float | None, float | None, float | None]
    unbalance: float | None
    v_rms: float | None
    a_peak: float | None
    newest: datetime
    is_quiet: bool

    @property
    def mean_current(self) -> float | None:
        """Mean of the three phases, A; None unless all are told."""
        found = [current for current in self.currents if current is not None]
        return math.fsum(found) / 3 if len(found) == 3 else None


@dataclass(frozen=True, slots=True)
class Charge:
    """Integral of the currents of the running hour, by phase.

    Attributes:
        ampere_hours: by phase; None for one without a reading.
        coverage: share of the time since the hour began that has readings, of the phase with the least, 0 to 1.
        since: begin of the hour (UTC).
    """

    ampere_hours: tuple[float | None, ...]
    coverage: float
    since: datetime


@dataclass(frozen=True, slots=True)
class Travel:
    """One direction of a valve.

    Attributes:
        device_id: the valve.
        name: without the line.
        direction: open or close.
        unit: of all figures, e.g. ms.
        last: newest travel time.
        at: when that was (UTC).
        hours: means by hour of the last 24, by time.
        drift: the last hour beside the mean of the 24, per cent; None without an hour before it.
    """

    device_id: str
    name: str
    direction: str
    unit: str | None
    last: float
    at: datetime
    hours: tuple[Window, ...]
    drift: float | None


def line_of(device_id: str) -> str:
    """The line that a device belongs to: what comes before its first slash."""
    line, slash, _ = device_id.partition("/")
    return line if slash else ""


def name_of(device_id: str) -> str:
    """The device without its line."""
    return device_id.partition("/")[2] or device_id


def is_machine(readings: Iterable[LatestReading]) -> bool:
    """Whether a device tells what machines tell."""
    return any(one.metric in (*PHASES, "v_rms", "state") for one in readings)


def machines(live: LiveView, devices: Iterable[str], now: datetime) -> list[MachineNow]:
    """Those of `devices` that are machines, in their order."""
    found = []
    for device_id in devices:
        readings = live.latest(device_id)
        if is_machine(readings):
            found.append(_machine(live, device_id, readings, now))
    return found


def _machine(live: LiveView, device_id: str, readings: Sequence[LatestReading], now: datetime) -> MachineNow:
    told = {one.metric: one for one in readings}
    newest = max(one.event_ts for one in readings)
    is_quiet = now - newest > QUIET_AFTER
    state = told.get("state")
    first, second, third = (_value(told.get(phase)) for phase in PHASES)
    return MachineNow(
        device_id=device_id,
        name=name_of(device_id),
        state=state.text if state and not is_quiet else None,
        told_at=state.event_ts if state else None,
        currents=(first, second, third),
        unbalance=_unbalance_now(live, device_id, now),
        v_rms=_value(told.get("v_rms")),
        a_peak=_value(told.get("a_peak")),
        newest=newest,
        is_quiet=is_quiet,
    )


def unbalance(l1: float, l2: float, l3: float) -> float | None:
    """Largest deviation from the mean, per cent of the mean (NEMA MG 1, there for voltages); None without current."""
    whole = l1 + l2 + l3
    return 100 * max(abs(3 * phase - whole) for phase in (l1, l2, l3)) / whole if whole > 0 else None


def _unbalance_now(live: LiveView, device_id: str, now: datetime) -> float | None:
    lately = [live.recent(device_id, phase, "A", since=now - UNBALANCE_OVER) for phase in PHASES]
    if not all(lately):
        return None
    l1, l2, l3 = (math.fsum(point.value for point in points) / len(points) for points in lately)
    minutes = live.minutes(device_id, PHASES[0], "A", since=now - timedelta(hours=1))
    heaviest = max((window.mean for window in minutes), default=0.0)
    return None if (l1 + l2 + l3) / 3 < AT_REST * heaviest else unbalance(l1, l2, l3)


def charge(live: LiveView, device_id: str, now: datetime) -> Charge:
    """The integral of the running hour: means of its minutes times the time that their readings stand for.

    The mart integrates from reading to reading; with a reading a second both differ in the fourth figure.
    """
    since = now.replace(minute=0, second=0, microsecond=0)
    charges: list[float | None] = []
    shares = []
    for phase in PHASES:
        minutes = live.minutes(device_id, phase, "A", since=since)
        step = step_seconds(live.recent(device_id, phase, "A", since=now - timedelta(minutes=2)))
        covered = [min(window.count * step, 60.0) for window in minutes]
        pairs = zip(minutes, covered, strict=True)
        charges.append(math.fsum(window.mean * seconds for window, seconds in pairs) / 3600 if minutes else None)
        shares.append(math.fsum(covered) / max((now - since).total_seconds(), 1.0))
    return Charge(tuple(charges), min(1.0, *shares), since)


def step_seconds(points: Sequence[Point]) -> float:
    """Median time between readings, at most 10 s, over which the mart assumes nothing; 1 s when it is not known."""
    steps = [(after.ts - before.ts).total_seconds() for before, after in pairwise(points)]
    return min(median(steps), LONGEST_STRETCH_SECONDS) if steps else 1.0


def travels(live: LiveView, devices: Iterable[str], now: datetime) -> list[Travel]:
    """Travel times of those of `devices` that are valves, by valve, opening before closing."""
    found = []
    for device_id in devices:
        told = {one.metric: one for one in live.latest(device_id)}
        for direction in DIRECTIONS:
            one = told.get(f"travel_time_{direction}")
            if one is not None and one.value is not None:
                hours = live.hours(device_id, one.metric, one.unit, since=now - timedelta(hours=24))
                found.append(
                    Travel(
                        device_id,
                        name_of(device_id),
                        direction,
                        one.unit,
                        one.value,
                        one.event_ts,
                        tuple(hours),
                        _drift(hours),
                    )
                )
    return found


def _drift(hours: Sequence[Window]) -> float | None:
    if len(hours) < 2:
        return None
    before = hours[:-1]
    mean = math.fsum(hour.mean * hour.count for hour in before) / sum(hour.count for hour in before)
    return 100 * (hours[-1].mean / mean - 1) if mean else None


def _value(reading: LatestReading | None) -> float | None:
    return None if reading is None else reading.value


def lines_of(devices: Iterable[str]) -> Mapping[str, list[str]]:
    """Devices by line, both in order; those without a line come under an empty name."""
    found: dict[str, list[str]] = {}
    for device_id in sorted(devices):
        found.setdefault(line_of(device_id), []).append(device_id)
    return dict(sorted(found.items()))
