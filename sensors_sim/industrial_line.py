"""A production line: three-phase currents, vibration, air-valve strokes and machine states, as JSON.

Topics `line/{line}/{machine}/electrical|vibration|state` and `line/{line}/{valve}/stroke`. What a machine
does follows from the instant: it starts with an inrush, runs, rests; nights and weekends are quieter.
No MQTT and no faults here.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import msgspec

from iot_pipeline.errors import ConfigurationError
from sensors_sim.fleet import Frame, Message, Reading, SampledFleet, from_us, iso
from sensors_sim.shapes import SECOND_US, between, daily, is_weekend, key_of, noise, uniform, weekly

PHASES = {"i1": "current_l1", "i2": "current_l2", "i3": "current_l3"}
CYCLE_S = 600
SETUP_S = 20
INRUSH_FACTOR = 5.0
INRUSH_DECAY_S = 0.6
STATE_EVERY_S = 10
NOISE_SHARE = 0.01


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine: rated current (A), vibration when it runs (mm/s rms and g peak)."""

    name: str
    rated_a: float
    v_rms: float
    a_peak: float


@dataclass(frozen=True, slots=True)
class Valve:
    """An air valve and its travel times (ms)."""

    name: str
    open_ms: float
    close_ms: float


MACHINES = (
    Machine("press_1", 42.0, 1.9, 0.80),
    Machine("conveyor_1", 12.0, 0.9, 0.25),
    Machine("mixer_1", 28.0, 1.4, 0.45),
)
VALVES = (Valve("valve_1", 420.0, 380.0), Valve("valve_2", 510.0, 470.0))
# One turn a second for each signal of each machine, and one for whatever comes every STATE_EVERY_S seconds.
_SIGNALS = tuple((machine, signal) for machine in MACHINES for signal in ("electrical", "vibration"))
_SLOTS_PER_LINE = len(_SIGNALS) + 1


class IndustrialLine(SampledFleet):
    """`lines` equal lines called line_<first> and so on; `rate_factor` multiplies one reading a second a signal."""

    name = "industrial_line"

    def __init__(self, *, seed: int, start: datetime, rate_factor: float = 1.0, lines: int = 1, first: int = 1) -> None:
        if lines < 1:
            raise ConfigurationError(f"lines: received {lines}; it must be at least 1")
        super().__init__(start=start, period_us=int(SECOND_US / rate_factor), slots=_SLOTS_PER_LINE * lines)
        self._seed = seed
        self._first = first

    def sample(self, turn: int, at_us: int) -> Iterator[Frame]:
        """One signal of one machine, its state when that changed, or whatever is due in the slow turn."""
        second, slot = divmod(turn, self._slots)
        number, index = divmod(slot, _SLOTS_PER_LINE)
        line = f"line_{number + self._first}"
        if index == len(_SIGNALS):
            yield from self._slow(line, second, at_us)
            return
        machine, signal = _SIGNALS[index]
        device_id = f"{line}/{machine.name}"
        topic = f"line/{device_id}/{signal}"
        if signal == "vibration":
            yield Frame(topic, at_us, self._vibration(device_id, machine, at_us))
            return
        yield Frame(topic, at_us, self._electrical(device_id, machine, at_us))
        if state_of(device_id, at_us) != state_of(device_id, at_us - self._period_us):
            yield _state_frame(device_id, at_us)

    def _slow(self, line: str, second: int, at_us: int) -> Iterator[Frame]:
        """States, repeated so that a newcomer knows them, and the valves' strokes, opening and closing in turn."""
        cycle, step = divmod(second, STATE_EVERY_S)
        if step < len(MACHINES):
            yield _state_frame(f"{line}/{MACHINES[step].name}", at_us)
        for index, valve in enumerate(VALVES):
            if step == len(MACHINES) + index:
                device_id = f"{line}/{valve.name}"
                direction, travel = ("open", valve.open_ms) if cycle % 2 == 0 else ("close", valve.close_ms)
                sigma = travel * NOISE_SHARE
                # Cold air is slower: a few per cent between night and afternoon.
                mean = travel * (1 - 0.02 * daily(at_us, 14))
                value = round(mean + sigma * noise(self._seed, key_of(device_id), at_us), 1)
                reading = Reading(device_id, f"travel_time_{direction}", at_us, value, sigma)
                yield Frame(f"line/{device_id}/stroke", at_us, [reading])

    def _electrical(self, device_id: str, machine: Machine, at_us: int) -> list[Reading]:
        level, sigma = current_level(device_id, at_us)
        readings = []
        for phase, metric in enumerate(PHASES.values()):
            share = 1 + between(-0.012, 0.012, key_of(device_id), phase)  # no network is quite symmetric
            mean = machine.rated_a * level * share
            spread = machine.rated_a * sigma
            value = round(mean + spread * noise(self._seed, key_of(device_id), phase, at_us), 3)
            readings.append(Reading(device_id, metric, at_us, value, spread))
        return readings

    def _vibration(self, device_id: str, machine: Machine, at_us: int) -> list[Reading]:
        running = state_of(device_id, at_us) == "running"
        readings = []
        for index, (metric, nominal) in enumerate((("v_rms", machine.v_rms), ("a_peak", machine.a_peak))):
            mean = nominal * ((1 + 0.06 * daily(at_us, 13)) if running else 0.12)
            spread = nominal * (0.03 if running else 0.008)
            value = round(mean + spread * noise(self._seed, key_of(device_id), 10 + index, at_us), 4)
            readings.append(Reading(device_id, metric, at_us, value, spread))
        return readings

    def encode(self, frame: Frame) -> Message:
        """`{"ts", ...}` as the last level of the topic says: electrical, vibration, stroke or state."""
        payload: dict[str, object] = {"ts": iso(frame.readings[0].at_us)}
        values = {reading.metric: reading.value for reading in frame.readings}
        kind = frame.topic.rpartition("/")[2]
        if kind == "electrical":
            payload |= {field: values[metric] for field, metric in PHASES.items() if metric in values}
        elif kind == "stroke":
            [(metric, value)] = values.items()
            payload |= {"direction": metric.rpartition("_")[2], "travel_ms": value}
        else:
            payload |= values
        return Message(from_us(frame.due_us), frame.topic, msgspec.json.encode(payload))


def _state_frame(device_id: str, at_us: int) -> Frame:
    return Frame(f"line/{device_id}/state", at_us, [Reading(device_id, "state", at_us, state_of(device_id, at_us))])


def _cycle(device_id: str, at_us: int) -> tuple[int, float]:
    """Number of the machine's cycle and seconds since it began; machines begin at different times."""
    shift_us = int(between(0, CYCLE_S, key_of(device_id)) * SECOND_US)
    number, within_us = divmod(at_us + shift_us, CYCLE_S * SECOND_US)
    return number, within_us / SECOND_US


def state_of(device_id: str, at_us: int) -> str:
    """What a machine does at an instant: setup, running, idle or, in one cycle of twenty, fault at the end."""
    number, seconds = _cycle(device_id, at_us)
    key = key_of(device_id)
    if is_weekend(at_us) and uniform(key, number, 1) < 0.4:
        return "idle"
    if seconds < SETUP_S:
        return "setup"
    if seconds < CYCLE_S - between(30, 90, key, number, 2):
        return "running"
    return "fault" if uniform(key, number, 3) < 0.05 else "idle"


def current_level(device_id: str, at_us: int) -> tuple[float, float]:
    """Mean current and standard deviation of its noise, as shares of the rated current."""
    state = state_of(device_id, at_us)
    if state != "running":
        return (0.15, 0.003) if state == "setup" else (0.04, 0.001)
    load = 0.75 + 0.12 * daily(at_us, 13) + 0.05 * weekly(at_us, 2)
    since_start = _cycle(device_id, at_us)[1] - SETUP_S
    return load + INRUSH_FACTOR * math.exp(-since_start / INRUSH_DECAY_S), NOISE_SHARE
