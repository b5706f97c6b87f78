"""What people say of events: counted once, for all that flagged in them, and felt by the next thresholds."""

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.store import read_events, update_events
from iot_pipeline.anomalies.feedback import FeedbackLabel, FlagKey, record_feedback
from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.anomalies.precision import confirmed_spans, precision_table
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.files import write_parquet
from iot_pipeline.serving.events import Event, WantedEvents, events
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import DIM_DEVICE_SCHEMA, FLAGS_SCHEMA, dim_device_file, flags_tree
from tests.anomalies.models.days import MONDAY, at, frame, values, write_day, write_days

NOON = at(MONDAY, 12)


@pytest.fixture(name="settings")
def world(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path)


def keep_event(settings: Settings, *flags: tuple[int, str, float]) -> None:
    """An event of flags (minute after NOON, detector, score)."""
    rows = [
        {
            "minute": NOON + minute * MINUTE,
            "event_ts": NOON + minute * MINUTE,
            "device_id": "a",
            "metric": "t",
            "detector": detector,
            "detector_version": "1",
            "score": score,
            "reason": "strange",
        }
        for minute, detector, score in flags
    ]
    frame = pl.DataFrame(rows, schema=FLAGS_SCHEMA)
    flags_tree(settings.paths).write_many(
        {minute: rows for (minute,), rows in frame.group_by("minute") if isinstance(minute, datetime)}
    )
    update_events(settings, NOON, NOON + timedelta(minutes=59))


def say(settings: Settings, label: FeedbackLabel, minute: int, detector: str) -> None:
    flag = FlagKey("a", "t", None, NOON + minute * MINUTE, detector)
    record_feedback(settings.paths, flag, label, author="ann")


def counts(settings: Settings) -> dict[str, tuple[int, int]]:
    table = precision_table(settings.paths).select("detector", "confirmed", "false_alarms")
    return {detector: (confirmed, false) for detector, confirmed, false in table.iter_rows()}


def test_an_event_counts_once_for_every_detector_that_flagged_in_it(settings: Settings) -> None:
    keep_event(settings, (0, "rolling_z", 5.0), (1, "spike", 2.0), (2, "spike", 3.0))
    say(settings, FeedbackLabel.false_alarm, 0, "rolling_z")
    say(settings, FeedbackLabel.false_alarm, 2, "spike")

    assert counts(settings) == {"rolling_z": (0, 1), "spike": (0, 1)}
    assert set(precision_table(settings.paths)["type"]) == {"spike"}


def test_the_last_word_about_any_flag_of_an_event_is_the_word_about_it(settings: Settings) -> None:
    keep_event(settings, (0, "rolling_z", 5.0), (1, "spike", 2.0))
    say(settings, FeedbackLabel.false_alarm, 0, "rolling_z")
    say(settings, FeedbackLabel.confirmed, 1, "spike")
    assert counts(settings) == {"rolling_z": (1, 0), "spike": (1, 0)}
    assert confirmed_spans(settings.paths, NOON, NOON).height == 1

    say(settings, FeedbackLabel.known_cause, 0, "rolling_z")
    assert counts(settings) == {}


def test_a_judged_event_that_was_withdrawn_still_counts_once(settings: Settings) -> None:
    keep_event(settings, (0, "spike", 2.0), (1, "spike", 3.0))
    say(settings, FeedbackLabel.false_alarm, 0, "spike")
    say(settings, FeedbackLabel.false_alarm, 1, "spike")
    empty = pl.DataFrame(schema=FLAGS_SCHEMA)
    flags_tree(settings.paths).write_many({NOON: empty, NOON + MINUTE: empty})
    update_events(settings, NOON, NOON + MINUTE)

    assert read_events(settings.paths, MONDAY, MONDAY)["status"].to_list() == ["withdrawn"]
    assert counts(settings) == {"spike": (0, 1)}


def test_a_flag_that_is_no_event_counts_for_itself(settings: Settings) -> None:
    say(settings, FeedbackLabel.false_alarm, 0, "spike")
    say(settings, FeedbackLabel.confirmed, 1, "step")
    assert counts(settings) == {"spike": (0, 1), "step": (1, 0)}


def test_only_thresholds_that_are_learned_have_a_factor(settings: Settings) -> None:
    keep_event(settings, (0, "rolling_z", 5.0), (1, "spike", 2.0))
    keep_event(settings, (30, "day_drift", 2.0))
    say(settings, FeedbackLabel.false_alarm, 0, "rolling_z")
    say(settings, FeedbackLabel.false_alarm, 30, "day_drift")
    table = precision_table(settings.paths)
    assert dict(table.select("detector", pl.col("factor").is_not_null()).iter_rows()) == {
        "rolling_z": False,
        "spike": True,
        "day_drift": True,
    }
    assert set(table["precision"]) == {0.0}


def test_nothing_said_is_no_precision(settings: Settings) -> None:
    assert precision_table(settings.paths).is_empty()


def test_events_called_false_alarms_raise_the_threshold_until_they_are_none(settings: Settings) -> None:
    devices = [{"device_id": f"hall/m{n}", "fleet": "hall", "type": "room"} for n in range(6)]
    write_parquet(pl.DataFrame(devices, schema=DIM_DEVICE_SCHEMA), dim_device_file(settings.paths))
    today = write_days(settings.paths, 3)
    write_day(settings.paths, today, frame(today, values(today)))
    assert learn_day(settings, today).promoted
    told = values(today)
    starts = range(120, 1440, 360)
    for numbers in told.values():
        for start in starts:
            numbers[start : start + 60] += 1.3
    write_day(settings.paths, today, frame(today, told))

    def steps() -> list[Event]:
        for start in starts:
            first = at(today, 0, start)
            score_minutes(settings, first, first + 19 * MINUTE)
            update_events(settings, first, first + 19 * MINUTE)
        return events(settings.paths, WantedEvents(since=at(today, 0), until=at(today + DAY, 0), type=FlagType.STEP))

    false = steps()
    assert len(false) >= 20
    # As the API and the inbox do.
    for event in false:
        record_feedback(settings.paths, event.peak, FeedbackLabel.false_alarm, author="ann")
    write_day(settings.paths, today, frame(today, values(today)))
    assert learn_day(settings, today).promoted
    write_day(settings.paths, today, frame(today, told))

    table = precision_table(settings.paths).filter(pl.col("detector") == "step")
    assert table.select("false_alarms", "factor").rows() == [(len(false), 1.5)]
    assert len(steps()) < len(false) / 4
    assert precision_table(settings.paths).filter(pl.col("detector") == "step").equals(table)
