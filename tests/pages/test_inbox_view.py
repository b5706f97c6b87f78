"""Events and flags become entries that a person can work with."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.anomalies.feedback import Feedback, FeedbackLabel
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.live.model import LiveFlag
from iot_pipeline.serving.anomalies import SeenFlag, key_of
from iot_pipeline.serving.events import Event
from iot_pipeline.serving.pages.inbox.view import (
    GAP,
    Filter,
    Work,
    by_urgency,
    changed,
    counts_by_severity,
    detectors_of,
    entries_of,
    entries_of_events,
    expected_band,
    not_told,
    types_of,
)

TEN = datetime(2026, 11, 22, 10, tzinfo=UTC)


def event(minutes: int, device: str = "a", **changes: object) -> Event:
    """Twelve minutes of spikes from `minutes` after ten on, the strangest after six."""
    opened = TEN + timedelta(minutes=minutes)
    row = {
        **dict.fromkeys(Event.__slots__),
        "event_id": f"{device}{minutes}",
        "status": EventStatus.CLOSED,
        "opened_at": opened,
        "last_flag_at": opened + timedelta(minutes=12),
        "device_id": device,
        "metric": "t",
        "unit": "°C",
        "type": FlagType.SPIKE,
        "severity": Severity.warning,
        "flags": 34,
        "score": 1.5,
        "peak_at": opened + timedelta(minutes=6),
        "detector": "rolling_z",
        "reason": "strange",
        "sentence": f"{device} t: strange; 34 readings in 12 min",
        "fleet": "weather",
    }
    return Event(**{**row, **changes})  # type: ignore[arg-type]  # what matters here


def seen(
    seconds: int, device: str = "a", score: float = 1.5, *, detector: str = "z", said: FeedbackLabel | None = None
) -> SeenFlag:
    flag = LiveFlag(
        TEN + timedelta(seconds=seconds), device, "t", "°C", 9.0, detector, score, 1.0, 2.0, f"at {seconds}"
    )
    about = Feedback(f"{seconds}", TEN + timedelta(seconds=seconds), "ann", said, "", key_of(flag)) if said else None
    return SeenFlag(flag, published=True, feedback=about)


def test_consecutive_flags_of_a_series_and_detector_are_one_entry() -> None:
    one, other = entries_of([seen(10), seen(0), seen(5, "b"), seen(20)], {"a": "weather"})
    assert (one.device_id, one.fleet, len(one.flags)) == ("a", "weather", 3)
    assert (one.since, one.until) == (TEN, TEN + timedelta(seconds=20))
    assert (other.device_id, other.fleet) == ("b", "")


def test_a_pause_begins_another_entry() -> None:
    pause = int(GAP.total_seconds())
    assert len(entries_of([seen(0), seen(pause)], {})) == 1
    assert len(entries_of([seen(0), seen(pause + 1)], {})) == 2
    assert len(entries_of([seen(0), seen(0, detector="k")], {})) == 2


def test_the_worst_flag_speaks_for_the_entry() -> None:
    [entry] = entries_of([seen(0, score=1.2), seen(1, score=9.0), seen(2, score=3.0)], {})
    assert (entry.worst.reason, entry.severity) == ("at 1", Severity.critical)
    assert expected_band(entry.flags) == [(TEN + timedelta(seconds=index), 1.0, 2.0) for index in range(3)]


def test_an_entry_is_open_again_when_it_goes_on_after_somebody_judged_it() -> None:
    judged = [seen(0, said=FeedbackLabel.confirmed), seen(1, said=FeedbackLabel.acknowledged)]
    [entry] = entries_of(judged, {})
    assert (entry.work, entry.feedback and entry.feedback.label) == (Work.done, FeedbackLabel.acknowledged)
    [longer] = entries_of([*judged, seen(2)], {})
    assert (longer.work, longer.unsaid, longer.key) == (Work.open, 1, entry.key)


def test_open_and_severe_entries_come_first() -> None:
    entries = entries_of(
        [seen(0, "new"), seen(-900, "critical", 5.0), seen(5, "done", 9.0, said=FeedbackLabel.confirmed)], {}
    )
    assert [entry.device_id for entry in by_urgency(entries)] == ["critical", "new", "done"]
    assert counts_by_severity(entries) == {Severity.notice: 1, Severity.warning: 0, Severity.critical: 1}
    assert detectors_of(entries) == ["z"]


def test_the_filter_takes_what_was_asked_for() -> None:
    entries = entries_of(
        [seen(0, "Pump-1"), seen(0, "fan", 3.0, detector="k"), seen(0, "old", said=FeedbackLabel.known_cause)],
        {"Pump-1": "plant"},
    )

    def shown(**wanted: object) -> set[str]:
        return {entry.device_id for entry in entries if changed(Filter(), **wanted).meets(entry)}

    assert shown() == {"Pump-1", "fan", "old"}
    assert shown(device="pump") == {"Pump-1"}
    assert shown(fleet="plant") == {"Pump-1"}
    assert shown(detector="k") == {"fan"}
    assert shown(severity=Severity.warning) == {"fan"}
    assert shown(label="open") == {"Pump-1", "fan"}
    assert shown(label="done") == {"old"}
    assert shown(label="known_cause") == {"old"}
    assert shown(label="confirmed") == set()


def test_an_event_is_an_entry_that_speaks_for_itself() -> None:
    [entry] = entries_of_events([event(0)])
    assert (entry.sentence, entry.severity, entry.type) == (
        "a t: strange; 34 readings in 12 min",
        Severity.warning,
        FlagType.SPIKE,
    )
    assert (entry.since, entry.until, entry.count) == (TEN, TEN + timedelta(minutes=12), 34)
    assert (entry.fleet, entry.published, entry.work) == ("weather", True, Work.open)
    assert [(key.event_ts, key.detector) for key in entry.keys] == [(TEN + timedelta(minutes=6), "rolling_z")]


def test_an_event_that_became_stranger_after_it_was_judged_is_open_again() -> None:
    def said(minute: int) -> Feedback:
        about = key_of(seen(0).flag)
        return Feedback("1", TEN + timedelta(minutes=minute), "ann", FeedbackLabel.confirmed, "", about)

    judged, stranger = entries_of_events([event(0, feedback=said(7)), event(0, feedback=said(5))])
    assert (judged.work, stranger.work) == (Work.done, Work.open)


def test_flags_that_events_tell_of_are_not_told_again() -> None:
    told = [event(0), event(0, "odd", type=FlagType.DRIFT)]
    live = [
        seen(0, detector="rolling_z"),
        seen(12 * 60, detector="spike"),
        seen(12 * 60 + 1, detector="spike"),
        seen(60, detector="drift"),
        seen(60, "odd", detector="spike"),
        seen(60, "b", detector="kmeans_minute"),
    ]
    left = not_told(live, told, settled=TEN)
    assert [(one.flag.device_id, one.flag.detector, one.flag.event_ts) for one in left] == [
        ("a", "spike", TEN + timedelta(seconds=12 * 60 + 1)),
        ("a", "drift", TEN + timedelta(seconds=60)),
        ("odd", "spike", TEN + timedelta(seconds=60)),
    ]


def test_a_published_flag_that_opened_no_event_is_shown_until_it_settled() -> None:
    published, live = seen(0), replace(seen(0, "b"), published=False)
    assert not_told([published, live], [], settled=TEN) == [published, live]
    assert not_told([published, live], [], settled=TEN + timedelta(seconds=1)) == [live]


def test_of_equal_severity_events_come_before_what_is_seen_just_now() -> None:
    live = [replace(seen(60 * 60, name, score), published=False) for name, score in (("live", 2.0), ("loud", 4.0))]
    entries = by_urgency([*entries_of(live, {}), *entries_of_events([event(0, "slow"), event(-5, "old")])])
    assert [one.device_id for one in entries] == ["loud", "slow", "old", "live"]
    assert types_of(entries) == [FlagType.SPIKE]
    assert [one.device_id for one in entries if Filter(type=FlagType.SPIKE).meets(one)] == ["slow", "old"]


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from("abc"), st.floats(1, 20)), max_size=60))
def test_no_flag_is_lost_and_none_is_in_two_entries(drawn: list[tuple[int, str, float]]) -> None:
    flags = [seen(seconds, device, score) for seconds, device, score in drawn]
    entries = entries_of(flags, {})
    kept = sorted((flag.event_ts, flag.device_id) for entry in entries for flag in entry.flags)
    assert kept == sorted((one.flag.event_ts, one.flag.device_id) for one in flags)
    assert len({entry.key for entry in entries}) == len(entries)
    assert [entry.until for entry in entries] == sorted((entry.until for entry in entries), reverse=True)
