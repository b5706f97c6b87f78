"""The country's figures agree with each other: shares add up to 100, totals to what is above them, hours to days."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.clock import day_start
from iot_pipeline.live.model import RegionUsage
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.pages.country.view import agreement, country_now, over_time
from iot_pipeline.serving.reports.run import run_report
from tests.pages.grid_world import GridLive, publish_days, publish_devices

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = date(2026, 11, 21)


def region(name: str, metric: str, unit: str | None, total: float, hour: float = 0.0, *, utility: str) -> RegionUsage:
    return RegionUsage(name, utility, metric, unit, 2, total, hour, NOW)


def test_rate_and_register_of_a_utility_stand_in_one_row() -> None:
    rows = [
        region("north", "rate", "kW", 1.5, utility="electricity"),
        region("north", "register", "kWh", 900.0, 0.75, utility="electricity"),
    ]
    [found] = country_now({"north": rows})
    assert (found.rate, found.rate_unit, found.used, found.unit, found.meters) == (1.5, "kW", 0.75, "kWh", 2)


def test_two_units_of_a_utility_are_never_added() -> None:
    rows = [region("north", "rate", "kW", 1.5, utility="gas"), region("north", "rate", "m3/h", 2.0, utility="gas")]
    assert [(one.rate, one.unit) for one in country_now({"north": rows})] == [(1.5, "kWh"), (2.0, "m3")]


def test_other_metrics_are_passed_over() -> None:
    assert country_now({"north": [region("north", "voltage", "V", 230.0, utility="electricity")]}) == []


def test_utilities_come_in_the_usual_order() -> None:
    live = GridLive(users=30, now=NOW)
    assert [one.utility for one in country_now(live.regions())] == ["electricity", "gas", "water"]


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=12))
def test_columns_add_up_to_what_is_below_them(rates: list[float]) -> None:
    regions = {f"r{at}": [region(f"r{at}", "rate", "kW", rate, utility="gas")] for at, rate in enumerate(rates)}
    [found] = country_now(regions)
    assert found.rate == pytest.approx(sum(row.rate or 0.0 for row in found.regions), abs=1e-6, rel=1e-12)
    shares = [row.share for row in found.regions if row.share is not None]
    assert not shares or round(sum(shares), 6) == 100.0


def test_who_draws_less_than_nothing_has_no_share() -> None:
    regions = {name: [region(name, "rate", "kW", rate, utility="gas")] for name, rate in (("a", -1.0), ("b", 3.0))}
    assert [row.share for row in country_now(regions)[0].regions] == [None, None]


def test_hours_days_and_regions_tell_the_same(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    publish_devices(paths, 20, NOW)
    publish_days(paths, DAY, 2, 20)
    since = day_start(date(2026, 11, 20))
    by_hour = over_time(run_report(paths, "country-usage", {"period": "hour", "from": since}, now=NOW))
    by_day = over_time(run_report(paths, "country-usage", {"period": "day", "from": since}, now=NOW))
    for hours, days in zip(by_hour, by_day, strict=True):
        assert len(hours.periods) == 48
        assert len(days.periods) == 2
        assert days.total == pytest.approx(sum(period.total for period in days.periods), abs=1e-9)
        assert hours.total == pytest.approx(days.total, abs=0.05)
        difference = agreement(by_hour, by_day, days.utility)
        assert difference is not None
        # Twenty-four hours of five regions, each rounded to three decimals.
        assert difference <= 0.0005 * 24 * 5


def test_a_region_without_figures_in_a_period_has_none(tmp_path: Path) -> None:
    assert agreement([], [], "gas") is None
