"""Days on disk: a function of their hours, replaced whole, seen once everywhere, events told while they are news."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.daily import hours as hours_module
from iot_pipeline.anomalies.daily.events import tell_day
from iot_pipeline.anomalies.daily.flags import DayReport, score_day
from iot_pipeline.anomalies.daily.store import read_day_flags
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.anomalies.events.store import read_events
from iot_pipeline.anomalies.feedback import FeedbackLabel, FlagKey, record_feedback
from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.scoring.minutes import LearnedMinutes
from iot_pipeline.anomalies.notifying.channel import Notice
from iot_pipeline.anomalies.notifying.telling import tell_new_events
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.operations.retention import apply_retention, plan_retention
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.retained import Level, RemovedError, mark_kept_since
from iot_pipeline.serving.history import published_flags
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import day_flags_file, flags_tree, prepare_relations
from iot_pipeline.stats.warehouse import connect
from tests.anomalies.daily.weeks import DAYS, METER, TODAY, day_of, drifting, publish, publish_past
from tests.anomalies.models import days as minutes

BROKEN = f"{METER}1"
MIDNIGHT = day_start(TODAY + DAY)


@pytest.fixture(name="settings")
def drifted(tmp_path: Path) -> Settings:
    """Four usual weeks, and a day on which one meter drifts."""
    settings = load_settings(data=tmp_path)
    publish_past(settings.paths)
    publish(settings.paths, TODAY, drifting(day_of(TODAY), BROKEN))
    flags_tree(settings.paths).prepare()
    return settings


def kept(settings: Settings) -> pl.DataFrame:
    return read_day_flags(settings.paths, day_start(TODAY), MIDNIGHT)


def test_a_day_made_again_has_the_same_flags_to_the_byte(settings: Settings) -> None:
    report = score_day(settings, TODAY)
    first = day_flags_file(settings.paths, TODAY).read_bytes()
    assert score_day(settings, TODAY) == report
    assert day_flags_file(settings.paths, TODAY).read_bytes() == first
    assert report.flags == kept(settings).height > 0
    assert set(kept(settings)["device_id"]) == {BROKEN}


def test_days_that_follow_change_nothing(settings: Settings) -> None:
    score_day(settings, TODAY)
    before = kept(settings)
    publish(settings.paths, TODAY + DAY, {device: 9 * hours for device, hours in day_of(TODAY + DAY).items()})
    score_day(settings, TODAY)
    assert_frame_equal(kept(settings), before, check_exact=True)


def test_late_data_replace_the_flags_of_the_day(settings: Settings) -> None:
    score_day(settings, TODAY)
    publish(settings.paths, TODAY, day_of(TODAY))
    assert score_day(settings, TODAY).flags == 0
    assert kept(settings).is_empty()


def test_parts_of_the_fleet_are_read_as_one_whole(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = hours_module.hours_of(settings.paths, TODAY)
    assert hours is not None
    (whole,) = hours.grids(hours.series())
    monkeypatch.setattr(hours_module, "CELLS_AT_ONCE", 3 * whole.width)
    parts = list(hours.grids(hours.series()))
    assert [part.series.height for part in parts] == [3, 3, 2]
    assert_frame_equal(pl.concat([part.series for part in parts]), whole.series)
    assert np.array_equal(np.concatenate([part.values for part in parts]), whole.values, equal_nan=True)


@pytest.mark.parametrize("told", [None, {}])
def test_a_day_without_readings_has_a_file_without_flags(settings: Settings, told: Mapping[str, np.ndarray]) -> None:
    empty = TODAY + DAY
    if told is not None:
        publish(settings.paths, empty, dict(told))
    assert score_day(settings, empty) == DayReport(empty, 0, 0, {"day_drift": 0, "day_shape": 0})
    assert pl.read_parquet(day_flags_file(settings.paths, empty)).is_empty()


def test_a_first_day_has_no_flags(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    publish(settings.paths, TODAY, day_of(TODAY))
    assert score_day(settings, TODAY).flags == 0


def test_running_totals_are_not_scored(settings: Settings) -> None:
    for offset in range(DAYS + 1):
        day = TODAY - offset * DAY
        count = np.arange(24.0) - 24 * offset + (50 if offset == 0 else 0) * np.arange(24)
        publish(settings.paths, day, {**day_of(day), "hall/count": count})
    score_day(settings, TODAY)
    assert "hall/count" not in set(kept(settings)["device_id"])


def test_a_confirmed_event_is_not_learned_from_and_stays_flagged(settings: Settings) -> None:
    score_day(settings, TODAY)
    tell_day(settings, TODAY)
    before = kept(settings)
    worst = before.sort("score", descending=True).row(0, named=True)
    flag = FlagKey(*(worst[name] for name in ("device_id", "metric", "unit", "event_ts", "detector")))
    record_feedback(settings.paths, flag, FeedbackLabel.confirmed, author="ann")
    score_day(settings, TODAY)
    assert_frame_equal(kept(settings), before, check_exact=True)


def test_what_people_confirmed_on_earlier_days_is_not_learned_from(settings: Settings) -> None:
    before, noon = TODAY - DAY, 12
    hours = day_of(before)
    hours[BROKEN][noon] += 3
    publish(settings.paths, before, hours)
    score_day(settings, TODAY)
    learned = kept(settings)
    flag = FlagKey(BROKEN, "power", "kW", day_start(before) + timedelta(hours=noon), "day_drift")
    record_feedback(settings.paths, flag, FeedbackLabel.confirmed, author="ann")
    score_day(settings, TODAY)
    confirmed = kept(settings)
    hours[BROKEN][noon] = np.nan
    publish(settings.paths, before, hours)
    score_day(settings, TODAY)
    assert_frame_equal(kept(settings), confirmed, check_exact=True)
    assert not learned.equals(confirmed)


def test_views_and_pages_show_each_flag_once(settings: Settings) -> None:
    report = score_day(settings, TODAY)
    prepare_relations(settings.paths)
    with connect(settings.paths) as connection:
        assert connection.execute("select count(*) from anomaly_day_flags").fetchall() == [(report.flags,)]
        assert connection.execute("select count(*) from anomaly_flags").fetchall() == [(0,)]
    shown = published_flags(settings.paths, day_start(TODAY), MIDNIGHT, device_id=BROKEN)
    assert_frame_equal(shown, kept(settings), check_row_order=False)
    assert published_flags(settings.paths, day_start(TODAY), day_start(TODAY) + timedelta(hours=1)).is_empty()


def test_hours_that_follow_each_other_are_one_event_that_late_data_withdraw(settings: Settings) -> None:
    score_day(settings, TODAY)
    tell_day(settings, TODAY)
    tell_day(settings, TODAY)
    drift = read_events(settings.paths, TODAY, TODAY).filter(pl.col("type") == "drift")
    assert drift.select("device_id", "detector", "revision", "status").row(0) == (BROKEN, "day_drift", 1, "closed")
    assert drift["flags"].sum() == kept(settings).filter(pl.col("detector") == "day_drift").height
    assert drift["flags"].max() >= 4  # type: ignore[operator]
    publish(settings.paths, TODAY, day_of(TODAY))
    score_day(settings, TODAY)
    tell_day(settings, TODAY)
    assert set(read_events(settings.paths, TODAY, TODAY)["status"]) == {"withdrawn"}


class Listener:
    name = "listener"

    def __init__(self) -> None:
        self.heard: list[Notice] = []

    def tell(self, notice: Notice) -> None:
        self.heard.append(notice)


def told_at(settings: Settings, now: datetime) -> list[Notice]:
    listener = Listener()
    tell_new_events(settings, now=now, over=[listener])
    return listener.heard


def test_an_event_of_yesterday_is_told_once_in_the_morning(settings: Settings) -> None:
    score_day(settings, TODAY)
    tell_day(settings, TODAY)
    grave = read_events(settings.paths, TODAY, TODAY).filter(pl.col("severity") != "notice")
    assert len(told_at(settings, MIDNIGHT + 30 * MINUTE)) == grave.height > 0
    assert told_at(settings, MIDNIGHT + 40 * MINUTE) == []


def test_an_event_of_a_day_scored_late_is_history(settings: Settings) -> None:
    score_day(settings, TODAY)
    tell_day(settings, TODAY)
    assert told_at(settings, MIDNIGHT + timedelta(hours=7)) == []


def test_flags_of_whole_days_go_with_the_days(settings: Settings) -> None:
    score_day(settings, TODAY)
    keeping = settings.model_copy(update={"retention_day_days": 30})
    apply_retention(keeping, plan_retention(keeping, MIDNIGHT + 90 * DAY))
    assert not day_flags_file(settings.paths, TODAY).exists()
    with pytest.raises(RemovedError, match="retention"):
        score_day(settings, TODAY)


def test_events_stay_when_the_flags_of_their_minutes_were_removed(settings: Settings) -> None:
    score_day(settings, TODAY)
    mark_kept_since(settings.paths, Level.MINUTE, TODAY + DAY)
    assert tell_day(settings, TODAY) is None


def test_the_minute_tier_does_not_see_what_the_daily_tier_finds(tmp_path: Path) -> None:
    """The same plant by minutes and by hours: a drift of 1.5 degrees over eight hours, noise of 0.2."""
    settings = load_settings(data=tmp_path)
    slow = np.clip((np.arange(minutes.COLUMNS) - 480) / 480, 0, 1) * 1.5
    slow[960:] = 0
    today = minutes.values(TODAY)
    today["hall/m1"] = today["hall/m1"] + slow
    for offset in range(DAYS, 0, -1):
        day = TODAY - offset * DAY
        publish(settings.paths, day, by_hour(minutes.values(day)))
        if offset <= 3:
            minutes.write_day(settings.paths, day, minutes.frame(day, minutes.values(day)))
    publish(settings.paths, TODAY, by_hour(today))
    fitted = fit_day(settings, TODAY)
    assert fitted is not None
    window = ScoringWindow(
        readings=pl.DataFrame(schema=READING_SCHEMA),
        minutes=minutes.frame(TODAY, today),
        first=minutes.at(TODAY, 8),
        last=minutes.at(TODAY, 15, 59),
    )
    by_minute = LearnedMinutes(fitted.model, fitted.manifest.version, settings.paths).score(window)
    score_day(settings, TODAY)
    assert by_minute.is_empty()
    assert kept(settings).filter(pl.col("device_id") == "hall/m1", pl.col("minute").dt.hour() < 16).height >= 4


def by_hour(told: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {device: numbers.reshape(24, 60).mean(axis=1) for device, numbers in told.items()}
