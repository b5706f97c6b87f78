"""Service levels of devices from files: repetitions within and across landing minutes, quarantine, silence."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.readings.schema import DEVICE_SCHEMA, QUARANTINE_SCHEMA
from iot_pipeline.settings import Settings
from iot_pipeline.stats.build import build_days
from iot_pipeline.stats.corrections.correction import Action, new_correction
from iot_pipeline.stats.corrections.store import store
from iot_pipeline.stats.relations import minute_trees
from iot_pipeline.trees import MinuteTree
from tests.stats.fleet_world import published
from tests.stats.world import Row, file_readings, seal_days

THE_DAY = date(2026, 10, 27)
TEN = day_start(THE_DAY) + timedelta(hours=10)


def every_minute(device: str, count: int = 20, day: date = THE_DAY) -> list[Row]:
    begin = day_start(day) + timedelta(hours=10)
    return [Row(begin + index * MINUTE, float(index), device, "t", "C") for index in range(count)]


def slo(settings: Settings, day: date = THE_DAY) -> dict[str, dict[str, object]]:
    return {row["device_id"]: row for row in published(settings, "device_slo", day).iter_rows(named=True)}


@pytest.mark.parametrize("sealed", ["open", "sealed", "late"])
def test_copies_count_once_however_the_day_lies(settings: Settings, sealed: str) -> None:
    rows = every_minute("a")
    again = [row.late(timedelta(minutes=30)) for row in rows[:5]]
    file_readings(settings, rows if sealed == "late" else rows + again)
    if sealed != "open":
        seal_days(settings, THE_DAY, THE_DAY)
    if sealed == "late":
        file_readings(settings, again)
    within = pl.DataFrame([{"device_id": "a", "fleet": "f", "reading_duplicates": 2}], schema=DEVICE_SCHEMA)
    minute_trees(settings.paths)["devices"].write(TEN, within)
    build_days(settings, THE_DAY, THE_DAY, "test")
    assert slo(settings)["a"]["readings"] == 20
    assert slo(settings)["a"]["duplicates"] == 7


def test_only_what_is_known_to_be_a_devices_counts_for_it(settings: Settings) -> None:
    file_readings(settings, every_minute("a"))
    unread = {"received_at": TEN, "topic": "t", "reason": "bad_json"}
    rows = [
        {**unread, "message_id": "m1", "device_id": "a"},
        {**unread, "message_id": "m1", "device_id": "a"},
        {**unread, "message_id": "m2", "device_id": None},
    ]
    minute_trees(settings.paths)["quarantine"].write(TEN, pl.DataFrame(rows, schema=QUARANTINE_SCHEMA))
    build_days(settings, THE_DAY, THE_DAY, "test")
    assert {device: row["quarantined"] for device, row in slo(settings).items()} == {"a": 1}


def test_files_written_before_these_columns_are_read(settings: Settings) -> None:
    file_readings(settings, every_minute("a"))
    for name, added in (("devices", "reading_duplicates"), ("quarantine", "device_id")):
        tree = minute_trees(settings.paths)[name]
        before = {column: dtype for column, dtype in tree.schema.items() if column != added}
        MinuteTree(tree.root, before).write(TEN, pl.DataFrame([{}], schema=before))
    build_days(settings, THE_DAY, THE_DAY, "test")
    assert (slo(settings)["a"]["duplicates"], slo(settings)["a"]["quarantined"]) == (0, 0)


@pytest.mark.parametrize("at_once", [True, False])
def test_who_falls_silent_is_missed_for_a_week(settings: Settings, at_once: bool) -> None:
    file_readings(settings, every_minute("a"))
    days = [THE_DAY + index * DAY for index in range(9)]
    for first, last in [(days[0], days[8])] if at_once else [(days[index], days[index]) for index in (0, 7, 8)]:
        build_days(settings, first, last, "test")
    complete = [slo(settings, days[index]).get("a", {}).get("completeness_percent") for index in (0, 7, 8)]
    assert complete[0] is not None
    assert complete[1:] == [0.0, None]


@pytest.mark.parametrize("sealed", [True, False])
def test_dropped_readings_are_no_repetitions(settings: Settings, sealed: bool) -> None:
    file_readings(settings, every_minute("a"))
    dropped = new_correction(
        device_id="a",
        metric="t",
        unit=None,
        from_ts=TEN,
        to_ts=TEN + 3 * MINUTE,
        action=Action.DROP,
        author="ann",
        reason="wrong",
        factor=None,
        addend=None,
        replacement=None,
    )
    store(settings.paths, dropped)
    if sealed:
        seal_days(settings, THE_DAY, THE_DAY)
    build_days(settings, THE_DAY, THE_DAY, "test")
    assert (slo(settings)["a"]["readings"], slo(settings)["a"]["duplicates"]) == (17, 0)


def test_the_present_day_is_expected_until_now(settings: Settings) -> None:
    now = datetime.now(UTC)
    begin = max(day_start(now.date()), now - timedelta(minutes=20))
    rows = [Row(begin + index * timedelta(seconds=1), 1.0 + index, "a", "t", "C") for index in range(60)]
    file_readings(settings, rows)
    build_days(settings, begin.date(), begin.date(), "test")
    expected = slo(settings, begin.date())["a"]["expected"]
    assert isinstance(expected, int)
    assert expected <= (now - begin).total_seconds() + 60
