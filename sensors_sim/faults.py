"""Typed faults, injected into a fleet's frames before they are encoded, with a label for each.

When faults happen is `fault_plan.py`'s; how labels are kept is `labels.py`'s. Without a fault a frame
passes untouched, so a faulty fleet and a clean one of the same seed differ in the labelled readings only.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sensors_sim.fault_plan import FaultKind, Planned, fit_fleets, timetable
from sensors_sim.fleet import Frame, Message, Reading, SampledFleet, to_us
from sensors_sim.labels import Label, LabelSink
from sensors_sim.shapes import SECOND_US, between, key_of, mix, noise, uniform

# In standard deviations of the series' own noise.
SPIKE_SIGMAS = (12.0, 20.0)
STEP_SIGMAS = (8.0, 12.0)
DRIFT_SIGMAS = (14.0, 20.0)
NOISE_TIMES = (5.0, 8.0)
LATE_S = (120.0, 300.0)
DUPLICATE_AFTER_S = (0.5, 2.0)
# Clocks that run ahead, and those that restarted at the epoch: both outside what the pipeline accepts.
CLOCK_AHEAD_S = (3_600.0, 10 * 86_400.0)
# A fault whose time passed while nothing was published (broker away) by more than this is left out.
_STALE_US = 30 * SECOND_US
_OF_MESSAGES = frozenset({FaultKind.LATE, FaultKind.DUPLICATE, FaultKind.MALFORMED, FaultKind.CLOCK, FaultKind.GAP})


@dataclass(slots=True)
class _Active:
    """A fault that reached its first reading: concerns these series in [start_us, end_us]."""

    plan: Planned
    device_id: str
    metrics: frozenset[str]
    start_us: int
    end_us: int
    magnitude: float | None

    def concerns(self, reading: Reading) -> bool:
        return (
            reading.device_id == self.device_id
            and reading.metric in self.metrics
            and self.start_us <= reading.at_us <= self.end_us
        )


@dataclass(slots=True)
class _Outgoing:
    frame: Frame
    broken: bool = False


class FaultyFleet:
    """A `Fleet` that is another one with faults.

    Args:
        fleet: the fleet to spoil.
        fleets: names of all fleets that run: they take turns in being spoilt.
        seed: equal seeds give equal faults.
        start: when the simulation begins (UTC).
        labels: where the truth goes.
        rate: how often faults happen, as a multiple of the timetable's own.
    """

    def __init__(
        self,
        fleet: SampledFleet,
        *,
        fleets: Sequence[str],
        seed: int,
        start: datetime,
        labels: LabelSink,
        rate: float = 1.0,
    ) -> None:
        self.name = fleet.name
        self._fleet = fleet
        self._seed = seed
        self._labels = labels
        self._plans = [_Plans(kind, fleet.name, fleets=fleets, seed=seed, start=start, rate=rate) for kind in FaultKind]
        self._active: list[_Active] = []
        self._held: list[tuple[int, int, Frame]] = []
        self._held_count = 0

    def messages(self, now: datetime) -> Iterator[Message]:
        """See `Fleet.messages`. Frames held back come after the fresh ones: a birth is never overtaken."""
        for frame in self._fleet.frames(now):
            for outgoing in self._spoil(frame):
                message = self._fleet.encode(outgoing.frame)
                yield _broken(message, mix(self._seed, frame.due_us)) if outgoing.broken else message
        while self._held and self._held[0][0] <= to_us(now):
            yield self._fleet.encode(heapq.heappop(self._held)[2])

    def _spoil(self, frame: Frame) -> list[_Outgoing]:
        self._begin(frame)
        if not self._active:
            return [_Outgoing(frame)]
        self._active = [fault for fault in self._active if fault.end_us >= frame.due_us - SECOND_US]
        for fault in self._active:
            if fault.plan.kind not in _OF_MESSAGES:
                _change_values(fault, frame.readings, self._seed)
        outgoing = [_Outgoing(frame)]
        for fault in self._active:
            if fault.plan.kind in _OF_MESSAGES:
                outgoing = [piece for whole in outgoing for piece in self._take_apart(fault, whole)]
        return outgoing

    def _begin(self, frame: Frame) -> None:
        for plans in self._plans:
            plan = plans.due(frame.due_us)
            if plan is None or (frame.vital and plan.kind in _OF_MESSAGES):
                continue
            taken = {fault.device_id for fault in self._active}
            targets = [r for r in frame.readings if r.noise > 0 and r.device_id not in taken]
            if not targets:
                continue
            plans.advance()
            target = targets[mix(self._seed, key_of(plan.kind), plan.number) % len(targets)]
            fault = _activate(plan, target, frame, self._seed)
            self._active.append(fault)
            for metric in sorted(fault.metrics):
                span = (fault.start_us, fault.end_us)
                self._labels.write(Label(self.name, fault.device_id, metric, plan.kind, *span, fault.magnitude))

    def _take_apart(self, fault: _Active, whole: _Outgoing) -> list[_Outgoing]:
        """What becomes of a frame when one device's message goes wrong; the other devices' readings go on as ever."""
        part = replace(whole.frame, readings=[r for r in whole.frame.readings if fault.concerns(r)])
        rest = replace(whole.frame, readings=[r for r in whole.frame.readings if not fault.concerns(r)])
        kind = fault.plan.kind
        if not part.readings or (whole.frame.vital and kind is not FaultKind.GAP):
            return [whole]
        others = [replace(whole, frame=rest)] if rest.readings or rest.vital else []
        due_us = whole.frame.due_us
        if kind is FaultKind.MALFORMED:
            return [*others, _Outgoing(part, broken=True)]
        if kind is FaultKind.LATE:
            self._hold(replace(part, due_us=due_us + int((fault.magnitude or 0) * SECOND_US), late=True))
        elif kind is FaultKind.DUPLICATE:
            after_s = between(*DUPLICATE_AFTER_S, self._seed, fault.plan.number)
            self._hold(replace(part, due_us=due_us + int(after_s * SECOND_US)))
            return [whole]
        elif kind is FaultKind.CLOCK:
            shift_us = int((fault.magnitude or 0) * SECOND_US)
            part.readings = [replace(reading, at_us=reading.at_us + shift_us) for reading in part.readings]
            return [*others, _Outgoing(part)]
        return others

    def _hold(self, frame: Frame) -> None:
        self._held_count += 1  # keeps the order of frames that are due at the same instant
        heapq.heappush(self._held, (frame.due_us, self._held_count, frame))


class _Plans:
    """The next planned fault of one kind for one fleet."""

    def __init__(
        self, kind: FaultKind, fleet: str, *, fleets: Sequence[str], seed: int, start: datetime, rate: float
    ) -> None:
        self._fleet = fleet
        self._timetable = timetable(kind, fleets=fleets, seed=seed, start=start, rate=rate)
        self._next: Planned | None = None
        # A timetable has no end: looking in it for a fleet that never comes would have none either.
        self._can_happen = fleet in fit_fleets(kind, fleets)
        self.advance()

    def advance(self) -> None:
        """Go on to the next fault that is this fleet's."""
        self._next = None
        if self._can_happen:
            self._next = next((plan for plan in self._timetable if plan.fleet == self._fleet), None)

    def due(self, now_us: int) -> Planned | None:
        """The fault whose time has come, if any; those of a time long gone are passed over."""
        while self._next is not None and self._next.at_us < now_us - _STALE_US:
            self.advance()
        return self._next if self._next is not None and self._next.at_us <= now_us else None


def _activate(plan: Planned, target: Reading, frame: Frame, seed: int) -> _Active:
    metrics = {target.metric}
    if plan.kind in _OF_MESSAGES:
        metrics |= {reading.metric for reading in frame.readings if reading.device_id == target.device_id}
    return _Active(
        plan=plan,
        device_id=target.device_id,
        metrics=frozenset(metrics),
        start_us=target.at_us,
        end_us=target.at_us + plan.lasts_us,
        magnitude=_magnitude(plan, target, seed),
    )


def _magnitude(plan: Planned, target: Reading, seed: int) -> float | None:
    keys = (seed, key_of(plan.kind), plan.number, 7)
    value = float(target.value)
    match plan.kind:
        case FaultKind.SPIKE | FaultKind.STEP | FaultKind.DRIFT:
            limits = {FaultKind.SPIKE: SPIKE_SIGMAS, FaultKind.STEP: STEP_SIGMAS}.get(plan.kind, DRIFT_SIGMAS)
            size = target.noise * between(*limits, *keys)
            # Down only where the value keeps its sign: no negative pressure, no negative consumption.
            down = uniform(*keys, 1) < 0.5 and (value < 0 or value - 1.5 * size > 0)
            return round(-size if down else size, 6)
        case FaultKind.STUCK:
            return value
        case FaultKind.NOISE:
            return round(between(*NOISE_TIMES, *keys), 3)
        case FaultKind.LATE:
            return round(between(*LATE_S, *keys), 3)
        case FaultKind.CLOCK:
            restarted = -(target.at_us // SECOND_US)
            return float(restarted) if plan.number % 3 == 2 else round(between(*CLOCK_AHEAD_S, *keys))
        case _:
            return None


def _change_values(fault: _Active, readings: list[Reading], seed: int) -> None:
    for reading in readings:
        if fault.concerns(reading):
            reading.value = round(_changed(fault, reading, seed), 5)


def _changed(fault: _Active, reading: Reading, seed: int) -> float:
    value, magnitude = float(reading.value), fault.magnitude or 0.0
    match fault.plan.kind:
        case FaultKind.STUCK:
            return magnitude
        case FaultKind.DRIFT:
            return value + magnitude * (reading.at_us - fault.start_us) / max(fault.end_us - fault.start_us, 1)
        case FaultKind.NOISE:
            return value + magnitude * reading.noise * noise(seed, reading.at_us, 11)
        case _:
            return value + magnitude


def _broken(message: Message, chance: int) -> Message:
    """The message as a bad line or a bad encoder would leave it: cut in the middle, or begun with a stray byte."""
    payload = message.payload
    broken = payload[: len(payload) // 2] if chance % 2 else b"\xff" + payload
    return replace(message, payload=broken)
