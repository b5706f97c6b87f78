"""Figures of machines, valves and states against a computation in plain Python from what the simulated line sends."""

import math
import statistics
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pytest

from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.settings import Settings
from iot_pipeline.stats.build import build_days, build_minutes_stats
from iot_pipeline.stats.relations import minute_trees
from sensors_sim.fleet import from_us
from sensors_sim.industrial_line import INRUSH_FACTOR, IndustrialLine
from sensors_sim.us_states import UsStates, state_of
from tests.stats.fleet_world import hour_of, published, tell
from tests.stats.world import Row, file_readings

# A Tuesday: nobody rests.
THE_DAY = date(2026, 10, 27)
BEGIN = hour_of(THE_DAY, 9) + timedelta(minutes=40)
UNITS = {"current_l1": "A", "current_l2": "A", "current_l3": "A", "v_rms": "mm/s", "a_peak": "g"}
Series = dict[tuple[str, str], list[tuple[datetime, float | str]]]


def simulated(minutes: int, skip: Callable[[datetime], bool] = lambda _: False) -> list[Row]:
    """What line_1 tells from BEGIN on."""
    line = IndustrialLine(seed=4, start=BEGIN)
    rows = []
    for step in range(minutes * 120):
        for frame in line.frames(BEGIN + step * timedelta(seconds=0.5)):
            for reading in frame.readings:
                ts = from_us(reading.at_us)
                number = reading.value if isinstance(reading.value, float) else None
                text = reading.value if isinstance(reading.value, str) else None
                unit = None if text else UNITS.get(reading.metric, "ms")
                if not skip(ts):
                    rows.append(Row(ts, number, reading.device_id, reading.metric, unit, text=text))
    return rows


@pytest.fixture
def rows(settings: Settings) -> list[Row]:
    """Forty minutes across the hour, with half a minute of silence in them, built."""
    silent = hour_of(THE_DAY, 10) + timedelta(minutes=5)
    rows = simulated(40, lambda ts: silent <= ts < silent + timedelta(seconds=30))
    file_readings(settings, rows)
    build_days(settings, THE_DAY, THE_DAY, "test")
    return rows


def series(rows: list[Row]) -> Series:
    found: Series = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.event_ts):
        found[row.device_id, row.metric].append((row.event_ts, row.text if row.value is None else row.value))  # type: ignore[arg-type]
    return found


def hour(ts: datetime) -> datetime:
    return ts.replace(minute=0, second=0, microsecond=0)


def test_charge_is_the_integral_of_the_current(settings: Settings, rows: list[Row]) -> None:
    charge: dict[tuple[str, str, datetime], float] = defaultdict(float)
    covered: dict[tuple[str, str, datetime], float] = defaultdict(float)
    for (device, metric), points in series(rows).items():
        if not metric.startswith("current_"):
            continue
        numbers = [(ts, float(value)) for ts, value in points]
        for (begin, low), (end, high) in pairwise(numbers):
            length = (end - begin).total_seconds()
            if length > 10:
                continue
            cuts = [begin, *([hour(end)] if begin < hour(end) < end else []), end]
            for left, right in pairwise(cuts):
                shares = [(cut - begin).total_seconds() / length for cut in (left, right)]
                mean = sum(low + (high - low) * share for share in shares) / 2
                key = (device, metric.removeprefix("current_"), hour(left))
                charge[key] += mean * (right - left).total_seconds() / 3600
                covered[key] += (right - left).total_seconds()
    built = published(settings, "machine_current_hour", THE_DAY)
    assert len(built) == 6
    for row in built.iter_rows(named=True):
        for phase in ("l1", "l2", "l3"):
            key = (row["device_id"], phase, row["hour"])
            assert row[f"charge_{phase}_ah"] == pytest.approx(charge[key], rel=1e-9)
            assert row[f"covered_{phase}_seconds"] == pytest.approx(covered[key], abs=1e-6)
    # 20 minutes after the hour without the half minute of silence.
    assert built["covered_l1_seconds"].min() == pytest.approx(1200 - 31, abs=2)


def test_unbalance_is_the_largest_deviation_from_the_mean(settings: Settings, rows: list[Row]) -> None:
    by_phase: dict[tuple[str, datetime], list[list[float]]] = defaultdict(lambda: [[], [], []])
    for (device, metric), points in series(rows).items():
        if metric.startswith("current_l"):
            for ts, value in points:
                by_phase[device, hour(ts)][int(metric[-1]) - 1].append(float(value))
    for row in published(settings, "machine_current_hour", THE_DAY).iter_rows(named=True):
        means = [statistics.fmean(phase) for phase in by_phase[row["device_id"], row["hour"]]]
        mean = statistics.fmean(means)
        worst = max(abs(one - mean) for one in means)
        assert row["unbalance_percent"] == pytest.approx(100 * worst / mean, rel=1e-9)
        assert row["unbalance_worst_minute_percent"] >= row["unbalance_percent"] / 2


def test_starts_are_those_of_the_machines(settings: Settings, rows: list[Row]) -> None:
    running: set[tuple[str, datetime]] = set()
    for (device, metric), points in series(rows).items():
        if metric == "state":
            running |= {
                (device, ts)
                for (_, before), (ts, state) in pairwise(points)
                if state == "running" and before == "setup"
            }
    assert running
    found = published(settings, "machine_start", THE_DAY)
    times = {(row["device_id"], row["started_at"]) for row in found.iter_rows(named=True)}
    assert len(times) == len(running)
    for device, told in running:
        assert any(device == other and abs(told - started) <= timedelta(seconds=2) for other, started in times)
    for row in found.iter_rows(named=True):
        assert 1 <= row["peak_ratio"] <= (INRUSH_FACTOR + 1) / 0.6
        assert row["peak_ratio"] == row["peak_a"] / row["load_a"]
        assert 0 <= row["inrush_seconds"] <= 4


def test_time_in_state_adds_up_to_the_time_that_is_known(settings: Settings, rows: list[Row]) -> None:
    seconds: dict[tuple[str, str, datetime], float] = defaultdict(float)
    entries: dict[tuple[str, str, datetime], int] = defaultdict(int)
    for (device, metric), points in series(rows).items():
        if metric != "state":
            continue
        following = [ts for ts, _ in points[1:]] + [points[-1][0] + MINUTE]
        before: str | None = None
        for (ts, state), until in zip(points, following, strict=True):
            assert isinstance(state, str)
            held = min(until, ts + MINUTE)
            border = hour(ts) + timedelta(hours=1)
            seconds[device, state, hour(ts)] += (min(held, border) - ts).total_seconds()
            if held > border:
                seconds[device, state, border] += (held - border).total_seconds()
            entries[device, state, hour(ts)] += before is not None and before != state
            before = state
    built = published(settings, "machine_state_hour", THE_DAY)
    assert {(row["device_id"], row["state"], row["hour"]) for row in built.iter_rows(named=True)} == set(seconds)
    for row in built.iter_rows(named=True):
        key = (row["device_id"], row["state"], row["hour"])
        assert row["seconds"] == pytest.approx(seconds[key], abs=1e-6)
        assert row["entries"] == entries[key]


def test_vibration_is_rated_by_the_zones_of_its_class(settings: Settings, rows: list[Row]) -> None:
    limits = (1.4, 2.8, 4.5)
    built = published(settings, "machine_vibration_hour", THE_DAY)
    assert len(built) == 6
    for row in built.iter_rows(named=True):
        values = [
            float(value)
            for (device, metric), points in series(rows).items()
            for ts, value in points
            if (device, metric, hour(ts)) == (row["device_id"], "v_rms", row["hour"])
        ]
        zones = [sum(value >= limit for limit in limits) for value in values]
        assert [row[f"readings_zone_{zone}"] for zone in "abcd"] == [zones.count(index) for index in range(4)]
        assert row["zone"] == "ABCD"[sum(row["p95_mm_s"] >= limit for limit in limits)]
        assert row["mean_mm_s"] == pytest.approx(statistics.fmean(values))
    assert set(built["zone"]) == {"A", "B"}


def test_a_machine_tells_its_class(settings: Settings) -> None:
    file_readings(settings, [Row(BEGIN, 4.0, "mill", "v_rms", "mm/s"), Row(BEGIN, 4.0, "fan", "v_rms", "mm/s")])
    tell(settings, BEGIN, "plant", {"mill": {"machine_group": "group_1", "support": "flexible"}})
    build_minutes_stats(settings, BEGIN, BEGIN, "dimension")
    build_days(settings, THE_DAY, THE_DAY, "test")
    zones = dict(published(settings, "machine_vibration_hour", THE_DAY).select("device_id", "zone").iter_rows())
    assert zones == {"mill": "B", "fan": "C"}


def test_valves_by_direction_with_the_slope_of_the_day(settings: Settings, rows: list[Row]) -> None:
    strokes = {
        key: [(ts, float(value)) for ts, value in points]
        for key, points in series(rows).items()
        if key[1].startswith("travel_time_")
    }
    built = published(settings, "valve_travel_day", THE_DAY)
    assert len(built) == len(strokes) == 4
    for row in built.iter_rows(named=True):
        points = strokes[row["device_id"], f"travel_time_{row['direction']}"]
        values = [value for _, value in points]
        times = [(ts - day_start(THE_DAY)) / DAY for ts, _ in points]
        slope, _ = statistics.linear_regression(times, values)
        assert row["strokes"] == len(values)
        assert (row["min"], row["max"]) == (min(values), max(values))
        assert row["p50"] == pytest.approx(statistics.median(values))
        assert row["stddev"] == pytest.approx(statistics.stdev(values))
        assert row["slope_per_day"] == pytest.approx(slope, rel=1e-6)


def test_a_day_is_the_same_alone_and_with_its_neighbours(settings: Settings) -> None:
    """Nothing of the line reaches across midnight."""
    start = day_start(THE_DAY) + DAY - timedelta(seconds=3)
    rows = [
        row
        for second in range(6)
        for row in (
            Row(start + timedelta(seconds=second), 10.0 + second, "p", "current_l1", "A"),
            Row(start + timedelta(seconds=second), None, "p", "state", None, text="running"),
        )
    ]
    file_readings(settings, rows)
    build_days(settings, THE_DAY, THE_DAY + DAY, "both")
    both = {
        (model, day): published(settings, model, day)
        for model in ("machine_current_hour", "machine_state_hour")
        for day in (THE_DAY, THE_DAY + DAY)
    }
    for day in (THE_DAY, THE_DAY + DAY):
        build_days(settings, day, day, "alone")
    for (model, day), frame in both.items():
        assert published(settings, model, day).equals(frame)
        assert not frame.is_empty()


def test_states_of_a_minute_weigh_by_messages(settings: Settings) -> None:
    fleet = UsStates(seed=2, start=BEGIN, messages_per_s=20)
    rows = []
    for second in range(120):
        for frame in fleet.frames(BEGIN + timedelta(seconds=second)):
            [reading] = frame.readings
            rows.append(Row(from_us(reading.at_us), float(reading.value), reading.device_id, "temperature", "°F"))
    file_readings(settings, rows)
    guids = {row.device_id for row in rows}
    tell(settings, BEGIN, "us_states", {guid: {"state": state_of(guid)} for guid in sorted(guids)[1:]})
    build_minutes_stats(settings, BEGIN, BEGIN + MINUTE, "test")
    known = guids - {min(guids)}  # one has not told its state yet
    expected: dict[tuple[datetime, str], list[tuple[str, float]]] = defaultdict(list)
    for row in rows:
        if row.device_id in known:
            minute = row.event_ts.replace(second=0, microsecond=0)
            expected[minute, state_of(row.device_id)].append((row.device_id, float(row.value or 0)))
    built = minute_trees(settings.paths)["state_minute"].read(BEGIN, BEGIN + MINUTE)
    assert len(built) == len(expected)
    for found in built.iter_rows(named=True):
        told = expected[found["minute"].astimezone(UTC), found["state"]]
        values = [value for _, value in told]
        assert (found["messages"], found["sensors"]) == (len(told), len({guid for guid, _ in told}))
        assert found["mean"] == pytest.approx(math.fsum(values) / len(values))
        assert (found["min"], found["max"], found["unit"]) == (min(values), max(values), "°F")
