"""Usage of meters, customers and regions against a computation in plain Python, and days built in any order."""

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.settings import Settings
from iot_pipeline.stats.build import build_days, build_minutes_stats
from iot_pipeline.stats.followers import followers_journal
from iot_pipeline.stats.lateness import read_touches
from iot_pipeline.stats.relations import DAY_MODELS
from iot_pipeline.stats.sealing import days_between, seal_minutes
from tests.stats.fleet_world import hour_of, published, tell
from tests.stats.world import Row, file_readings, seal_days

FIRST = date(2026, 10, 30)
LAST = date(2026, 11, 2)
METERS = {
    "m-1": {"customer": "c-1", "kind": "home", "region": "north", "utility": "electricity"},
    "m-2": {"customer": "c-1", "kind": "home", "region": "north", "utility": "gas"},
    "m-3": {"customer": "c-2", "kind": "business", "region": "south", "utility": "electricity"},
    "m-4": {"customer": "c-3", "kind": "home", "region": "south", "utility": "electricity"},
}
USAGE_MODELS = [model.name for model in DAY_MODELS if "usage" in model.name or model.name.startswith("meter")]


def register(ts: datetime, value: float, meter: str = "m-1") -> Row:
    return Row(ts, value, meter, "register", "m3" if meter == "m-2" else "kWh")


def history(seed: int) -> list[Row]:
    """Four days of registers with gaps of hours and of a day, resets, and readings that are wrong once."""
    chance = random.Random(seed)
    rows = []
    for meter in METERS:
        value = chance.uniform(0, 90_000)
        for day in days_between(FIRST, LAST):
            if chance.random() < 0.2:
                continue  # silent for a day
            seconds = sorted(chance.sample(range(86_400), 40))
            for index, second in enumerate(seconds):
                value = round(value + chance.uniform(0, 0.05), 4)
                shown = value
                if chance.random() < 0.02:
                    value = shown = round(chance.uniform(0, 1), 4)  # replaced
                elif index and chance.random() < 0.04:
                    shown = chance.choice([0.0, value + 1e6])  # misread
                rows.append(register(day_start(day) + timedelta(seconds=second), shown, meter))
    return rows


@dataclass
class Usage:
    """What one meter used in one period, as the description of the model has it."""

    steps: list[float]
    resets: int = 0
    readings: int = 0


def recomputed(rows: Sequence[Row]) -> dict[tuple[str, datetime], Usage]:
    """Usage by meter and hour, one reading after the other."""
    found: dict[tuple[str, datetime], Usage] = defaultdict(lambda: Usage([]))
    for meter in METERS:
        opening: float | None = None
        own = sorted((row for row in rows if row.device_id == meter), key=lambda row: row.event_ts)
        for _, of_day in itertools.groupby(own, key=lambda row: row.event_ts.date()):
            values = [(row.event_ts, float(row.value or 0)) for row in of_day]
            if len(values) > 1 and values[-1][1] < values[-2][1]:
                values.pop()
            shown = ([] if opening is None else [opening]) + [value for _, value in values]
            skip = len(shown) - len(values)
            for index, (ts, value) in enumerate(values):
                at = index + skip
                usage = found[meter, ts.replace(minute=0, second=0, microsecond=0)]
                usage.readings += 1
                before = shown[at - 1] if at else value
                # The first reading of a day is judged without what lies before its opening.
                before_that = shown[at - 2] if index and at > 1 else math.inf
                after = shown[at + 1] if at + 1 < len(shown) else -math.inf
                if value < before and after < before and value < before_that:
                    usage.resets += 1
                else:
                    usage.steps.append(value - before)
            opening = values[-1][1]
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_usage_equals_what_plain_python_computes(settings: Settings, seed: int) -> None:
    rows = history(seed)
    file_readings(settings, rows)
    for day in days_between(FIRST, LAST):
        tell(settings, hour_of(day, 5), "utility", METERS)
    build_days(settings, FIRST, LAST, "test")
    hours = pl.concat([published(settings, "meter_hour", day) for day in days_between(FIRST, LAST)])
    expected = recomputed(rows)
    built = {(row["device_id"], row["hour"]): row for row in hours.iter_rows(named=True)}
    assert built.keys() == expected.keys()
    for key, usage in expected.items():
        assert built[key]["usage"] == pytest.approx(math.fsum(usage.steps), rel=1e-12, abs=1e-9)
        assert (built[key]["resets"], built[key]["readings"]) == (usage.resets, usage.readings)
    assert sum(usage.resets for usage in expected.values()) > 0
    customers = pl.concat([published(settings, "customer_usage_day", day) for day in days_between(FIRST, LAST)])
    assert len(customers) > 0
    for row in customers.iter_rows(named=True):
        of_customer = [
            step
            for (meter, hour), usage in expected.items()
            for step in usage.steps
            if hour.date() == row["day"]
            and (METERS[meter]["customer"], METERS[meter]["utility"]) == (row["customer"], row["utility"])
        ]
        assert row["usage"] == pytest.approx(math.fsum(of_customer), rel=1e-12, abs=1e-9)


def test_customers_regions_and_meters_add_up_to_the_last_digit(settings: Settings) -> None:
    chance = random.Random(9)
    meters = {
        f"m-{number:03d}": {
            "customer": f"c-{number // 3}",
            "region": chance.choice(["north", "south", "west"]),
            "utility": "electricity",
        }
        for number in range(120)
    }
    rows = []
    for meter in meters:
        value = chance.uniform(0, 1e6)
        for second in range(0, 86_400, 2000):
            value += chance.uniform(0, 10)
            rows.append(Row(day_start(FIRST) + timedelta(seconds=second), value, meter, "register", "kWh"))
    file_readings(settings, rows)
    tell(settings, hour_of(FIRST, 5), "utility", meters)
    build_days(settings, FIRST, FIRST, "test")
    sums = {model: math.fsum(published(settings, model, FIRST)["usage"]) for model in USAGE_MODELS}
    exact = math.fsum(
        step
        for meter in meters
        for one, two in itertools.pairwise([float(row.value or 0) for row in rows if row.device_id == meter])
        for step in (two, -one)
    )
    for model, usage in sums.items():
        assert abs(usage - exact) <= 4 * math.ulp(exact), model


def settle(settings: Settings, runs: Sequence[tuple[date, date]]) -> int:
    """Build `runs` in their order, then whatever is announced; returns how many days followed."""
    followed = 0
    waiting = list(runs)
    offset = 0
    while waiting:
        build_days(settings, *waiting.pop(0), "test")
        touches, offset = read_touches(followers_journal(settings.paths), offset)
        following = sorted({day for touch in touches for day in touch.days})
        followed += len(following)
        waiting += [(day, day) for day in following]
    return followed


@pytest.mark.parametrize("order", [(3, 2, 1, 0), (1, 3, 0, 2)])
def test_days_built_in_any_order_come_to_the_same(settings: Settings, order: Sequence[int]) -> None:
    file_readings(settings, history(5))
    for day in days_between(FIRST, LAST):
        tell(settings, hour_of(day, 5), "utility", METERS)
    seal_days(settings, FIRST, LAST)
    build_days(settings, FIRST, LAST, "at once")
    at_once = {(model, day): published(settings, model, day) for model in USAGE_MODELS for day in _days()}
    for model in USAGE_MODELS:
        for day in _days():
            (settings.paths.marts / model / f"dt={day}" / "part-000.parquet").unlink()
    followed = settle(settings, [(FIRST + index * DAY, FIRST + index * DAY) for index in order])
    assert followed > 0
    for (model, day), frame in at_once.items():
        assert_frame_equal(published(settings, model, day), frame, check_exact=True)


def _days() -> list[date]:
    return list(days_between(FIRST, LAST))


@pytest.mark.parametrize(
    ("late", "follows"),
    [
        (register(hour_of(FIRST, 12), 12.0), []),  # between others
        (register(hour_of(FIRST, 23), 25.0), [FIRST + 2 * DAY]),  # the last of its day; the next one is silent
    ],
)
def test_only_a_changed_closing_register_makes_a_later_day_stale(
    settings: Settings, late: Row, follows: list[date]
) -> None:
    file_readings(settings, [register(hour_of(FIRST, 10), 10.0), register(hour_of(FIRST, 20), 20.0)])
    file_readings(settings, [register(hour_of(FIRST + 2 * DAY, 1), 30.0), register(hour_of(LAST, 1), 31.0)])
    for day in days_between(FIRST, LAST):
        tell(settings, hour_of(day, 5), "utility", METERS)
    build_days(settings, FIRST, LAST, "test")
    file_readings(settings, [late.late(timedelta(days=3))])
    build_days(settings, FIRST, FIRST, "late")
    touches, _ = read_touches(followers_journal(settings.paths), 0)
    assert [day for touch in touches for day in touch.days] == follows
    settle(settings, [(day, day) for day in follows])
    total = sum(published(settings, "customer_usage_day", day)["usage"].sum() for day in days_between(FIRST, LAST))
    assert total == pytest.approx(21.0)


def test_a_meter_counts_for_whom_it_named_on_that_day(settings: Settings) -> None:
    """A day that is built again after the tenant moved out is still billed to the tenant."""
    file_readings(settings, [register(hour_of(day, hour), 10.0 * day.day + hour) for day in _days() for hour in (1, 2)])
    tell(settings, hour_of(FIRST, 5), "utility", METERS)
    tell(settings, hour_of(LAST, 5), "utility", {"m-1": {**METERS["m-1"], "customer": "next"}})
    # The dimension knows the newest word.
    build_minutes_stats(settings, hour_of(FIRST, 5), hour_of(FIRST, 5), "dimension")
    build_minutes_stats(settings, hour_of(LAST, 5), hour_of(LAST, 5), "dimension")
    build_days(settings, FIRST, LAST, "test")
    assert published(settings, "customer_usage_day", FIRST)["customer"].to_list() == ["c-1"]
    assert published(settings, "customer_usage_day", LAST)["customer"].to_list() == ["next"]
    # Silent about itself on that day: the newest word counts.
    assert published(settings, "customer_usage_day", FIRST + DAY)["customer"].to_list() == ["next"]


def test_other_fleets_with_a_metric_of_that_name_are_no_meters(settings: Settings) -> None:
    file_readings(settings, [register(hour_of(FIRST, 1), 1.0)])
    tell(settings, hour_of(FIRST, 1), "plant", {"m-1": {}})
    build_days(settings, FIRST, FIRST, "test")
    assert published(settings, "meter_hour", FIRST).is_empty()


def test_the_recompute_tells_by_how_much_the_minutes_were_wrong(settings: Settings) -> None:
    start = hour_of(FIRST, 10)
    on_time = [register(start + second * timedelta(seconds=1), 100 + second / 100) for second in range(0, 180, 5)]
    file_readings(settings, on_time)
    tell(settings, start, "utility", METERS)
    build_minutes_stats(settings, start, start + 2 * MINUTE, "minutes")
    # One that was a minute late for its statistics, which nobody built again: 0.5 kWh more at the end.
    file_readings(settings, [register(start + 3 * MINUTE, 102.25).late(timedelta(hours=1))])
    build_days(settings, FIRST, FIRST, "test")
    [row] = published(settings, "usage_correction_day", FIRST).iter_rows(named=True)
    assert (row["customer"], row["utility"], row["unit"], row["minutes"]) == ("c-1", "electricity", "kWh", 3)
    assert row["minute_usage"] == pytest.approx(1.75)
    assert row["usage"] == pytest.approx(2.25)
    assert row["difference"] == row["usage"] - row["minute_usage"]


def test_a_sealed_minute_day_is_compared_as_an_open_one(settings: Settings) -> None:
    start = hour_of(FIRST, 10)
    file_readings(settings, [register(start + second * timedelta(seconds=1), 100.0 + second) for second in range(120)])
    tell(settings, start, "utility", METERS)
    build_minutes_stats(settings, start, start + MINUTE, "minutes")
    build_days(settings, FIRST, FIRST, "open")
    opened = published(settings, "usage_correction_day", FIRST)
    assert seal_minutes(settings.paths, before=FIRST + DAY) > 0
    build_days(settings, FIRST, FIRST, "sealed")
    assert_frame_equal(published(settings, "usage_correction_day", FIRST), opened, check_exact=True)
    assert opened["difference"].to_list() == [0.0]


def test_fleet_marts_of_a_day_without_readings_have_no_rows(settings: Settings) -> None:
    build_days(settings, FIRST, FIRST, "test")
    for model in DAY_MODELS:
        assert published(settings, model.name, model.partition(FIRST)).is_empty()
        assert list(published(settings, model.name, model.partition(FIRST)).columns) == list(model.schema)


def test_times_are_utc(settings: Settings) -> None:
    file_readings(settings, [register(datetime(2026, 10, 30, 23, 59, 59, tzinfo=UTC), 1.0)])
    tell(settings, hour_of(FIRST, 5), "utility", METERS)
    build_days(settings, FIRST, FIRST, "test")
    assert published(settings, "meter_hour", FIRST)["hour"].to_list() == [datetime(2026, 10, 30, 23, tzinfo=UTC)]
