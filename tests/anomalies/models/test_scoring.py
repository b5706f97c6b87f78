"""Minutes scored with a learned model: each kind of fault by its type, and a minute alone as in a range."""

import itertools
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.detectors import ScoringWindow, longest_lookback
from iot_pipeline.anomalies.flags import score_minutes, score_window
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.anomalies.models.members import LOOKBACK
from iot_pipeline.anomalies.models.scoring.minutes import LearnedMinutes
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import flags_tree
from tests.anomalies.frames import readings
from tests.anomalies.models.days import MONDAY, at, frame, values, write_day, write_days

TODAY = MONDAY + 3 * DAY
NOTHING = pl.DataFrame(schema=READING_SCHEMA)


@pytest.fixture(name="scorer", scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> LearnedMinutes:
    """What three days without faults taught."""
    settings = load_settings(data=tmp_path_factory.mktemp("learned"))
    write_days(settings.paths, 3)
    fitted = fit_day(settings, TODAY)
    assert fitted is not None
    return LearnedMinutes(fitted.model, fitted.manifest.version, settings.paths)


def window(rows: pl.DataFrame, first: int, last: int, told: pl.DataFrame = NOTHING) -> ScoringWindow:
    """Minutes `first` to `last` of the day, with no more than the look-back."""
    begin, end = at(TODAY, 0, first), at(TODAY, 0, last)
    return ScoringWindow(
        readings=told,
        minutes=rows.filter(pl.col("minute").is_between(begin - LOOKBACK * MINUTE, end)),
        first=begin,
        last=end,
    )


def faulty() -> dict[str, np.ndarray]:
    """Device 0 is as ever; the others have a fault each from minute 600 on."""
    told = values(TODAY)
    told["hall/m1"][600:] += 6.0
    told["hall/m2"][600:640] = told["hall/m2"][600]
    told["hall/m3"][600:640] = np.nan
    told["hall/m4"][600:640] += np.random.default_rng(3).normal(0, 2.5, 40)
    told["hall/m5"][600] = -9999.0
    return told


def flags(scorer: LearnedMinutes, first: int = 590, last: int = 640) -> pl.DataFrame:
    return score_window(window(frame(TODAY, faulty()), first, last), [scorer])


@pytest.mark.parametrize(
    ("device", "kinds"),
    [
        ("hall/m0", set()),
        ("hall/m1", {"step", "spike"}),
        ("hall/m2", {"stuck"}),
        ("hall/m3", {"gap"}),
        ("hall/m4", {"noise"}),
        ("hall/m5", {"range"}),
    ],
)
def test_each_fault_is_flagged_by_its_type(scorer: LearnedMinutes, device: str, kinds: set[str]) -> None:
    found = flags(scorer).filter(pl.col("device_id") == device)
    assert kinds <= set(found["detector"])
    assert bool(kinds) == (found.height > 0)
    assert with_type(found)["type"].equals(found["detector"])
    assert (found["score"] >= 1.0).all()
    assert found["reason"].null_count() == 0
    assert set(found["detector_version"]) <= {scorer.version}


def test_the_reason_is_a_sentence_with_unit_and_band(scorer: LearnedMinutes) -> None:
    found = flags(scorer).filter(pl.col("device_id") == "hall/m3")
    assert found["value"].null_count() == found.height
    assert found["reason"][-1].startswith("nothing was read for ")
    step = flags(scorer).filter(pl.col("device_id") == "hall/m1", pl.col("detector") == "spike")
    assert "°C" in step["reason"][0]
    assert (step["expected_low"] < step["expected_high"]).all()


@given(seed=st.integers(0, 1000), cuts=st.sets(st.integers(1, 49)))
@profile(max_examples=12, deadline=None)
def test_a_range_gives_the_flags_of_its_parts(scorer: LearnedMinutes, seed: int, cuts: set[int]) -> None:
    told = faulty()
    rng = np.random.default_rng(seed)
    for numbers in told.values():
        numbers[rng.random(numbers.size) < 0.05] = np.nan
        numbers[rng.integers(560, 640)] += 40.0
    rows = frame(TODAY, told)
    whole = score_window(window(rows, 590, 639), [scorer])
    bounds = [590, *(590 + cut for cut in sorted(cuts)), 640]
    parts = [score_window(window(rows, start, end - 1), [scorer]) for start, end in itertools.pairwise(bounds)]
    assert whole.height > 0
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)


def test_order_of_rows_does_not_matter(scorer: LearnedMinutes) -> None:
    shuffled = frame(TODAY, faulty()).sample(fraction=1.0, shuffle=True, seed=5)
    assert_frame_equal(score_window(window(shuffled, 590, 640), [scorer]), flags(scorer), check_exact=True)


def test_silence_of_most_series_is_no_gap_of_any(scorer: LearnedMinutes) -> None:
    told = values(TODAY)
    for numbers in told.values():
        numbers[600:620] = np.nan
    found = score_window(window(frame(TODAY, told), 590, 619), [scorer])
    assert found.filter(pl.col("detector") == "gap").is_empty()


def test_a_new_device_is_measured_with_its_class(scorer: LearnedMinutes) -> None:
    told = {"hall/new": faulty()["hall/m1"]}
    found = score_window(window(frame(TODAY, values(TODAY) | told), 590, 640), [scorer])
    assert "hall/new" in found["device_id"].to_list()


def test_a_series_of_an_unknown_kind_is_not_scored(scorer: LearnedMinutes) -> None:
    rows = frame(TODAY, {"hall/m1": faulty()["hall/m1"]}, unit="°F")
    assert score_window(window(rows, 590, 640), [scorer]).is_empty()


def test_a_flag_stands_at_the_last_reading_of_its_minute(scorer: LearnedMinutes) -> None:
    told = readings([26.0] * 6, start=at(TODAY, 10), step=10, device="hall/m1")
    found = score_window(window(frame(TODAY, faulty()), 600, 600, told), [scorer])
    one = found.filter(pl.col("device_id") == "hall/m1")
    assert one["event_ts"].to_list() == [told["event_ts"].max()]
    assert one["minute"].to_list() == [at(TODAY, 10)]


@pytest.mark.parametrize(
    "told",
    [np.full(1440, 3.0), np.full(1440, np.nan), np.r_[5.0, np.full(1439, np.nan)], np.arange(1440.0), np.zeros(1440)],
    ids=["constant", "nothing", "one reading", "counter", "zero"],
)
def test_poor_histories_are_learned_and_scored_without_a_flag(tmp_path: Path, told: np.ndarray) -> None:
    settings = load_settings(data=tmp_path)
    for offset in range(2):
        day = MONDAY + offset * DAY
        write_day(settings.paths, day, frame(day, {"hall/odd": told + offset * told.size * (told[-1] > 1400)}))
    if np.isnan(told).all():
        assert learn_day(settings, MONDAY + DAY).manifest is None
        return
    fitted = fit_day(settings, MONDAY + DAY)
    assert fitted is not None
    scorer = LearnedMinutes(fitted.model, fitted.manifest.version, settings.paths)
    rows = frame(MONDAY + DAY, {"hall/odd": told + told.size * (told[-1] > 1400)})
    begin = at(MONDAY + DAY, 10)
    assert score_window(ScoringWindow(NOTHING, rows, begin, begin + 9 * MINUTE), [scorer]).is_empty()


def test_minutes_in_files_are_scored_with_the_promoted_model(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    today: date = write_days(settings.paths, 3)
    told = faulty()
    good = values(today)
    write_day(settings.paths, today, frame(today, good))
    assert "step" not in score_minutes(settings, at(today, 10), at(today, 10, 5)).by_detector
    assert learn_day(settings, today).promoted
    write_day(settings.paths, today, frame(today, told))

    report = score_minutes(settings, at(today, 10), at(today, 10, 20))

    assert report.by_detector["step"] > 0
    assert report.by_detector["gap"] > 0
    kept = flags_tree(settings.paths).read(at(today, 10), at(today, 10, 20))
    for minute in (at(today, 10), at(today, 10, 7)):
        score_minutes(settings, minute, minute)
    assert_frame_equal(flags_tree(settings.paths).read(at(today, 10), at(today, 10, 20)), kept, check_exact=True)


def test_what_late_data_can_change_is_known() -> None:
    assert longest_lookback() >= LOOKBACK * MINUTE
