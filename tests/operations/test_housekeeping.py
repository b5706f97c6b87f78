"""What a night's housekeeping deletes, and what it leaves."""

import os
from datetime import UTC, date, datetime, timedelta

import pytest

from iot_pipeline.clock import MINUTE, utc_now
from iot_pipeline.operations.housekeeping import RUN_FOLDER_AGE, do_chores, find_chores
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings
from iot_pipeline.stats.sealing import GRACE, seal_day
from tests.stats.world import Row, file_readings

DAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.fixture
def paths(settings: Settings) -> DataPaths:
    return settings.paths


def files(paths: DataPaths) -> set[str]:
    return {path.relative_to(paths.root).as_posix() for path in paths.root.rglob("*.parquet")}


def test_nothing_is_to_be_done_on_an_empty_folder(paths: DataPaths) -> None:
    chores = find_chores(paths, utc_now())
    assert (chores.superseded, chores.run_folders) == ((), ())
    do_chores(paths, chores, utc_now())


def test_what_a_sealed_day_holds_goes_after_the_grace(settings: Settings, paths: DataPaths) -> None:
    file_readings(settings, [Row(TEN), Row(TEN + MINUTE)])
    seal_day(settings, DAY)
    assert find_chores(paths, utc_now()).superseded == ()
    later = utc_now() + GRACE + MINUTE
    chores = find_chores(paths, later)
    assert len(chores.superseded) == 2
    do_chores(paths, chores, later)
    assert {name.split("/")[1] for name in files(paths)} == {"sealed"}
    assert find_chores(paths, later).superseded == ()


def test_late_readings_of_a_sealed_day_stay(settings: Settings, paths: DataPaths) -> None:
    file_readings(settings, [Row(TEN)])
    seal_day(settings, DAY)
    file_readings(settings, [Row(TEN + timedelta(seconds=5)).late(timedelta(hours=1))])
    later = utc_now() + GRACE + MINUTE
    do_chores(paths, find_chores(paths, later), later)
    assert [name for name in files(paths) if "/open/" in name] == [
        "readings/open/dt=2026-11-20/hm=1000/landed-20261120T1059.parquet"
    ]


def test_landing_is_never_touched(settings: Settings, paths: DataPaths) -> None:
    landed = paths.landing / "dt=2010-01-01" / "hm=0000" / "collector-1-1.parquet"
    landed.parent.mkdir(parents=True)
    landed.write_bytes(b"whatever")
    file_readings(settings, [Row(TEN)])
    seal_day(settings, DAY)
    later = utc_now() + timedelta(days=365)
    do_chores(paths, find_chores(paths, later), later)
    assert landed.exists()


def test_run_folders_that_a_crash_left_go_after_a_day(paths: DataPaths) -> None:
    runs = paths.tmp / "dbt" / "runs"
    old, young = runs / "old", runs / "young"
    for folder in (old, young):
        folder.mkdir(parents=True)
    now = utc_now()
    past = (now - RUN_FOLDER_AGE - MINUTE).timestamp()
    os.utime(old, (past, past))
    chores = find_chores(paths, now)
    assert chores.run_folders == (old,)
    do_chores(paths, chores, now)
    assert (old.exists(), young.exists()) == (False, True)


def test_looking_changes_nothing(settings: Settings, paths: DataPaths) -> None:
    file_readings(settings, [Row(TEN)])
    seal_day(settings, DAY)
    before = files(paths)
    assert find_chores(paths, utc_now() + GRACE + MINUTE).superseded
    assert files(paths) == before
