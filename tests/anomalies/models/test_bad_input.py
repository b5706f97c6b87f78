"""Series that no model likes, from files to events: a defined outcome for each, no warning and no crash."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from iot_pipeline.anomalies.events.store import read_events, update_events
from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.anomalies.models.reuse import model_of
from iot_pipeline.anomalies.models.store import Verdict, promote
from iot_pipeline.clock import DAY, MINUTE, minutes_between
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import minute_folder
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import FLAGS_SCHEMA, device_minute_tree, flags_tree
from tests.anomalies.frames import device_minutes, readings
from tests.anomalies.models.days import MONDAY, at, frame, values, write_day

TODAY = MONDAY + 3 * DAY
BEGIN, FIRST, LAST = at(TODAY, 9), at(TODAY, 10), at(TODAY, 10, 59)
SECONDS = 2 * 3600
NAN = float("nan")


def history(rng: np.random.Generator, day: date) -> dict[str, np.ndarray]:
    """Means by minute of a past day, of each series that had one."""
    minute = np.arange(1440)
    quarter = minute % 15 == 0
    noise = rng.normal(20, 0.2, 1440).round(2)
    return values(day, 12) | {
        "constant": np.full(1440, 3.0),
        "quantised": rng.choice([4.0, 5.0], 1440),
        "irregular": np.where(rng.random(1440) < 0.2, noise, NAN),
        "slow": np.where(quarter, noise, NAN),
        "faster": np.where(quarter, noise, NAN),
        "slower": noise,
        "unit": noise,
        "plain": noise,
        "twice": noise,
    }


def present(rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    """Readings of two hours of the day: one frame a landed file of each minute."""
    healthy = [
        readings((numbers[540:660].repeat(6) + rng.normal(0, 0.1, 720)).tolist(), start=BEGIN, step=10, device=device)
        for device, numbers in values(TODAY, 12).items()
    ]
    noise = rng.normal(20, 0.4, 720).round(2)
    spiked = noise.copy()
    spiked[540] = 90.0

    def told(device: str, numbers: np.ndarray, *, step: float = 10, **how: str) -> pl.DataFrame:
        return readings(numbers.tolist(), start=BEGIN, step=step, device=device, **how)

    some = np.sort(rng.choice(SECONDS, 30, replace=False))
    unit = told("unit", noise)
    in_celsius = pl.col("event_ts") < at(TODAY, 10, 20)
    yield pl.concat(
        [
            *healthy,
            told("constant", np.full(720, 3.0)),
            told("quantised", rng.choice([4.0, 5.0], 720)),
            told("missing", np.zeros(720)).with_columns(value=pl.lit(None, pl.Float64), text=pl.lit("n/a")),
            told("bad", spiked, quality="bad"),
            readings([20.0], start=at(TODAY, 10, 30), device="once"),
            pl.concat([readings([20.0], start=BEGIN + timedelta(seconds=int(at))) for at in some]).with_columns(
                device_id=pl.lit("irregular")
            ),
            told("slow", noise[:8], step=900),
            told("faster", noise),
            told("slower", noise[:390]),
            told("slower", noise[:8], step=900).filter(pl.col("event_ts") >= at(TODAY, 10, 15)),
            unit.filter(in_celsius),
            unit.filter(~in_celsius).with_columns(unit=pl.lit("°F"), value=pl.col("value") * 1.8 + 32),
            told("plain", spiked),
            told("twice", spiked).sample(fraction=1.0, shuffle=True, seed=1),
        ]
    )
    yield told("twice", spiked).sample(fraction=1.0, shuffle=True, seed=2)


def land(settings: Settings, frame: pl.DataFrame, minutes_late: int) -> None:
    for (minute,), part in frame.group_by(pl.col("event_ts").dt.truncate("1m")):
        assert isinstance(minute, datetime)
        landed = landed_name(minute + minutes_late * MINUTE)
        write_parquet(part, minute_folder(open_root(settings.paths), minute) / landed)


def write_minutes(settings: Settings, frame: pl.DataFrame) -> None:
    statistics = device_minutes(frame.unique(["device_id", "metric", "unit", "event_ts"], maintain_order=True))
    device_minute_tree(settings.paths).write_many(
        {minute: statistics.filter(pl.col("minute") == minute) for minute in statistics["minute"].unique()}
    )


def learn(settings: Settings, day: date) -> None:
    """Learn and promote, whatever the checks would say."""
    fitted = model_of(settings, day)
    assert fitted is not None
    assert promote(settings.paths, fitted.manifest, (Verdict(name="any", passed=True, said=""),))


@pytest.fixture(name="settings", scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Three days learned, and an hour of the fourth scored and made into events."""
    settings = load_settings(data=tmp_path_factory.mktemp("plant"))
    rng = np.random.default_rng(7)
    for offset in range(3):
        day = MONDAY + offset * DAY
        write_day(settings.paths, day, frame(day, history(rng, day)))
    files = list(present(rng))
    for late, landed in enumerate(files):
        land(settings, landed, late)
    write_minutes(settings, pl.concat(files))
    learn(settings, TODAY)
    score_minutes(settings, FIRST, LAST)
    update_events(settings, FIRST, LAST)
    return settings


def events(settings: Settings, device: str) -> pl.DataFrame:
    return read_events(settings.paths, TODAY, TODAY).filter(pl.col("device_id") == device)


def test_every_minute_was_scored_and_the_healthy_are_quiet(settings: Settings) -> None:
    tree = flags_tree(settings.paths)
    assert all(tree.file(minute).exists() for minute in minutes_between(FIRST, LAST))
    found = read_events(settings.paths, TODAY, TODAY)
    assert found.filter(pl.col("device_id").str.starts_with("hall/")).is_empty()
    assert found["sentence"].null_count() == 0


@pytest.mark.parametrize("device", ["constant", "quantised", "missing", "bad", "once", "irregular", "slow", "faster"])
def test_is_no_event(settings: Settings, device: str) -> None:
    assert events(settings, device).is_empty()


@pytest.mark.parametrize("device", ["missing", "bad", "once"])
def test_nothing_is_learned_of_what_was_never_read(settings: Settings, device: str) -> None:
    fitted = model_of(settings, TODAY)
    assert fitted is not None
    assert device not in fitted.model.series["device_id"]


def test_repetitions_and_disorder_give_the_events_of_each_reading_once(settings: Settings) -> None:
    plain, twice = (events(settings, device) for device in ("plain", "twice"))
    known = [name for name in plain.columns if name not in ("event_id", "device_id", "sentence")]
    assert plain.height > 0
    assert "spike" in plain["type"]
    names = [name for name in known if not name.endswith("message_id")]
    assert plain.select(names).equals(twice.select(names))
    assert plain.select("first_message_id", "peak_message_id").null_count().row(0) == (0, 0)


def test_a_device_that_becomes_slow_has_gaps_until_its_last_hour_is_slow(settings: Settings) -> None:
    found = events(settings, "slower")
    assert set(found["type"]) == {"gap"}
    assert 1 <= found.height <= 3
    assert found.filter(pl.col("last_flag_at") >= at(TODAY, 10, 45)).is_empty()


def test_a_device_that_changes_its_unit_has_a_gap_and_begins_anew(settings: Settings) -> None:
    found = events(settings, "unit")
    assert found.select("type", "unit").rows() == [("gap", "°C")]
    opened = found["opened_at"].item()
    assert at(TODAY, 10, 20) < opened < at(TODAY, 10, 40)


def test_a_plant_without_any_reading_has_empty_minutes_and_no_event(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    report = score_minutes(settings, FIRST, LAST)
    made = update_events(settings, FIRST, LAST)

    assert (report.readings, report.flags, made.opened) == (0, 0, 0)
    assert flags_tree(settings.paths).read(FIRST, LAST).schema == pl.Schema(FLAGS_SCHEMA)
    assert read_events(settings.paths, TODAY, TODAY).is_empty()
    assert learn_day(settings, TODAY).manifest is None


@pytest.mark.parametrize("night", [date(2026, 3, 29), date(2026, 10, 25)], ids=["hour skipped", "hour twice"])
def test_a_night_in_which_clocks_change_is_like_any_other(tmp_path: Path, night: date) -> None:
    """A plant that goes by local time moves by an hour; minutes are in UTC: none is missing, and none there twice."""
    settings = load_settings(data=tmp_path)
    for offset in range(-3, 1):
        write_day(
            settings.paths, night + offset * DAY, frame(night + offset * DAY, by_local_time(night + offset * DAY))
        )
    learn(settings, night)
    first, last = at(night, 0, 45), at(night, 1, 45)
    score_minutes(settings, first, last)
    update_events(settings, first, last)
    assert read_events(settings.paths, night - DAY, night).is_empty()


def by_local_time(day: date) -> dict[str, np.ndarray]:
    minutes = minutes_between(at(day, 0), at(day, 23, 59))
    local = [minute.astimezone(ZoneInfo("Europe/Berlin")) for minute in minutes]
    hours = np.array([minute.hour + minute.minute / 60 for minute in local])
    rng = np.random.default_rng(day.toordinal())
    return {f"hall/m{n}": 20 + 2 * np.sin(hours / 12 * np.pi) + rng.normal(0, 0.2, 1440) for n in range(6)}
