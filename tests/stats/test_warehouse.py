import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from iot_pipeline.clock import MINUTE
from iot_pipeline.files import write_parquet
from iot_pipeline.readings.schema import DEVICE_SCHEMA
from iot_pipeline.settings import Settings
from iot_pipeline.stats.build import build_days, build_minutes_stats
from iot_pipeline.stats.relations import (
    DAY_MODELS,
    DEVICE_MINUTE_SCHEMA,
    DIM_DEVICE_SCHEMA,
    device_minute_tree,
    dim_device_file,
)
from iot_pipeline.stats.sealing import seal_day
from iot_pipeline.stats.views import view_queries
from iot_pipeline.stats.warehouse import connect, publish_catalog
from iot_pipeline.trees import MinuteTree
from tests.stats.world import Row, file_readings

TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
DAY = TEN.date()
DAY_LONG = timedelta(days=1)
VIEWS = {
    "readings",
    "readings_raw",
    "corrections",
    "quarantine",
    "intake",
    "devices",
    "device_minute",
    "state_minute",
    "anomaly_day_flags",
    "anomaly_events",
    "anomaly_flags",
    "anomaly_models",
    "dim_device",
    *(model.name for model in DAY_MODELS),
}

# A program that keeps the catalog open read-write and answers one query a line, as a person's shell would.
HOLDER = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
print("open", flush=True)
for line in sys.stdin:
    print(connection.execute(line).fetchall(), flush=True)
"""


def minute_rows(minute: datetime, value: float, rows: int = 1) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (minute, f"d{index}", "t", "C", 1, value, value, value, None, value, value, value, value)
            for index in range(rows)
        ],
        schema=DEVICE_MINUTE_SCHEMA,
        orient="row",
    )


def test_every_view_works_on_an_empty_data_folder(settings: Settings) -> None:
    with connect(settings.paths) as connection:
        assert set(view_queries(settings.paths)) == VIEWS
        for view in VIEWS:
            assert connection.execute(f"select count(*) from {view}").fetchall() == [(0,)]


def test_the_catalog_has_views_with_comments_and_is_written_once(settings: Settings) -> None:
    assert publish_catalog(settings.paths)
    assert not publish_catalog(settings.paths)
    with duckdb.connect(settings.paths.warehouse, read_only=True) as catalog:
        [[tables]] = catalog.execute("select count(*) from duckdb_tables()").fetchall()
        commented = catalog.execute("select view_name from duckdb_views() where comment is not null").fetchall()
        bare = catalog.execute(
            "select table_name, column_name from duckdb_columns() where not internal and comment is null"
        ).fetchall()
    assert tables == 0
    assert {name for (name,) in commented} == VIEWS
    assert bare == []


def test_the_catalog_is_published_where_the_folder_moved_to(settings: Settings, tmp_path: Path) -> None:
    publish_catalog(settings.paths)
    moved = tmp_path / "moved"
    settings.paths.root.rename(moved)
    there = settings.model_copy(update={"data": moved})
    assert publish_catalog(there.paths)
    with duckdb.connect(there.paths.warehouse, read_only=True) as catalog:
        assert catalog.execute("select count(*) from device_minute").fetchall() == [(0,)]


def test_a_program_that_holds_the_catalog_blocks_nobody_and_sees_what_is_published(settings: Settings) -> None:
    publish_catalog(settings.paths)
    tree = device_minute_tree(settings.paths)
    arguments = [sys.executable, "-c", HOLDER, str(settings.paths.warehouse)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"

        def ask(sql: str) -> str:
            print(sql, file=holder.stdin, flush=True)
            return holder.stdout.readline().strip() if holder.stdout else ""

        for value in range(40):
            # The same name and the same size, again and again: nothing stale may be answered.
            tree.write(TEN, minute_rows(TEN, float(value), rows=50))
            assert (
                ask("select max(value), count(*) from (select max as value from device_minute)") == f"[({value}.0, 50)]"
            )
        tree.write(TEN + MINUTE, minute_rows(TEN + MINUTE, 99.0))
        assert ask("select max(max) from device_minute") == "[(99.0,)]"
        ask("create table notes (text varchar)")
        # With the program's write-ahead log beside it, the catalog is replaced and can be opened.
        (settings.paths.tmp / "warehouse.sha256").unlink()
        assert publish_catalog(settings.paths)
        with duckdb.connect(settings.paths.warehouse) as catalog:
            assert catalog.execute("select max(max) from device_minute").fetchall() == [(99.0,)]
        tree.seal(DAY)
        assert ask("select max(max), count(*) from device_minute") == "[(99.0, 51)]"
        holder.stdin.close()
        assert holder.wait(timeout=30) == 0


@pytest.mark.parametrize("view", ["device_minute", "readings"])
def test_each_row_is_seen_once_while_days_are_sealed_again_and_again(settings: Settings, view: str) -> None:
    """Readers list files while versions appear: a row is never missing and never double."""
    tree = device_minute_tree(settings.paths)
    done = threading.Event()
    counts: list[int] = []

    def read() -> None:
        with connect(settings.paths) as connection:
            while not done.is_set():
                [[count]] = connection.execute(f"select count(*) from {view} where device_id = 'd0'").fetchall()
                counts.append(count)

    tree.write(TEN, minute_rows(TEN, 0.0))
    file_readings(settings, [Row(TEN, 0.0, "d0")])
    reader = threading.Thread(target=read)
    reader.start()
    value = 0
    while value < 40 or len(counts) < 6:
        value += 1
        if view == "device_minute":
            tree.seal(DAY)
            tree.write(TEN, minute_rows(TEN, float(value)))
        else:
            seal_day(settings, DAY)
            file_readings(settings, [Row(TEN, float(value), "d0")])
    done.set()
    reader.join()
    assert set(counts) == {1}


def test_filters_reach_the_files(settings: Settings) -> None:
    file_readings(settings, [Row(TEN + timedelta(days=day)) for day in range(3)])
    seal_day(settings, DAY)
    with connect(settings.paths) as connection:
        query = (
            "explain analyze select value from readings where dt = date '2026-11-21' and device_id = 'pump' "
            "and event_ts >= timestamptz '2026-11-21 10:00:00+00'"
        )
        [[_, plan]] = connection.execute(query).fetchall()
        windowed = plan[plan.index("WINDOW") :] if "WINDOW" in plan else plan
    # The filters stand at the scans, below the deduplication of open days.
    assert "device_id" in windowed
    assert "Files Read: 1" in " ".join(plan.split()) or "Scanning Files: 1/" in plan


def test_views_and_marts_agree(settings: Settings) -> None:
    file_readings(settings, [Row(TEN + timedelta(seconds=second), float(second)) for second in range(120)])
    build_minutes_stats(settings, TEN, TEN + MINUTE, "test")
    build_days(settings, DAY, DAY, "test")
    with connect(settings.paths) as connection:
        for view in ("device_minute", "device_hour", "device_day", "device_month", "device_year"):
            [[count, largest]] = connection.execute(f"select sum(count), max(max) from {view}").fetchall()
            assert (count, largest) == (120, 119.0)
        [[day]] = connection.execute("select distinct dt from device_day").fetchall()
    assert day == date(2026, 11, 20)


def test_queries_work_without_access_to_other_files(settings: Settings) -> None:
    file_readings(settings, [Row(TEN)])
    with connect(settings.paths) as connection:
        connection.execute(f"set allowed_directories = ['{settings.paths.root}{os.sep}']")
        connection.execute("set enable_external_access = false")
        assert connection.execute("select count(*) from readings").fetchall() == [(1,)]
        with pytest.raises(duckdb.PermissionException):
            connection.execute("select * from read_text('/etc/passwd')")


def test_devices_written_before_they_had_a_state_are_still_seen(settings: Settings) -> None:
    paths = settings.paths
    before = {name: kind for name, kind in DEVICE_SCHEMA.items() if not name.startswith("state")}
    row = {"device_id": "a", "fleet": "f", "attributes": '{"type":"pump"}', "reading_count": 1}
    seen = dict.fromkeys(("first_event_ts", "last_event_ts", "last_received_at"), TEN)
    earlier = MinuteTree(paths.devices, before)
    earlier.write(TEN, pl.DataFrame([row | seen], schema=before))
    earlier.write(TEN - DAY_LONG, pl.DataFrame([row | seen], schema=before))
    earlier.seal((TEN - DAY_LONG).date())
    known = pl.DataFrame([{"device_id": "a", "fleet": "f", "attributes_told": "{}"}], schema=DIM_DEVICE_SCHEMA)
    write_parquet(known.select(pl.exclude("^(state|host).*$")), dim_device_file(paths))
    with connect(paths) as connection:
        assert connection.execute("select device_id, state from devices").fetchall() == [("a", None)] * 2
        assert connection.execute("select device_id, state from dim_device").fetchall() == [("a", None)]
    build_minutes_stats(settings, TEN, TEN, "test")
    with connect(paths) as connection:
        assert connection.execute("select type, state from dim_device").fetchall() == [("pump", None)]
