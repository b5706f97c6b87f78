"""Retention: what goes, what is held back, and that a removed day is final."""

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl
import pytest

from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.clock import DAY, MINUTE, day_start, utc_now
from iot_pipeline.errors import DataError, SettingsError
from iot_pipeline.operations import retention
from iot_pipeline.operations.retention import apply_retention, empty_trash, plan_retention, trash, warnings
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.readings.backlog import undecoded
from iot_pipeline.readings.build import build_minutes, quarantine_tree
from iot_pipeline.readings.language.mapping import load_mappings
from iot_pipeline.retained import Level, RemovedError, kept_since, mark_kept_since
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.build import build_days, build_minutes_stats
from iot_pipeline.stats.published import days_with_readings
from iot_pipeline.stats.relations import DAY_MODELS, device_minute_tree, minute_trees, prepare_relations, published_file
from iot_pipeline.stats.sealing import seal_day, seal_minutes
from iot_pipeline.stats.warehouse import connect
from tests.readings.landed import land
from tests.stats.world import Row, file_readings

TODAY = utc_now().date()
NOW = day_start(TODAY) + timedelta(hours=1)
MAPPINGS = load_mappings(None)
PAYLOAD = b'{"deviceid": "station", "temperature": 9.5, "time": "%s"}'


def observed(event: datetime, received: datetime | None = None) -> tuple[datetime, str, bytes]:
    payload = PAYLOAD % event.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode()
    return received or event, "weather/station/observation", payload


def ago(days: int, hours: float = 10) -> datetime:
    return day_start(TODAY - days * DAY) + timedelta(hours=hours)


@pytest.fixture
def keeping(tmp_path: Path) -> Settings:
    """A window of two days; landing is kept for three days, readings for five, minutes for two."""
    return load_settings(
        data=tmp_path / "data",
        minute_window_days=2,
        retention_landing_days=3,
        retention_readings_days=5,
        retention_minute_days=2,
    )


def plan_of(settings: Settings, level: Level, now: datetime = NOW) -> retention.LevelPlan:
    return next(plan for plan in plan_retention(settings, now) if plan.level is level)


def mark_built(settings: Settings, day: date) -> None:
    """As if the statistics of the day had been built just now."""
    path = published_file(settings.paths, "device_day", day)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    # As publishing does: the clock of files is some milliseconds behind.
    os.utime(path, (utc_now().timestamp(),) * 2)


def folders(paths: DataPaths) -> set[str]:
    return {path.relative_to(paths.root).as_posix() for path in paths.root.rglob("dt=*") if any(path.rglob("*.*"))}


def test_without_settings_everything_is_kept(settings: Settings) -> None:
    land(settings, [observed(ago(400))])
    plans = plan_retention(settings, NOW)
    assert [(plan.keep_days, plan.days) for plan in plans] == [(None, ())] * 4
    assert apply_retention(settings, plans) == 0
    assert kept_since(settings.paths, Level.LANDING) is None


def test_landing_goes_with_its_quarantine_and_ledger(keeping: Settings) -> None:
    for days in (2, 3, 4, 9):
        minutes = land(keeping, [observed(ago(days)), (ago(days), "nobody/knows", b"1")])
        build_minutes(keeping, MAPPINGS, minutes)
        journal = keeping.paths.ledger / "landing" / "c-1" / f"{ago(days):%Y-%m-%d}.jsonl"
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.write_text("{}\n")
    plan = plan_of(keeping, Level.LANDING)
    assert plan.days == (TODAY - 9 * DAY, TODAY - 4 * DAY)
    assert plan.files == 2 * 5  # landed, filed, quarantine, devices, ledger
    assert plan.bytes > 0
    apply_retention(keeping, [plan])
    assert plan_of(keeping, Level.LANDING).days == ()
    kept = {TODAY - 3 * DAY, TODAY - 2 * DAY}
    assert {name for name in folders(keeping.paths) if name.startswith(("landing", "quarantine", "devices"))} == {
        f"{root}/dt={day}" for day in kept for root in ("landing", "quarantine/open", "devices/open")
    }
    assert len(list((keeping.paths.ledger / "landing" / "c-1").iterdir())) == 2
    # The account of what landed stays, and so do readings.
    assert len(list((keeping.paths.intake / "open").glob("dt=*"))) == 4
    assert len(days_with_readings(keeping.paths)) == 4


def test_messages_that_were_not_decoded_stay(keeping: Settings) -> None:
    [minute] = land(keeping, [observed(ago(6))])
    land(keeping, [observed(ago(5))])
    [third] = land(keeping, [observed(ago(9))])
    build_minutes(keeping, MAPPINGS, [third])
    plan = plan_of(keeping, Level.LANDING)
    assert (plan.days, plan.held) == ((TODAY - 9 * DAY,), (TODAY - 6 * DAY, TODAY - 5 * DAY))
    assert plan.why_held == "not decoded yet"
    build_minutes(keeping, MAPPINGS, undecoded(keeping.paths, before=NOW))
    assert plan_of(keeping, Level.LANDING).days == (TODAY - 9 * DAY, minute.date(), TODAY - 5 * DAY)


def test_a_landing_minute_that_was_removed_is_not_decoded_to_nothing(keeping: Settings) -> None:
    minutes = land(keeping, [observed(ago(9))])
    build_minutes(keeping, MAPPINGS, minutes)
    apply_retention(keeping, plan_retention(keeping, NOW))
    with pytest.raises(RemovedError, match="removed by retention"):
        build_minutes(keeping, MAPPINGS, minutes)
    assert days_with_readings(keeping.paths) == [TODAY - 9 * DAY]


def test_the_minute_window_is_kept_whatever_the_settings_say(tmp_path: Path) -> None:
    start = TODAY - 20 * DAY
    settings = load_settings(data=tmp_path, minute_window_days=1, minute_start=start, retention_landing_days=1)
    for days in (5, 21):
        build_minutes(settings, MAPPINGS, land(settings, [observed(ago(days))]))
    assert plan_of(settings, Level.LANDING).days == (TODAY - 21 * DAY,)


@pytest.mark.parametrize("sealed", [True, False])
def test_readings_go_whole_and_their_statistics_stay(keeping: Settings, sealed: bool) -> None:
    prepare_relations(keeping.paths)
    for days in (5, 6):
        file_readings(keeping, [Row(ago(days)), Row(ago(days) + MINUTE)])
        if sealed:
            seal_day(keeping, TODAY - days * DAY)
        mark_built(keeping, TODAY - days * DAY)
    plan = plan_of(keeping, Level.READINGS)
    assert plan.days == (TODAY - 6 * DAY,)
    apply_retention(keeping, [plan])
    with connect(keeping.paths) as connection:
        assert connection.execute("select dt, count(*) from readings group by dt").fetchall() == [(TODAY - 5 * DAY, 2)]
    assert published_file(keeping.paths, "device_day", TODAY - 6 * DAY).exists()
    assert not trash(keeping.paths).exists() or not any(trash(keeping.paths).iterdir())


def test_readings_wait_for_the_statistics_of_their_day(keeping: Settings) -> None:
    file_readings(keeping, [Row(ago(7))])
    day = TODAY - 7 * DAY
    assert plan_of(keeping, Level.READINGS).held == (day,)
    mark_built(keeping, day)
    assert plan_of(keeping, Level.READINGS).days == (day,)
    path = published_file(keeping.paths, "device_day", day)
    os.utime(path, (0, 0))
    assert plan_of(keeping, Level.READINGS).held == (day,)


def test_a_removed_day_is_final(keeping: Settings) -> None:
    """Whoever asks, nothing is built from what is left of it, and late readings for it are told of."""
    day = TODAY - 6 * DAY
    file_readings(keeping, [Row(ago(6))])
    mark_built(keeping, day)
    apply_retention(keeping, plan_retention(keeping, NOW))
    for build in (
        lambda: build_days(keeping, day, TODAY, "test"),
        lambda: seal_day(keeping, day),
        lambda: build_minutes_stats(keeping, ago(6), ago(6), "test"),
        lambda: score_minutes(keeping, ago(6), ago(6)),
    ):
        with pytest.raises(RemovedError, match=f"Ask for {TODAY - 5 * DAY} and later"):
            build()
    received = ago(0, 0.5)
    [minute] = land(keeping, [observed(ago(6), received), observed(ago(5), received), observed(received)])
    [intake] = build_minutes(keeping, MAPPINGS, [minute])
    assert (intake.decoded, intake.quarantined) == (2, 1)
    assert intake.touched_days == (TODAY - 5 * DAY,)
    rows = quarantine_tree(keeping.paths).read(minute, minute)
    assert rows["reason"].to_list() == ["clock"]
    assert "readings are kept" in rows["detail"][0]
    assert day not in days_with_readings(keeping.paths)


def test_decoding_again_leaves_no_empty_files_in_a_removed_day(keeping: Settings) -> None:
    received = ago(1)
    minutes = land(keeping, [observed(ago(6), received), observed(received)])
    [first] = build_minutes(keeping, MAPPINGS, minutes)
    assert first.touched_days == (TODAY - 6 * DAY,)
    mark_built(keeping, TODAY - 6 * DAY)
    apply_retention(keeping, plan_retention(keeping, NOW))
    [again] = build_minutes(keeping, MAPPINGS, minutes)
    assert (again.decoded, again.quarantined, again.touched_days) == (1, 1, ())
    assert not day_folder(keeping.paths.readings / "open", TODAY - 6 * DAY).exists()


def test_statistics_by_minute_go_open_and_sealed(keeping: Settings) -> None:
    prepare_relations(keeping.paths)
    tree, flags = device_minute_tree(keeping.paths), minute_trees(keeping.paths)["anomaly_flags"]
    for days in (2, 3, 4):
        tree.write(ago(days), tree.empty())
        flags.write(ago(days), flags.empty())
    seal_minutes(keeping.paths, before=TODAY - 3 * DAY)
    apply_retention(keeping, [plan_of(keeping, Level.MINUTE)])
    assert (tree.open_days(), tree.sealed.days()) == ([TODAY - 2 * DAY], [])
    assert (flags.open_days(), flags.sealed.days()) == ([TODAY - 2 * DAY], [])
    with connect(keeping.paths) as connection:
        assert connection.execute("select count(*) from device_minute").fetchall() == [(0,)]


def test_days_go_by_whole_months_and_months_and_years_stay(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, retention_readings_days=14, retention_day_days=40)
    now = datetime(2026, 11, 22, 1, tzinfo=UTC)
    for model in DAY_MODELS:
        for day in (date(2026, 8, 31), date(2026, 9, 1), date(2026, 10, 13), date(2026, 11, 1)):
            path = published_file(settings.paths, model.name, model.partition(day))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    plan = plan_of(settings, Level.DAY, now)
    assert plan.days == (date(2026, 8, 31), date(2026, 9, 1))
    apply_retention(settings, [plan])
    kept = {model.name: len(list((settings.paths.marts / model.name).glob("dt=*"))) for model in DAY_MODELS}
    expected = {"hour": 2, "day": 2, "month": 4, "year": 1}
    assert kept == {model.name: expected[model.period] for model in DAY_MODELS}
    assert kept_since(settings.paths, Level.DAY) == date(2026, 9, 2)


def test_a_night_removes_so_many_days_and_the_next_goes_on(keeping: Settings) -> None:
    for days in (6, 7, 8):
        build_minutes(keeping, MAPPINGS, land(keeping, [observed(ago(days))]))
    plan = plan_of(keeping, Level.LANDING)
    assert apply_retention(keeping, [plan], most_days=2) == 2
    assert kept_since(keeping.paths, Level.LANDING) == TODAY - 6 * DAY
    assert plan_of(keeping, Level.LANDING).days == (TODAY - 6 * DAY,)


def test_after_a_crash_the_next_call_completes_the_work(keeping: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for days in (6, 7):
        file_readings(keeping, [Row(ago(days))])
        seal_day(keeping, TODAY - days * DAY)
        mark_built(keeping, TODAY - days * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _dying(after=1))
        with pytest.raises(KeyboardInterrupt):
            apply_retention(keeping, plan_retention(keeping, NOW))
    # Open files are gone, the sealed version of the day is whole.
    prepare_relations(keeping.paths)
    with connect(keeping.paths) as connection:
        assert connection.execute("select count(*) from readings").fetchall() == [(2,)]
    assert any(trash(keeping.paths).iterdir())
    apply_retention(keeping, plan_retention(keeping, NOW))
    assert days_with_readings(keeping.paths) == []
    assert not any((keeping.paths.readings / "sealed").glob(f"dt={TODAY.year}*"))
    assert not any(trash(keeping.paths).iterdir())
    empty_trash(keeping.paths)


def _dying(*, after: int):  # type: ignore[no-untyped-def]
    rename, calls = Path.rename, []

    def renaming(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) > after:
            raise KeyboardInterrupt
        return rename(self, target)

    return renaming


def test_readers_see_a_day_whole_or_not_at_all(keeping: Settings) -> None:
    prepare_relations(keeping.paths)
    days = [TODAY - number * DAY for number in range(6, 26)]
    for number, day in enumerate(days):
        file_readings(keeping, [Row(day_start(day) + second * MINUTE) for second in range(5)])
        if number % 2:
            seal_day(keeping, day)
        mark_built(keeping, day)
    seen: list[int] = []
    refused: list[str] = []
    done = threading.Event()

    def read() -> None:
        with connect(keeping.paths) as connection:
            while not done.is_set():
                try:
                    rows = connection.execute("select dt, count(*) from readings group by dt").fetchall()
                except duckdb.IOException as error:  # A day that left between listing and opening.
                    refused.append(str(error))
                else:
                    seen.extend(count for _, count in rows)

    reader = threading.Thread(target=read)
    reader.start()
    apply_retention(keeping, plan_retention(keeping, NOW))
    done.set()
    reader.join()
    assert set(seen) <= {5}
    assert days_with_readings(keeping.paths) == []


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"retention_landing_days": 13}, "IOT_RETENTION_LANDING_DAYS=13 is less than IOT_MINUTE_WINDOW_DAYS=14"),
        ({"retention_runs_days": 1}, "IOT_RETENTION_RUNS_DAYS=1"),
        ({"retention_day_days": 400}, "needs IOT_RETENTION_READINGS_DAYS"),
        ({"retention_day_days": 400, "retention_readings_days": 500}, "needs IOT_RETENTION_READINGS_DAYS"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, int], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        load_settings(**wrong)


def test_settings_that_surprise_are_told_of() -> None:
    assert warnings(load_settings()) == []
    [told] = warnings(load_settings(retention_readings_days=14, max_lateness_seconds=30 * 86_400))
    assert "30 days late" in told
    assert "what a mapping read wrongly" in warnings(load_settings(retention_landing_days=14))[0]


def test_the_record_never_goes_back_and_is_never_guessed(data_paths: DataPaths) -> None:
    mark_kept_since(data_paths, Level.LANDING, date(2026, 11, 2))
    mark_kept_since(data_paths, Level.LANDING, date(2026, 11, 1))
    mark_kept_since(data_paths, Level.READINGS, date(2026, 10, 1))
    assert kept_since(data_paths, Level.LANDING) == date(2026, 11, 2)
    assert kept_since(data_paths, Level.READINGS) == date(2026, 10, 1)
    data_paths.retained.write_text("{")
    with pytest.raises(DataError, match="Restore it"):
        kept_since(data_paths, Level.LANDING)


def test_the_command_previews_and_applies(keeping: Settings) -> None:
    build_minutes(keeping, MAPPINGS, land(keeping, [observed(ago(6))]))
    wanted = {"IOT_MINUTE_WINDOW_DAYS": "2", "IOT_RETENTION_LANDING_DAYS": "3"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "iot_pipeline.cli", "retention", "--data", str(keeping.data), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ | wanted)

    day = str(TODAY - 6 * DAY)
    shown = json.loads(run("--json").stdout)["levels"]["landing"]
    assert (shown["days"], shown["oldest"], shown["newest"]) == (1, day, day)
    table = run("--preview").stdout
    assert [line.replace("│", " ").split()[:4] for line in table.splitlines() if line.startswith("landing")] == [
        ["landing", "3", "days", "1"]
    ]
    assert f"removed landing of {day}" in run("--apply").stderr
    assert json.loads(run("--json").stdout)["levels"]["landing"]["days"] == 0
    assert run("--preview", "--apply").returncode == 2


def test_sparkplug_births_outlive_what_they_came_in(keeping: Settings) -> None:
    births = keeping.paths.readings / "births" / "landed-20200101T0000.parquet"
    births.parent.mkdir(parents=True)
    pl.DataFrame({"topic": ["t"]}).write_parquet(births)
    build_minutes(keeping, MAPPINGS, land(keeping, [observed(ago(9))]))
    apply_retention(keeping, plan_retention(keeping, NOW))
    assert births.exists()
