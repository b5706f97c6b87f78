import calendar
import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.clock import DAY, utc_now
from iot_pipeline.settings import Settings
from iot_pipeline.stats import build
from iot_pipeline.stats.build import build_days
from iot_pipeline.stats.published import published_day
from iot_pipeline.stats.relations import published_file
from iot_pipeline.stats.run_sources import Corrected, make_day_sources
from tests.stats.world import Row, file_readings, seal_days

FIRST = date(2025, 12, 30)
LAST = date(2026, 1, 3)


def rows(days: int = 5) -> list[Row]:
    chance = random.Random(3)
    found = []
    for day in range(days):
        for _ in range(40):
            when = datetime(2025, 12, 30, tzinfo=UTC) + timedelta(days=day, seconds=chance.randrange(86_400))
            found.append(Row(when, chance.gauss(1000, 0.01), chance.choice(["a", "b"]), "t", None))
    # A series of one reading: no deviation within any part.
    found.append(Row(datetime(2025, 12, 30, 5, tzinfo=UTC), 4.0, "once", "t", "C"))
    return found


def published(settings: Settings, model: str, day: date) -> pl.DataFrame:
    return pl.read_parquet(published_file(settings.paths, model, day), hive_partitioning=False)


def recomputed(found: list[Row], period: Callable[[datetime], object], wanted: object) -> pl.DataFrame:
    value = pl.col("value")
    frame = pl.DataFrame(
        [(row.event_ts, row.device_id, row.value) for row in found if period(row.event_ts) == wanted],
        schema=["event_ts", "device_id", "value"],
        orient="row",
    )
    return (
        frame.sort("event_ts")
        .group_by("device_id")
        .agg(
            pl.len().cast(pl.Int64).alias("count"),
            value.min().alias("min"),
            value.max().alias("max"),
            value.mean().alias("mean"),
            value.std().alias("stddev"),
            value.first().alias("first"),
            value.last().alias("last"),
        )
        .sort("device_id")
    )


@pytest.mark.parametrize("sealed", [True, False])
def test_months_and_years_equal_a_recompute(settings: Settings, sealed: bool) -> None:
    found = rows()
    file_readings(settings, found)
    if sealed:
        seal_days(settings, FIRST, LAST)
    report = build_days(settings, FIRST, LAST, "test")
    checks: list[tuple[str, date, Callable[[datetime], object], object]] = [
        ("device_day", LAST, lambda ts: ts.date(), LAST),
        ("device_month", date(2025, 12, 1), lambda ts: ts.month, 12),
        ("device_month", date(2026, 1, 1), lambda ts: ts.month, 1),
        ("device_year", date(2025, 1, 1), lambda ts: ts.year, 2025),
        ("device_year", date(2026, 1, 1), lambda ts: ts.year, 2026),
    ]
    for model, day, period, wanted in checks:
        built = published(settings, model, day).sort("device_id")
        again = recomputed(found, period, wanted)
        assert_frame_equal(built.select(again.columns), again, rel_tol=1e-9, abs_tol=1e-9)
    assert report.runs == 1
    assert report.readings == len(found)
    assert sum(published(settings, "device_hour", FIRST + day * DAY)["count"].sum() for day in range(5)) == len(found)


def test_days_one_by_one_equal_days_at_once(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    file_readings(settings, rows())
    build_days(settings, FIRST, LAST, "at-once")
    before = published(settings, "device_year", date(2026, 1, 1))
    monkeypatch.setattr(build, "ROWS_AT_ONCE", 1)
    report = build_days(settings, FIRST, LAST, "one-by-one")
    assert report.runs == 5
    assert_frame_equal(published(settings, "device_year", date(2026, 1, 1)), before, rel_tol=1e-12)


def test_late_data_of_a_day_changes_its_month_and_year(settings: Settings) -> None:
    file_readings(settings, rows())
    build_days(settings, FIRST, LAST, "test")
    file_readings(settings, [Row(datetime(2026, 1, 1, 7, tzinfo=UTC), 9999.0, "a", "t", None).late(timedelta(days=2))])
    build_days(settings, date(2026, 1, 1), date(2026, 1, 1), "late")
    for model in ("device_month", "device_year"):
        assert published(settings, model, date(2026, 1, 1))["max"].max() == 9999.0


def test_a_day_without_readings_is_a_partition_without_rows(settings: Settings) -> None:
    day = date(2026, 2, calendar.monthrange(2026, 2)[1])
    build_days(settings, day, day, "test")
    for model, partition in (
        ("device_day", day),
        ("device_month", date(2026, 2, 1)),
        ("device_year", date(2026, 1, 1)),
    ):
        assert published(settings, model, partition).is_empty()


def test_windows_are_bounded(settings: Settings) -> None:
    with pytest.raises(ValueError, match="1 to 366 days"):
        build_days(settings, FIRST, FIRST + 366 * DAY, "test")


def test_what_comes_while_a_day_is_built_is_newer_than_the_day(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_readings(settings, rows())
    decoded: list[datetime] = []
    sources = make_day_sources

    def meanwhile(*arguments: Any) -> Corrected:
        decoded.append(utc_now())
        return sources(*arguments)

    monkeypatch.setattr(build, "make_day_sources", meanwhile)
    build_days(settings, FIRST, FIRST, "test")
    published = published_day(settings.paths, FIRST)
    assert published is not None
    assert published < decoded[0]
