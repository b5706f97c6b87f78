"""Utility and line as their pages see them: a live layer that answers from the simulators, and published days.

The days are written as the daily recompute publishes them, with figures that the simulators' formulas give.
"""

# ruff: noqa: ARG002 -- the protocol names what these records do not need

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import polars as pl

from iot_pipeline.clock import DAY, MINUTE, day_start, floor_minute
from iot_pipeline.files import write_parquet
from iot_pipeline.live.model import LatestReading, Point, RegionUsage, Window
from iot_pipeline.paths import DataPaths, minute_folder
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DIM_DEVICE_SCHEMA,
    dim_device_file,
    prepare_relations,
    published_file,
)
from sensors_sim.fleet import from_us, to_us
from sensors_sim.industrial_line import MACHINES, VALVES, IndustrialLine, current_level, state_of
from sensors_sim.utility import UNITS, UTILITIES, Meter
from tests.serving.recorded_live import RecordedLive

HOUR = timedelta(hours=1)
SECOND = timedelta(seconds=1)
RATE_UNITS = {"electricity": "kW", "gas": "m3/h", "water": "m3/h"}
LINES = ("line_1", "line_2")
Row = dict[str, object]


def meters(users: int) -> list[Meter]:
    return [Meter(number) for number in range(1, len(UTILITIES) * users + 1)]


def customer_of(meter: Meter) -> str:
    return f"c-{meter.customer:07d}"


def register(meter: Meter, at: datetime) -> float:
    return round(meter.rate_and_register(to_us(at))[1], 4)


def rate(meter: Meter, at: datetime) -> float:
    return round(meter.rate_and_register(to_us(at))[0], 5)


def devices_of_line(line: str) -> list[str]:
    return sorted(f"{line}/{one.name}" for one in (*MACHINES, *VALVES))


@dataclass
class GridLive(RecordedLive):
    """Meters of `users` customers and two lines, as they are at `now`; what `replaced` holds is told instead."""

    users: int = 12
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    replaced: dict[tuple[str, str], float | str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._meters = {meter.meter_id: meter for meter in meters(self.users)}
        self._machines = {f"{line}/{one.name}": one for line in LINES for one in MACHINES}
        self._valves = {f"{line}/{one.name}": one for line in LINES for one in VALVES}
        for meter in self._meters.values():
            self.customers.setdefault(customer_of(meter), []).append(meter.meter_id)

    def devices(self, *, fleet: str | None, prefix: str | None, limit: int, after: str | None) -> list[str]:
        lines = [*self._machines, *self._valves] if fleet in (None, "industrial_line") else []
        own = [*self._meters] if fleet in (None, "utility") else []
        return [name for name in sorted([*lines, *own]) if name.startswith(prefix or "") and name > (after or "")][
            :limit
        ]

    def latest(self, device_id: str) -> list[LatestReading]:
        return [self._reading(device_id, *told) for told in self._told(device_id)]

    def latest_of_fleet(self, fleet: str, *, limit: int) -> list[LatestReading]:
        names = self.devices(fleet=fleet, prefix=None, limit=limit, after=None)
        return [one for name in names for one in self.latest(name)][:limit]

    def recent(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Point]:
        begin = max(since, self.now - timedelta(minutes=5))
        seconds = int((self.now - begin).total_seconds())
        return [Point(at, self._value(device_id, metric, at)) for at in _steps(self.now, timedelta(seconds=1), seconds)]

    def minutes(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]:
        first = max(floor_minute(since), floor_minute(self.now) - 64 * MINUTE)
        return list(self._windows(device_id, metric, first, MINUTE, 60))

    def hours(self, device_id: str, metric: str, unit: str | None, *, since: datetime) -> list[Window]:
        first = since.replace(minute=0, second=0, microsecond=0)
        return list(self._windows(device_id, metric, first, HOUR, 3600))

    def regions(self) -> Mapping[str, Sequence[RegionUsage]]:
        found: dict[str, list[RegionUsage]] = defaultdict(list)
        groups: dict[tuple[str, str], list[Meter]] = defaultdict(list)
        for meter in self._meters.values():
            groups[meter.region, meter.utility].append(meter)
        hour = self.now.replace(minute=0, second=0, microsecond=0)
        for (region, utility), own in sorted(groups.items()):
            rates = math.fsum(self._value(meter.meter_id, "rate", self.now) for meter in own)
            registers = math.fsum(register(meter, self.now) for meter in own)
            used = math.fsum(register(meter, self.now) - register(meter, hour) for meter in own)
            common = (region, utility)
            found[region] += [
                RegionUsage(*common, "rate", RATE_UNITS[utility], len(own), rates, 0.0, self.now),
                RegionUsage(*common, "register", UNITS[utility], len(own), registers, used, self.now),
            ]
        return found

    def _told(self, device_id: str) -> list[tuple[str, str | None]]:
        if meter := self._meters.get(device_id):
            return [("rate", RATE_UNITS[meter.utility]), ("register", UNITS[meter.utility])]
        if device_id in self._machines:
            currents: list[tuple[str, str | None]] = [(f"current_l{phase}", "A") for phase in (1, 2, 3)]
            return [("a_peak", "g"), *currents, ("state", None), ("v_rms", "mm/s")]
        return [("travel_time_close", "ms"), ("travel_time_open", "ms")] if device_id in self._valves else []

    def _reading(self, device_id: str, metric: str, unit: str | None) -> LatestReading:
        fleet = "utility" if device_id in self._meters else "industrial_line"
        told = self.replaced.get((device_id, metric))
        text = (told if isinstance(told, str) else state_of(device_id, to_us(self.now))) if metric == "state" else None
        value = None if text else self._value(device_id, metric, self.now)
        at = self.now - timedelta(seconds=2)
        return LatestReading(device_id, fleet, metric, unit, value, text, "good", at, at, "c-1-0")

    def _value(self, device_id: str, metric: str, at: datetime) -> float:
        told = self.replaced.get((device_id, metric))
        if isinstance(told, float) and at == self.now:
            return told
        if meter := self._meters.get(device_id):
            return rate(meter, at) if metric == "rate" else register(meter, at)
        if machine := self._machines.get(device_id):
            if metric.startswith("current"):
                shares = {"1": 1.01, "2": 0.996, "3": 0.994}
                return round(machine.rated_a * current_level(device_id, to_us(at))[0] * shares[metric[-1]], 3)
            running = state_of(device_id, to_us(at)) == "running"
            nominal = machine.v_rms if metric == "v_rms" else machine.a_peak
            return round(nominal * (1 + 0.02 * math.sin(at.timestamp())) * (1.0 if running else 0.12), 4)
        valve = self._valves[device_id]
        travel = valve.open_ms if metric.endswith("open") else valve.close_ms
        return round(travel * (1 + 0.01 * math.sin(at.timestamp() / 9_000)), 1)

    def _windows(self, device_id: str, metric: str, first: datetime, step: timedelta, count: int) -> Iterator[Window]:
        start = first
        while start <= self.now:
            end = min(start + step, self.now)
            begin, last = self._value(device_id, metric, start), self._value(device_id, metric, end)
            rows = max(1, int(count * (end - start) / step))
            yield Window(start, int(step.total_seconds()), rows, min(begin, last), max(begin, last), last, begin, last)
            start += step


def _steps(end: datetime, step: timedelta, count: int) -> list[datetime]:
    return [end - index * step for index in reversed(range(count))]


def publish_devices(paths: DataPaths, users: int, at: datetime, extra: Sequence[Row] = ()) -> None:
    """The device dimension: meters with what they tell, machines and valves, and whatever `extra` names."""
    prepare_relations(paths)
    told: list[tuple[str, str, dict[str, str]]] = [
        (
            meter.meter_id,
            "utility",
            {"customer": customer_of(meter), "kind": meter.kind, "region": meter.region, "utility": meter.utility},
        )
        for meter in meters(users)
    ]
    told += [(name, "industrial_line", {"line": line}) for line in LINES for name in devices_of_line(line)]
    rows: list[Row] = [
        {
            "device_id": device,
            "fleet": fleet,
            "attributes": json.dumps(about),
            "region": about.get("region"),
            "customer": about.get("customer"),
            "first_seen": at,
            "last_seen": at,
        }
        for device, fleet, about in told
    ]
    frame = pl.DataFrame([*rows, *extra], schema=DIM_DEVICE_SCHEMA)
    write_parquet(frame.sort("device_id"), dim_device_file(paths))


def publish_days(paths: DataPaths, last: date, days: int, users: int) -> None:
    """The marts of utility and line for the `days` up to `last`."""
    prepare_relations(paths)
    for index in range(days):
        day = last - (days - 1 - index) * DAY
        _usage(paths, day, users)
        _line(paths, day, index)


def _usage(paths: DataPaths, day: date, users: int) -> None:
    start = day_start(day)
    rows = []
    for meter in meters(users):
        told = [register(meter, start + hour * HOUR) for hour in range(25)]
        about = {"customer": customer_of(meter), "region": meter.region, "utility": meter.utility}
        rows += [
            {**about, "hour": start + hour * HOUR, "unit": UNITS[meter.utility], "usage": told[hour + 1] - told[hour]}
            for hour in range(24)
        ]
    hours = pl.DataFrame(rows).with_columns(pl.col("hour").dt.date().alias("day"))
    counts = (
        pl.col("usage").sum(),
        pl.len().alias("meters"),
        (720 * pl.len()).alias("readings"),
        pl.lit(0).alias("resets"),
    )
    for name, time in (("hour", "hour"), ("day", "day")):
        by_meter = hours.group_by(time, "customer", "region", "utility", "unit").agg(pl.col("usage").sum())
        _publish(
            paths, f"customer_usage_{name}", day, by_meter.group_by(time, "customer", "utility", "unit").agg(counts)
        )
        customers = (pl.col("customer").n_unique().alias("customers"), *counts)
        _publish(
            paths, f"region_usage_{name}", day, by_meter.group_by(time, "region", "utility", "unit").agg(customers)
        )
    billed = hours.group_by("day", "customer", "utility", "unit").agg(pl.col("usage").sum())
    late = (
        pl.when(pl.col("customer").str.ends_with("1"), pl.col("utility") == "electricity").then(0.0213).otherwise(0.0)
    )
    corrected = billed.with_columns((pl.col("usage") - late).alias("minute_usage"), late.alias("difference"))
    _publish(paths, "usage_correction_day", day, corrected.with_columns(pl.lit(1440).alias("minutes")))


def _line(paths: DataPaths, day: date, index: int) -> None:
    hours = [day_start(day) + hour * HOUR for hour in range(24)]
    names = [(f"{line}/{one.name}", one) for line in LINES for one in MACHINES]
    currents: list[Row] = []
    vibration: list[Row] = []
    states: list[Row] = []
    begun: list[Row] = []
    for device, machine in names:
        for hour in hours:
            level = 0.72 + 0.1 * math.sin(hour.hour / 24 * math.tau)
            charge = {f"charge_l{phase}_ah": machine.rated_a * level * (0.995 + phase / 200) for phase in (1, 2, 3)}
            covered = {f"covered_l{phase}_seconds": 3590.0 for phase in (1, 2, 3)}
            worst = {"unbalance_percent": 0.9, "unbalance_worst_minute_percent": 1.4 + 0.02 * hour.hour}
            key = {"hour": hour, "device_id": device}
            currents.append({**key, **charge, **covered, "instants": 3600, "peak_a": machine.rated_a * 4, **worst})
            p95 = machine.v_rms * (1.05 + 0.02 * index)
            shares = {"readings_zone_a": 1600, "readings_zone_b": 2000, "readings_zone_c": 0, "readings_zone_d": 0}
            told = {"readings": 3600, "mean_mm_s": machine.v_rms, "max_mm_s": p95 * 1.1, "p95_mm_s": p95}
            group = {"machine_group": "group_2", "support": "rigid", "zone": "A" if p95 < 1.4 else "B"}
            vibration.append({**key, **told, **group, **shares})
            for state, seconds in (("running", 3050.0), ("idle", 400.0), ("setup", 120.0), ("fault", 30.0)):
                states.append({**key, "state": state, "seconds": seconds, "entries": 6 if state != "fault" else 1})
            load = machine.rated_a * level
            begun.append(
                {
                    "started_at": hour + 9 * MINUTE,
                    "device_id": device,
                    "load_a": load,
                    "peak_a": load * 3.2,
                    "peak_ratio": 3.2,
                    "inrush_seconds": 2.0,
                }
            )
    _publish(paths, "machine_current_hour", day, pl.DataFrame(currents))
    _publish(paths, "machine_vibration_hour", day, pl.DataFrame(vibration))
    _publish(paths, "machine_state_hour", day, pl.DataFrame(states))
    _publish(paths, "machine_start", day, pl.DataFrame(begun))
    strokes = []
    for line in LINES:
        for valve in VALVES:
            for direction, travel in (("open", valve.open_ms), ("close", valve.close_ms)):
                slower = travel + (
                    1.5 * index if valve.name == "valve_2" and direction == "open" else 0.2 * math.sin(index)
                )
                figures = {
                    "mean": slower,
                    "stddev": 4.0,
                    "min": slower - 12,
                    "max": slower + 12,
                    "p50": slower,
                    "p95": slower + 7,
                    "slope_per_day": 0.1,
                }
                key = {"day": day, "device_id": f"{line}/{valve.name}", "direction": direction, "unit": "ms"}
                strokes.append({**key, "strokes": 4320, **figures})
    _publish(paths, "valve_travel_day", day, pl.DataFrame(strokes))


def _publish(paths: DataPaths, name: str, day: date, rows: pl.DataFrame) -> None:
    model = next(model for model in DAY_MODELS if model.name == name)
    shaped = rows.select(pl.col(column).cast(dtype) for column, dtype in model.schema.items())
    write_parquet(shaped.sort(*model.key, model.time), published_file(paths, name, day))


def last_start(device_id: str, before: datetime) -> datetime:
    """When a machine last began to run: at weekends it may have rested for several cycles."""
    at = before
    while state_of(device_id, to_us(at)) != "running" or state_of(device_id, to_us(at - SECOND)) == "running":
        at -= SECOND
    return at


def file_line_readings(paths: DataPaths, lines: int, begin: datetime, minutes: int) -> None:
    """What the first `lines` simulated lines tell in `minutes` minutes from `begin` on, filed as decoding does."""
    units = {"current_l1": "A", "current_l2": "A", "current_l3": "A", "v_rms": "mm/s", "a_peak": "g", "state": None}
    simulated = IndustrialLine(seed=4, start=begin, lines=lines)
    by_minute: dict[datetime, list[Row]] = defaultdict(list)
    for step in range(minutes * 60):
        for frame in simulated.frames(begin + step * timedelta(seconds=1)):
            for reading in frame.readings:
                ts = from_us(reading.at_us)
                value = reading.value if isinstance(reading.value, float) else None
                text = reading.value if isinstance(reading.value, str) else None
                unit = units.get(reading.metric, "ms")
                by_minute[floor_minute(ts)].append(
                    {
                        "event_ts": ts,
                        "received_at": ts,
                        "source": "mqtt",
                        "device_id": reading.device_id,
                        "metric": reading.metric,
                        "value": value,
                        "text": text,
                        "unit": unit,
                        "quality": "good",
                        "message_id": f"c-1-{len(by_minute)}",
                    }
                )
    prepare_relations(paths)
    for minute, rows in by_minute.items():
        frame_of_minute = pl.DataFrame(rows, schema=READING_SCHEMA).sort("device_id", "metric", "event_ts")
        write_parquet(frame_of_minute, minute_folder(open_root(paths), minute) / landed_name(minute))
