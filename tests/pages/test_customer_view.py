"""A customer's page from series and from published days: what is added up, what is left out, what is said."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.live.model import LatestReading, Window
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.serving.pages.customer.search import account, customers_by_region, find_customers, known_by_region
from iot_pipeline.serving.pages.customer.view import (
    Correction,
    Use,
    by_month,
    correction_sentence,
    corrections,
    usual_day,
    utility_uses,
)
from iot_pipeline.serving.usage import HourUse, SeriesUse
from tests.pages.grid_world import Row, publish_devices

NOW = datetime(2026, 11, 22, 2, 30, tzinfo=UTC)


def series(
    device: str, metric: str, unit: str, value: float, changes: dict[int, float] | None = None, *, age: float = 2
) -> SeriesUse:
    """A series with changes by how many hours ago the hour began."""
    at = NOW - timedelta(seconds=age)
    latest = LatestReading(device, "utility", metric, unit, value, None, "good", at, at, "c-1-0")
    begin = NOW.replace(minute=0)
    hours = [
        HourUse(Window(begin - timedelta(hours=ago), 3600, 720, 0.0, change, change, 0.0, change), change)
        for ago, change in sorted((changes or {}).items(), reverse=True)
    ]
    return SeriesUse(latest, hours)


def test_meters_of_one_utility_are_one_utility() -> None:
    [found] = utility_uses(
        [
            series("a", "rate", "kW", 0.5),
            series("a", "register", "kWh", 100.0, {0: 1.0, 1: 2.0}),
            series("b", "rate", "kW", 0.25),
            series("b", "register", "kWh", 7.0, {0: 0.5}),
        ],
        {"a": "electricity", "b": "electricity"},
        NOW,
    )
    assert (found.utility, found.meters, found.rate, found.rate_unit, found.unit) == (
        "electricity",
        ("a", "b"),
        0.75,
        "kW",
        "kWh",
    )
    assert found.running_hour == 1.5
    assert found.last_24h == 3.5


def test_today_begins_with_the_billing_day_in_utc() -> None:
    [found] = utility_uses([series("a", "register", "m3", 1.0, {0: 1.0, 2: 2.0, 3: 4.0})], {"a": "gas"}, NOW)
    assert found.today == 3.0
    assert found.last_24h == 7.0


def test_an_hour_that_nobody_heard_is_no_zero() -> None:
    [found] = utility_uses([series("a", "register", "kWh", 1.0, {0: 1.0, 2: 0.0})], {"a": "electricity"}, NOW)
    assert len(found.hours) == 24
    assert [bar.use for bar in found.hours[-3:]] == [0.0, None, 1.0]


def test_a_register_that_fell_counts_as_nothing_and_is_told() -> None:
    [found] = utility_uses([series("a", "register", "kWh", 1.0, {0: -90.0, 1: 2.0})], {"a": "electricity"}, NOW)
    assert (found.last_24h, found.resets) == (2.0, 1)


def test_a_rate_of_long_ago_is_not_what_is_used_now() -> None:
    [found] = utility_uses([series("a", "rate", "kW", 3.0, age=301)], {"a": "electricity"}, NOW)
    assert found.rate is None
    assert found.is_quiet


def test_a_meter_that_tells_no_utility_has_its_own_name() -> None:
    found = utility_uses(
        [series("zz", "rate", "kW", 1.0), series("w", "rate", "m3/h", 1.0), series("e", "rate", "kW", 1.0)],
        {"w": "water", "e": "electricity"},
        NOW,
    )
    assert [one.utility for one in found] == ["electricity", "water", "zz"]


def test_days_make_months() -> None:
    days = [Use(date(2026, 10, 30), "gas", "m3", 1.0, 0), Use(date(2026, 10, 31), "gas", "m3", 2.0, 1)]
    days.append(Use(date(2026, 11, 1), "gas", "m3", 4.0, 0))
    assert by_month(days) == [Use(date(2026, 10, 1), "gas", "m3", 3.0, 1), Use(date(2026, 11, 1), "gas", "m3", 4.0, 0)]


def test_a_usual_day_needs_three() -> None:
    days = [Use(date(2026, 11, day), "gas", "m3", float(day), 0) for day in range(1, 10)]
    assert usual_day(days[:2], "gas") is None
    assert usual_day(days, "gas") == 6.0


def correction(day: int, difference: float, billed: float = 10.0) -> Correction:
    return Correction(date(2026, 11, day), "electricity", "kWh", billed - difference, billed, difference)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        ([], "after midnight UTC the day is added up anew"),
        ([correction(20, 0.00001), correction(21, 0.0)], "the same to the fourth decimal"),
        ([correction(20, 0.0), correction(21, 0.0213)], "on 2026-11-21 we bill 0.0213 kWh more than was shown live"),
        ([correction(20, -2.0), correction(21, 0.0213)], "on 2026-11-20 we bill 2.0000 kWh less than was shown live"),
    ],
)
def test_the_correction_is_one_sentence(found: list[Correction], says: str) -> None:
    sentence = correction_sentence(found)
    assert says in sentence
    assert sentence.endswith(".")


def test_corrections_come_newest_first() -> None:
    row = {"utility": "water", "unit": "m3", "minute_usage": 1.0, "usage": 1.5, "difference": 0.5}
    frame = pl.DataFrame([{"day": date(2026, 11, 20), **row}, {"day": date(2026, 11, 21), **row}])
    assert [one.day.day for one in corrections(frame)] == [21, 20]


def test_customers_are_found_by_any_part_of_their_name(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    odd: Row = {
        "device_id": "x",
        "fleet": "utility",
        "attributes": "{}",
        "customer": "0011 <b>%_'\"",
        "region": "north",
    }
    publish_devices(paths, 12, NOW, [odd])
    assert [one.name for one in find_customers(paths, "C-000001")] == ["c-0000010", "c-0000011", "c-0000012"]
    assert [one.name for one in find_customers(paths, "0011")] == ["0011 <b>%_'\"", "c-0000011"]
    assert find_customers(paths, "%_'\"")[0].meters == 1
    assert find_customers(paths, ".*") == []
    assert len(find_customers(paths, "", limit=5)) == 5


def test_an_account_names_what_each_meter_measures(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    publish_devices(paths, 2, NOW)
    found = account(paths, "c-0000002")
    assert found is not None
    assert found.utilities == {"m-0000004": "electricity", "m-0000005": "gas", "m-0000006": "water"}
    assert (found.customer.kind, found.customer.meters) == ("home", 3)
    assert account(paths, "nobody") is None


def test_regions_have_their_customers(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    publish_devices(paths, 30, NOW)
    known = known_by_region(paths)
    assert known is not None
    assert sum(known.values()) == 30
    shown = customers_by_region(paths, each=2)
    assert all(len(of_region) == min(2, known[region]) for region, of_region in shown.items())


def test_before_the_first_devices_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotPublished):
        find_customers(DataPaths(tmp_path), "c")
