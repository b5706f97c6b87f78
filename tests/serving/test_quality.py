"""Data quality as the page shows it: fleets and devices of a day, the account of messages, what could not be read."""

import shlex
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from iot_pipeline.cli import app
from iot_pipeline.clock import MINUTE, floor_minute
from iot_pipeline.files import write_parquet
from iot_pipeline.readings.schema import QUARANTINE_SCHEMA
from iot_pipeline.serving import quality
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.settings import Settings
from iot_pipeline.stats.relations import DEVICE_SLO_SCHEMA, minute_trees, prepare_relations, published_file
from tests.test_cli import command_names

DAY = date(2026, 11, 20)
NOW = datetime(2026, 11, 20, 10, 0, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
SILENT = {"readings": 0, "completeness_percent": 0.0}


def slo(device: str, figures: Mapping[str, float], of: str = "f") -> dict[str, object]:
    zeros = dict.fromkeys(("duplicates", "flat_line_minutes", "quarantined", "series", "constant_series"), 0)
    return {"day": DAY, "device_id": device, "fleet": of, "readings": 100, "regular_series": 1, **zeros, **figures}


def publish(settings: Settings, *rows: dict[str, object]) -> None:
    write_parquet(pl.DataFrame(rows, schema=DEVICE_SLO_SCHEMA), published_file(settings.paths, "device_slo", DAY))


def whole(percent: float, **figures: float) -> dict[str, float]:
    return {"expected": 100, "missing": round(100 - percent), "completeness_percent": percent, **figures}


def test_fleets_are_weighed_by_what_was_expected(settings: Settings) -> None:
    publish(
        settings,
        slo("a", whole(50.0, lateness_p95_seconds=1.0, gaps=2, longest_gap_seconds=60.0)),
        slo("b", whole(100.0, lateness_p95_seconds=3.0, gaps=0, longest_gap_seconds=0.0)),
        slo("c", SILENT),
        slo("d", {"quarantined": 4}, of="irregular"),
    )
    first, second = quality.fleets_of(settings.paths, DAY)
    assert (first.fleet, first.devices, first.silent, first.completeness_percent) == ("f", 3, 1, 75.0)
    assert (first.lateness_p95_seconds, first.worst_lateness_seconds, first.gaps) == (2.0, 3.0, 2)
    assert (second.fleet, second.completeness_percent, second.quarantined) == ("irregular", None, 4)


def test_devices_with_something_wrong_come_worst_first(settings: Settings) -> None:
    publish(
        settings,
        slo("fine", whole(100.0)),
        slo("unread", whole(100.0, quarantined=2)),
        slo("half", whole(50.0)),
        slo("silent", SILENT),
        slo("elsewhere", whole(1.0), of="g"),
    )
    assert quality.worst_devices(settings.paths, DAY, fleet="f")["device_id"].to_list() == ["silent", "half", "unread"]
    assert quality.worst_devices(settings.paths, DAY, limit=1)["device_id"].to_list() == ["silent"]


def test_a_day_that_was_not_built_is_not_published(settings: Settings) -> None:
    prepare_relations(settings.paths)
    assert quality.slo_days(settings.paths) == []
    with pytest.raises(NotPublished, match="2026-11-20"):
        quality.fleets_of(settings.paths, DAY)


def test_the_account_names_minutes_that_do_not_add_up(settings: Settings) -> None:
    tree, minute = minute_trees(settings.paths)["intake"], floor_minute(NOW) - MINUTE
    good = {"minute": minute, "messages": 3, "decoded": 1, "duplicates": 1, "no_reading": 0, "quarantined": 1}
    tree.write(minute, pl.DataFrame([good], schema=tree.schema))
    bad = good | {"minute": minute - MINUTE, "messages": 4}
    tree.write(minute - MINUTE, pl.DataFrame([bad], schema=tree.schema))
    found = quality.account(settings.paths, NOW, HOUR)
    assert found.total("messages") == 7
    assert found.broken == (minute - MINUTE,)


def test_quarantine_tells_reasons_samples_and_what_to_do(settings: Settings) -> None:
    row = {"received_at": NOW, "topic": "a/b", "payload_size": 9, "reason": "bad_json", "detail": "cut", "mapping": "m"}
    rows = [
        {**row, "payload": b'{"\x1b[31m\xff', "message_id": "1", "device_id": "a"},
        {**row, "payload": b"x" * 1000, "message_id": "2", "device_id": None},
    ]
    tree, minute = minute_trees(settings.paths)["quarantine"], floor_minute(NOW)
    tree.write(minute, pl.DataFrame(rows, schema=QUARANTINE_SCHEMA))
    (reason,) = quality.reasons(settings.paths, NOW, HOUR)
    assert (reason.reason, reason.messages, reason.unattributed) == ("bad_json", 2, 1)
    newest, older = quality.samples(settings.paths, NOW, HOUR, reason="bad_json")
    assert len(newest.payload) == quality.SAMPLE_BYTES
    assert older.payload == '{"\\x1b[31m\\xff'
    assert quality.samples(settings.paths, NOW, HOUR, reason="clock") == []
    for _, line in quality.commands(reason):
        assert " ".join(shlex.split(line)[1:3]) in command_names(app)


def test_builds_that_failed_are_found(settings: Settings) -> None:
    folder = settings.paths.tmp / "dbt" / "failed" / "6f1c-0-abcd1234"
    folder.mkdir(parents=True)
    now = datetime.now(UTC)
    assert [one.run_id for one in quality.failed_builds(settings.paths, now)] == ["6f1c-0"]
    assert quality.failed_builds(settings.paths, now + timedelta(days=2)) == []
