"""Events as a caller gets them: of a range, by name, filtered, in pages, and with what was said about them."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.anomalies.feedback import FeedbackLabel, FlagKey, record_feedback
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.clock import MINUTE, day_start, utc_now
from iot_pipeline.serving.events import WantedEvents, event_named, events
from iot_pipeline.serving.history import NotPublished
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import prepare_relations
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import event, problem, publish_devices, publish_events, serving

TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
PUMP, FAN, OLD, GONE, TORN = (f"{number:016x}" for number in range(5))
ROWS = (
    event(PUMP, TEN, "plant/pump 1", peak_message_id="c-1-0"),
    event(FAN, TEN + HOUR, "fan", type="drift", severity="critical", status="open", closed_at=None),
    event(OLD, TEN - 24 * HOUR, "fan", unit=None),
    event(GONE, TEN, "fan", status="withdrawn", detector="nobody_knows"),
    event(TORN, TEN + HOUR, "lost"),
)
MORNING = {"since": "2026-11-20T09:00:00Z", "until": "2026-11-20T12:00:00Z"}


def publish(settings: Settings) -> Settings:
    prepare_relations(settings.paths)
    publish_devices(settings.paths, ("plant/pump 1", "fan"))
    publish_events(settings.paths, *ROWS)
    return settings


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return publish(load_settings(data=tmp_path_factory.mktemp("events"), api_rate=10_000))


@pytest.fixture(scope="module")
def api(world: Settings) -> Iterator[httpx.Client]:
    with serving(world, RecordedLive([])) as client:
        yield client


def get(api: httpx.Client, path: str = "", **parameters: str) -> dict[str, Any]:
    answer = api.get(f"/api/v1/events{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def ids(settings: Settings, since: datetime, until: datetime, **wanted: Any) -> list[str]:
    return [one.event_id for one in events(settings.paths, WantedEvents(since=since, until=until, **wanted))]


def test_a_range_gives_what_was_going_on_then_newest_first(world: Settings) -> None:
    assert ids(world, TEN - 48 * HOUR, TEN + 2 * HOUR) == [FAN, TORN, PUMP, OLD]
    assert ids(world, TEN + 12 * MINUTE, TEN + HOUR) == [PUMP]
    assert ids(world, TEN + 12 * MINUTE + timedelta(microseconds=1), TEN + HOUR) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"device_id": "fan"}, [FAN, OLD]),
        ({"fleet": "weather"}, [FAN, PUMP, OLD]),
        ({"fleet": "nowhere"}, []),
        ({"type": FlagType.DRIFT}, [FAN]),
        ({"severity": Severity.warning}, [TORN, PUMP, OLD]),
        ({"status": EventStatus.OPEN}, [FAN]),
        ({"status": EventStatus.WITHDRAWN}, [GONE]),
    ],
)
def test_filters(world: Settings, wanted: dict[str, object], found: list[str]) -> None:
    assert ids(world, TEN - 48 * HOUR, TEN + 2 * HOUR, **wanted) == found


def test_without_any_events_it_says_so(settings: Settings) -> None:
    with pytest.raises(NotPublished, match="no events are published"):
        events(settings.paths, WantedEvents(since=TEN, until=TEN + HOUR))
    with pytest.raises(NotPublished, match="no events are published"):
        event_named(settings.paths, PUMP)


@pytest.mark.parametrize(
    ("flag", "counts"),
    [
        (FlagKey("plant/pump 1", "t", "°C", TEN, "rolling_z"), True),
        (FlagKey("plant/pump 1", "t", "°C", TEN + 12 * MINUTE, "spike"), True),
        (FlagKey("plant/pump 1", "t", "°C", TEN + 13 * MINUTE, "rolling_z"), False),
        (FlagKey("plant/pump 1", "t", "°C", TEN + MINUTE, "drift"), False),
        (FlagKey("plant/pump 1", "t", None, TEN + MINUTE, "rolling_z"), False),
        (FlagKey("fan", "t", "°C", TEN + MINUTE, "rolling_z"), False),
    ],
)
def test_what_is_said_of_any_flag_of_an_event_counts_for_it(settings: Settings, flag: FlagKey, *, counts: bool) -> None:
    publish(settings)
    record_feedback(settings.paths, flag, FeedbackLabel.confirmed, author="ann")
    found = event_named(settings.paths, PUMP)
    assert found is not None
    assert (found.feedback is not None) == counts


def test_the_last_word_counts_whichever_flag_it_is_about(settings: Settings) -> None:
    publish(settings)
    for minute, label in ((12, FeedbackLabel.confirmed), (1, FeedbackLabel.false_alarm)):
        flag = FlagKey("fan", "t", None, TEN - 24 * HOUR + minute * MINUTE, "rolling_z")
        record_feedback(settings.paths, flag, label, author="ann")
    found = event_named(settings.paths, OLD)
    assert found is not None
    assert found.feedback is not None
    assert found.feedback.label is FeedbackLabel.false_alarm


def test_a_flag_of_a_detector_that_nobody_knows_any_more_is_still_of_its_event(settings: Settings) -> None:
    publish(settings)
    flag = FlagKey("fan", "t", "°C", TEN, "nobody_knows")
    record_feedback(settings.paths, flag, FeedbackLabel.known_cause, author="ann")
    found = event_named(settings.paths, GONE)
    assert found is not None
    assert found.feedback is not None


# --- over HTTP ---


def test_events_are_listed_in_pages_that_hold_each_once(api: httpx.Client) -> None:
    seen: list[str] = []
    asked = {**MORNING, "limit": "1"}
    for _ in range(4):
        found = get(api, **asked)
        seen += [one["event_id"] for one in found["events"]]
        if found["next_cursor"] is None:
            break
        asked["cursor"] = found["next_cursor"]
    assert seen == [FAN, TORN, PUMP]


def test_an_event_tells_all_it_is(api: httpx.Client) -> None:
    found = get(api, f"/{PUMP}")
    assert found["sentence"] == "plant/pump 1 t: far above what is usual; 34 readings in 12 min"
    assert (found["type"], found["severity"], found["status"], found["fleet"]) == (
        "spike", "warning", "closed", "weather",
    )  # fmt: skip
    assert (found["opened_at"], found["peak_at"]) == ("2026-11-20T10:00:00Z", "2026-11-20T10:06:00Z")
    assert (found["peak_message_id"], found["feedback"]) == ("c-1-0", None)
    assert get(api, **MORNING)["events"][-1] == found


def test_withdrawn_events_are_given_when_asked_for(api: httpx.Client) -> None:
    assert [one["event_id"] for one in get(api, **MORNING, status="withdrawn")["events"]] == [GONE]
    assert get(api, f"/{GONE}")["status"] == "withdrawn"


def test_an_answer_that_is_known_is_not_sent_again(api: httpx.Client) -> None:
    first = api.get("/api/v1/events", params=MORNING)
    again = api.get("/api/v1/events", params=MORNING, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/{'f' * 16}", 404),
        ("/NOTHEX", 422),
        ("?type=odd", 422),
        ("?severity=loud", 422),
        ("?since=-32d", 422),
        ("?cursor=odd", 422),
        ("?detector=rolling_z", 422),
    ],
)
def test_what_cannot_be_answered_is_a_problem(api: httpx.Client, path: str, status: int) -> None:
    problem(api.get(f"/api/v1/events{path}"), status)


def test_without_any_events_the_answer_is_later(tmp_path: Path) -> None:
    with serving(load_settings(data=tmp_path), RecordedLive([])) as api:
        for path in ("", f"/{PUMP}"):
            answer = api.get(f"/api/v1/events{path}")
            problem(answer, 503)
            assert answer.headers["Retry-After"]


def test_what_is_said_of_an_event_is_said_of_its_strangest_reading(tmp_path: Path) -> None:
    world = publish(load_settings(data=tmp_path))
    with serving(world, RecordedLive([])) as api:
        said = {"label": "false_alarm", "note": "the door was open"}
        problem(api.post(f"/api/v1/events/{PUMP}/feedback", json=said), 422)
        problem(api.post(f"/api/v1/events/{'f' * 16}/feedback", json={**said, "author": "Ann"}), 404)
        answer = api.post(f"/api/v1/events/{PUMP}/feedback", json={**said, "author": "Ann"})
        assert answer.status_code == 201
        recorded = answer.json()
        assert (recorded["event_ts"], recorded["detector"]) == ("2026-11-20T10:06:00Z", "rolling_z")
        told = get(api, f"/{PUMP}")["feedback"]
        assert {name: recorded[name] for name in told} == told
        assert api.get("/api/v1/anomalies/feedback").json()["feedback"] == [recorded]


def test_open_events_are_counted_by_severity_for_prometheus(tmp_path: Path) -> None:
    world = load_settings(data=tmp_path)
    today = day_start(utc_now().date())
    is_open = {"status": "open", "closed_at": None}
    publish_events(
        world.paths,
        event(PUMP, today, "a", **is_open),
        event(FAN, today - HOUR, "a", **is_open, severity="critical"),
        event(OLD, today, "a"),
    )
    with serving(world, RecordedLive([])) as api:
        families = {one.name: one for one in text_string_to_metric_families(api.get("/metrics").text)}
    found = {one.labels["severity"]: one.value for one in families["iot_anomaly_events_open"].samples}
    assert found == {"notice": 0, "warning": 1, "critical": 1}
