"""A large fleet is scored some devices at a time, and nobody sees it in the flags."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies import slices
from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.clock import DAY, MINUTE, minutes_between
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import minute_folder
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import device_minute_tree, flags_tree
from tests.anomalies.frames import device_minutes, readings
from tests.anomalies.machines.press import BEGIN, PRESS, changed, cycles, machine
from tests.anomalies.models.days import MONDAY, at, frame, values, write_day, write_days

SECOND = timedelta(seconds=1)
NOTHING = pl.DataFrame(schema={"low": pl.String, "high": pl.String})


def plant(day: date) -> dict[str, np.ndarray]:
    """Two machines of six devices each."""
    return values(day) | {name.replace("hall", "attic"): told for name, told in values(day, seed=2).items()}


def test_slices_give_the_flags_of_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(data=tmp_path)
    today = MONDAY + 2 * DAY
    for day in (MONDAY, MONDAY + DAY, today):
        write_day(settings.paths, day, frame(day, plant(day)))
    assert learn_day(settings, today).promoted
    told = plant(today)
    told["hall/m1"][600:] += 6.0
    told["hall/m2"][600:640] = np.nan
    told["attic/m5"][600] = -9999.0
    write_day(settings.paths, today, frame(today, told))
    first, last = at(today, 10), at(today, 10, 20)
    strange = [readings([90.0], start=first, device=device) for device in ("attic/m4", "hall/m4")]
    write_parquet(pl.concat(strange), minute_folder(open_root(settings.paths), first) / landed_name(first))
    statistics = device_minute_tree(settings.paths)
    theirs = pl.col("device_id").is_in(["attic/m4", "hall/m4"])
    highest = pl.when(theirs).then(90.0).otherwise("max").alias("max")
    statistics.write(first, statistics.read(first, first).with_columns(highest))
    whole = score_minutes(settings, first, last)
    kept = flags_tree(settings.paths).read(first, last)
    assert {"step", "gap", "range", "multichannel", "rolling_z"} <= set(kept["detector"])

    monkeypatch.setattr(slices, "SMALL_BYTES", 0)
    monkeypatch.setattr(slices, "ROWS_AT_ONCE", 100)
    assert score_minutes(settings, first, last) == whole

    assert_frame_equal(flags_tree(settings.paths).read(first, last), kept, check_exact=True)


def test_single_readings_are_asked_for_where_they_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A press that tells its state, two kinds of spikes, one that statistics leave out, one told twice, one bad."""
    settings = load_settings(data=tmp_path)
    start = BEGIN + 40 * MINUTE
    noise = np.random.default_rng(3).normal(20, 0.2, (4, 1500)).round(2)
    noise[0, 1350] = 60.0
    noise[1, 1355] = 1e150
    calm = [readings(noise[n].tolist(), start=BEGIN, device=f"hall/m{n}") for n in range(4)]
    bad = readings([90.0], start=start + 30 * SECOND, device="hall/m2", quality="bad")
    press = changed(machine(cycles(5)), start + 5 * MINUTE, start + 5 * MINUTE + SECOND, pl.lit(90.0))
    told = pl.concat([*calm, bad, press]).sort("device_id", "metric", "event_ts")
    statistics = device_minutes(told.filter(pl.col("value").abs() < 1e140))
    last = BEGIN + 49 * MINUTE
    for minute in minutes_between(BEGIN, last):
        inside = told.filter(pl.col("event_ts").is_between(minute, minute + MINUTE, closed="left"))
        folder = minute_folder(open_root(settings.paths), minute)
        write_parquet(inside, folder / landed_name(minute))
        write_parquet(inside.head(40), folder / landed_name(minute + MINUTE))
    frames = {minute: statistics.filter(pl.col("minute") == minute) for minute in minutes_between(BEGIN, last)}
    device_minute_tree(settings.paths).write_many(frames)
    whole = score_minutes(settings, start, last)
    kept = flags_tree(settings.paths).read(start, last)
    assert {"hall/m0", "hall/m1", PRESS} == set(kept["device_id"])
    assert {"rolling_z", "kmeans_minute"} <= set(kept["detector"])

    monkeypatch.setattr(slices, "SMALL_BYTES", 0)
    monkeypatch.setattr(slices, "ROWS_AT_ONCE", 150)
    assert score_minutes(settings, start, last) == whole

    assert_frame_equal(flags_tree(settings.paths).read(start, last), kept, check_exact=True)


def test_every_device_is_in_one_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(data=tmp_path)
    today = write_days(settings.paths, 1)
    write_day(settings.paths, today, frame(today, values(today)))
    monkeypatch.setattr(slices, "SMALL_BYTES", 0)
    monkeypatch.setattr(slices, "ROWS_AT_ONCE", 50)
    tree, minute = device_minute_tree(settings.paths), at(today, 10)

    parts = slices.slices_of(tree, minute - 60 * MINUTE, minute, minute, cumulative=(), together=NOTHING)

    assert len(parts) > 1
    rows = pl.concat(list(tree.pieces(minute, minute, ["device_id"])))
    found = [rows if (where := part.where()) is None else rows.filter(where) for part in parts]
    assert_frame_equal(pl.concat(found).sort("device_id"), rows.sort("device_id"))
    assert all(part.spoke is not None and part.spoke["series"].max() == rows.height for part in parts)


def test_minutes_without_rows_are_one_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slices, "SMALL_BYTES", -1)
    tree, minute = device_minute_tree(load_settings(data=tmp_path).paths), at(MONDAY, 10)
    assert slices.slices_of(tree, minute, minute, minute, cumulative=(), together=NOTHING) == [slices.Slice()]


def test_a_machine_of_several_devices_is_not_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(data=tmp_path)
    today = write_days(settings.paths, 1)
    write_day(settings.paths, today, frame(today, values(today)))
    monkeypatch.setattr(slices, "SMALL_BYTES", 0)
    monkeypatch.setattr(slices, "ROWS_AT_ONCE", 1)
    tree, minute = device_minute_tree(settings.paths), at(today, 10)
    machines = pl.DataFrame({"low": ["hall/m1", "hall/m2"], "high": ["hall/m2", "hall/m4"]})

    parts = slices.slices_of(tree, minute, minute, minute, cumulative=(), together=machines)

    assert [part.begin for part in parts] == [None, "hall/m1", "hall/m5"]


def test_a_plant_is_one_slice(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    today = write_days(settings.paths, 1)
    minute = at(today, 10)
    tree = device_minute_tree(settings.paths)
    assert slices.slices_of(tree, minute, minute, minute, cumulative=(), together=NOTHING) == [slices.Slice()]
