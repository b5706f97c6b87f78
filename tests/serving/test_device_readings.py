"""Single readings of one device: open, sealed, late and corrected, always as the statistics count them."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.serving.readings import DEVICE_READINGS_KEY, device_readings
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.correction_effect import record
from iot_pipeline.stats.corrections.correction import Action
from iot_pipeline.stats.current import read_current
from iot_pipeline.stats.sealing import seal_day
from tests.serving.recorded_live import RecordedLive, reading
from tests.serving.served import problem, serving
from tests.stats.test_corrections import correction
from tests.stats.world import Row, file_readings

DAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
PUMP = 'pump/1 "ü"'
RANGE = {"since": "2026-11-20T10:00:00Z", "until": "2026-11-20T10:10:00Z"}


def rows() -> list[Row]:
    """Ten minutes of two devices, with a repetition, a unit that is not known, and text."""
    found = [
        Row(TEN + timedelta(seconds=30 * index), float(index), device, message_id=f"c-1-{index}")
        for device in (PUMP, "valve")
        for index in range(20)
    ]
    found.append(Row(TEN, 5.0, PUMP, unit=None, message_id="c-1-100"))
    found.append(Row(TEN, None, PUMP, "state", None, text="on", message_id="c-1-101"))
    repeated = Row(TEN, 0.0, PUMP, message_id="c-2-0").late(timedelta(minutes=4))
    return [*found, repeated]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load_settings(data=tmp_path / "data")
    file_readings(settings, rows())
    return settings


def of_pump(settings: Settings) -> pl.DataFrame:
    return device_readings(settings.paths, PUMP, TEN, TEN + timedelta(minutes=10))


def expected(settings: Settings) -> pl.DataFrame:
    """What statistics are made of."""
    found = read_current(settings, TEN, TEN + timedelta(minutes=9))
    return found.filter(pl.col("device_id") == PUMP).sort(DEVICE_READINGS_KEY, nulls_last=False)


def test_readings_of_an_open_and_of_a_sealed_day_are_the_same(settings: Settings) -> None:
    opened = of_pump(settings)
    assert opened.height == 22
    assert_frame_equal(opened.select(list(READING_SCHEMA)), expected(settings))
    seal_day(settings, DAY)
    assert_frame_equal(of_pump(settings), opened)


def test_what_comes_after_the_seal_is_seen_at_once(settings: Settings) -> None:
    seal_day(settings, DAY)
    file_readings(settings, [Row(TEN + timedelta(seconds=1), 99.0, PUMP).late(timedelta(hours=5))])
    assert of_pump(settings)["value"].to_list().count(99.0) == 1
    assert_frame_equal(of_pump(settings).select(list(READING_SCHEMA)), expected(settings))


def test_corrections_count_and_are_named(settings: Settings) -> None:
    seal_day(settings, DAY)
    made = correction(Action.SCALE, factor=2.0, device=PUMP, unit="bar")
    record(settings, made)
    found = of_pump(settings).filter(pl.col("unit") == "bar")
    assert found["value"].to_list()[:4] == [0.0, 2.0, 2.0, 3.0]
    assert found["corrected_by"].to_list()[:3] == [[made.id], [made.id], None]


def test_metric_unit_and_range_narrow_it(settings: Settings) -> None:
    until = TEN + timedelta(seconds=60)
    found = device_readings(settings.paths, PUMP, TEN, until, metric="pressure", unit="bar")
    assert found["value"].to_list() == [0.0, 1.0]
    assert device_readings(settings.paths, "nobody", TEN, until).is_empty()


def test_without_readings_one_is_asked_to_come_again(tmp_path: Path) -> None:
    with pytest.raises(NotPublished):
        device_readings(load_settings(data=tmp_path).paths, PUMP, TEN, TEN + timedelta(minutes=1))


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings, RecordedLive([reading(PUMP)])) as client:
        yield client


def get(api: httpx.Client, **asked: object) -> dict[str, Any]:
    answer = api.get("/api/v1/devices/readings", params={name: str(value) for name, value in asked.items()})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def test_pages_are_the_whole_without_repetition(api: httpx.Client) -> None:
    whole = get(api, device_id=PUMP, **RANGE)["readings"]
    assert len(whole) == 22
    assert [(one["metric"], one["unit"], one["message_id"]) for one in whole[:3]] == [
        ("pressure", None, "c-1-100"),
        ("pressure", "bar", "c-1-0"),
        ("state", None, "c-1-101"),
    ]
    pages, cursor = [], None
    while True:
        page = get(api, device_id=PUMP, limit=2, **RANGE, **({"cursor": cursor} if cursor else {}))
        pages += page["readings"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == whole


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z", "empty"),
        ("2026-11-20T11:00:00Z", "2026-11-20T10:00:00Z", "reversed"),
        ("2999-01-01T00:00:00Z", "2999-01-01T01:00:00Z", "future"),
        ("2026-11-18T00:00:00Z", "2026-11-20T00:00:00Z", "at most 1 day"),
    ],
)
def test_a_range_that_cannot_be_is_told_with_what_can(api: httpx.Client, since: str, until: str, told: str) -> None:
    asked = {"device_id": PUMP, "since": since, "until": until}
    assert told in problem(api.get("/api/v1/devices/readings", params=asked), 422)["detail"]


def test_a_device_without_readings_then_is_empty_and_one_that_never_was_is_unknown(api: httpx.Client) -> None:
    assert get(api, device_id=PUMP, since="2026-11-20T11:00:00Z", until="2026-11-20T12:00:00Z")["readings"] == []
