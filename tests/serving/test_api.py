"""The API as a caller sees it: figures, pages, ranges, feedback and errors, over a real server."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.collectors import SourceKind
from iot_pipeline.landing.heartbeat import CollectorHeartbeat, write_heartbeat
from iot_pipeline.live.model import LiveFlag, LiveState
from iot_pipeline.sealed_days import SEED_DAY
from iot_pipeline.settings import Settings, load_settings
from tests.serving.recorded_live import RecordedLive, hour, reading
from tests.serving.served import MIDNIGHT, problem, publish_devices, publish_world, serving, tree_of

DEVICES = ("plant/line 1/motor", "weather-ä", "weather-b")
TEN = MIDNIGHT + timedelta(hours=10)
MORNING = {"since": "2026-11-20T10:00:00Z", "until": "2026-11-20T11:00:00Z"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings(data=tmp_path_factory.mktemp("api") / "data", api_rate=10_000)
    publish_world(settings.paths, DEVICES)
    return settings


@pytest.fixture(scope="module")
def live() -> RecordedLive:
    readings = [reading(DEVICES[0]), reading("new-one", 7.5), reading("meter", 5.0, metric="register")]
    now = utc_now()
    hours = [hour(now - timedelta(hours=3 - index), float(index), index + 0.75) for index in range(3)]
    return RecordedLive(readings, customers={"c 1": ["new-one"], "c 2": ["meter"]}, history=hours)


@pytest.fixture(scope="module")
def api(world: Settings, live: RecordedLive) -> Iterator[httpx.Client]:
    with serving(world, live) as client:
        yield client


def get(api: httpx.Client, path: str, **parameters: object) -> dict[str, Any]:
    answer = api.get(f"/api/v1{path}", params={name: str(value) for name, value in parameters.items()})
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


# --- devices ---


def test_devices_are_those_published_and_those_heard_since(api: httpx.Client) -> None:
    assert [one["device_id"] for one in get(api, "/devices")["devices"]] == sorted([*DEVICES, "new-one", "meter"])
    assert [one["device_id"] for one in get(api, "/devices", prefix="weather-")["devices"]] == [
        "weather-b",
        "weather-ä",
    ]
    assert get(api, "/devices", fleet="nobody")["devices"] == []


def test_pages_hold_each_device_once_although_others_come_in_between(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    publish_devices(settings.paths, ("b", "d", "f"))
    with serving(settings, RecordedLive()) as api:
        first = get(api, "/devices", limit=2)
        publish_devices(settings.paths, ("a", "b", "c", "d", "e", "f", "g"))
        rest = get(api, "/devices", limit=100, cursor=first["next_cursor"])
    names = [one["device_id"] for page in (first, rest) for one in page["devices"]]
    assert names == ["b", "d", "e", "f", "g"]
    assert rest["next_cursor"] is None


def test_a_device_whose_name_holds_slashes_and_blanks_is_found(api: httpx.Client) -> None:
    now = get(api, "/devices/now", device_id=DEVICES[0])
    assert now["device_id"] == DEVICES[0]
    assert [(one["metric"], one["unit"], one["value"]) for one in now["readings"]] == [("t", "°C", 1.0)]
    assert now["live"]["state"] == "live"


def test_a_device_that_is_known_but_was_not_heard_lately_has_no_readings(api: httpx.Client) -> None:
    assert get(api, "/devices/now", device_id="weather-b")["readings"] == []
    assert get(api, "/devices/live", device_id="weather-b")["series"] == []


@pytest.mark.parametrize("path", ["/devices/now", "/devices/live", "/devices/history"])
def test_an_unknown_device_is_told(api: httpx.Client, path: str) -> None:
    told = problem(api.get(f"/api/v1{path}", params={"device_id": "nobody"}), 404)
    assert told["type"].endswith("unknown-device")
    assert "prefix" in told["detail"]


def test_live_hours_come_as_windows_and_readings_as_points(api: httpx.Client) -> None:
    (series,) = get(api, "/devices/live", device_id="new-one", resolution="hour")["series"]
    assert [window["last"] for window in series["windows"]] == [0.75, 1.75, 2.75]
    (series,) = get(api, "/devices/live", device_id="new-one", resolution="reading")["series"]
    assert series["windows"] is None
    assert series["points"] == []


def test_minutes_come_in_order_and_only_those_asked_for(api: httpx.Client) -> None:
    found = get(
        api,
        "/devices/history",
        device_id=DEVICES[0],
        resolution="minute",
        unit="°C",
        since="2026-11-20T10:02:30Z",
        until="2026-11-20T10:05:00Z",
    )
    assert [row["start"] for row in found["rows"]] == [f"2026-11-20T10:0{minute}:00Z" for minute in (2, 3, 4)]
    assert [row["mean"] for row in found["rows"]] == [2.0, 3.0, 4.0]
    assert found["since"] == "2026-11-20T10:02:00Z"


def test_pages_of_a_history_are_the_whole_without_repetition(api: httpx.Client) -> None:
    asked = {"device_id": DEVICES[0], "resolution": "minute", **MORNING}
    whole = get(api, "/devices/history", **asked)["rows"]
    assert len(whole) == 20  # ten minutes, with a unit and without
    pages, cursor = [], None
    while True:
        page = get(api, "/devices/history", **asked, limit=3, **({"cursor": cursor} if cursor else {}))
        pages += page["rows"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == whole


@pytest.mark.parametrize(("resolution", "rows"), [("hour", 24), ("day", 1), ("month", 0)])
def test_each_resolution_reads_its_own_model(api: httpx.Client, resolution: str, rows: int) -> None:
    asked = {"since": "2026-11-20T00:00:00Z", "until": "2026-11-21T00:00:00Z"}
    found = get(api, "/devices/history", device_id="weather-b", resolution=resolution, **asked)
    assert len(found["rows"]) == rows


def test_a_sealed_day_gives_the_same_minutes(tmp_path: Path) -> None:
    from iot_pipeline.stats.relations import device_minute_tree  # noqa: PLC0415

    settings = load_settings(data=tmp_path)
    publish_world(settings.paths, DEVICES)
    asked = {"device_id": DEVICES[0], "resolution": "minute", **MORNING}
    with serving(settings, RecordedLive()) as api:
        before = get(api, "/devices/history", **asked)
        device_minute_tree(settings.paths).seal(MIDNIGHT.date())
        assert get(api, "/devices/history", **asked) == before


# --- ranges ---


@pytest.mark.parametrize(
    ("since", "until", "told"),
    [
        ("2026-11-20T10:00:00Z", "2026-11-20T10:00:00Z", "empty"),
        ("2026-11-20T11:00:00Z", "2026-11-20T10:00:00Z", "reversed"),
        ("2999-01-01T00:00:00Z", "2999-01-02T00:00:00Z", "future"),
        ("2026-01-01T00:00:00Z", "2026-11-20T00:00:00Z", "at most 31 days"),
        ("2026-11-20T10:00:00", "2026-11-20T11:00:00Z", "since"),
        ("yesterday", "now", "since"),
        ("2026-02-30T10:00:00Z", "now", "-24h"),
        ("now", "now", "empty"),
    ],
)
def test_a_range_that_cannot_be_is_told_with_what_can(api: httpx.Client, since: str, until: str, told: str) -> None:
    asked = {"device_id": DEVICES[0], "since": since, "until": until}
    assert told in problem(api.get("/api/v1/devices/history", params=asked), 422)["detail"]


def test_relative_and_unescaped_times_are_understood(api: httpx.Client) -> None:
    assert get(api, "/devices/history", device_id="weather-b", since="-7d")
    found = get(
        api, "/devices/history", device_id="weather-b", since="2026-11-20T11:00:00 01:00", until="2026-11-20T12:00:00Z"
    )
    assert len(found["rows"]) == 2


def test_an_unknown_parameter_is_refused(api: httpx.Client) -> None:
    told = problem(api.get("/api/v1/devices", params={"flet": "weather"}), 422)
    assert told["errors"][0]["parameter"] == "flet"


def test_a_foreign_cursor_is_refused(api: httpx.Client) -> None:
    foreign = get(api, "/devices", limit=1)["next_cursor"]
    for cursor in (foreign, "%00", "e30", "!"):
        asked = {"device_id": DEVICES[0], "cursor": cursor}
        assert problem(api.get("/api/v1/devices/history", params=asked), 422)["errors"][0]["parameter"] == "cursor"


# --- published answers ---


def test_an_unchanged_answer_is_not_sent_twice_and_a_changed_one_is(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    publish_world(settings.paths, DEVICES)
    with serving(settings, RecordedLive()) as api:
        path = "/api/v1/devices?prefix=weather"
        tag = api.get(path).headers["etag"]
        again = api.get(path, headers={"If-None-Match": f'"other", W/{tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag
        publish_devices(settings.paths, (*DEVICES, "weather-c"))
        changed = api.get(path, headers={"If-None-Match": tag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != tag


# --- usage ---


def test_a_customer_sees_now_and_the_last_hours(api: httpx.Client) -> None:
    found = get(api, "/customers/usage", customer="c 1")
    (series,) = found["series"]
    assert (series["device_id"], series["value"], series["unit"]) == ("new-one", 7.5, "°C")
    assert [one["mean"] for one in series["hours"]] == [0.375, 1.375, 2.375]


def test_only_of_a_register_a_change_is_told(api: httpx.Client) -> None:
    (register,) = get(api, "/customers/usage", customer="c 2")["series"]
    assert [one["change"] for one in register["hours"]] == [0.75, 1.0, 1.0]
    assert register["change_24h"] == 2.75
    (other,) = get(api, "/customers/usage", customer="c 1")["series"]
    assert [one["change"] for one in other["hours"]] == [None, None, None]
    assert other["change_24h"] is None


def test_an_unknown_customer_is_told(api: httpx.Client) -> None:
    assert problem(api.get("/api/v1/customers/usage?customer=x"), 404)["type"].endswith("unknown-customer")


def test_the_country_is_told_by_region(api: httpx.Client) -> None:
    (region,) = get(api, "/regions")["regions"]
    assert region["region"] == "north"
    assert (region["usage"][0]["total"], region["usage"][0]["unit"]) == (3.5, "m3/h")


def test_fleets_are_told(api: httpx.Client) -> None:
    assert [one["fleet"] for one in get(api, "/fleets")["fleets"]] == ["weather"]


# --- anomalies ---


def test_anomalies_come_with_their_reasons(api: httpx.Client) -> None:
    found = get(api, "/anomalies", **MORNING)["anomalies"]
    assert [(one["device_id"], one["score"], one["published"]) for one in found] == [
        (DEVICES[0], 2.0, True),
        (DEVICES[1], 3.0, True),
    ]
    assert [one["severity"] for one in found] == ["warning", "warning"]
    assert (found[0]["expected_low"], found[0]["expected_high"], found[0]["unit"]) == (10.0, 20.0, "°C")
    assert found[0]["reason"] == "far above what is usual"


@pytest.mark.parametrize(
    ("asked", "scores"),
    [
        ({"device_id": DEVICES[1]}, [3.0]),
        ({"min_score": 2.5}, [3.0]),
        ({"detector": "kmeans_minute"}, []),
        ({"severity": "warning"}, [2.0, 3.0]),
        ({"severity": "critical"}, []),
    ],
)
def test_anomalies_are_filtered(api: httpx.Client, asked: dict[str, object], scores: list[float]) -> None:
    assert [one["score"] for one in get(api, "/anomalies", **MORNING, **asked)["anomalies"]] == scores


def test_pages_of_anomalies_are_the_whole(api: httpx.Client) -> None:
    first = get(api, "/anomalies", **MORNING, limit=1)
    rest = get(api, "/anomalies", **MORNING, limit=1, cursor=first["next_cursor"])
    assert [one["score"] for one in first["anomalies"] + rest["anomalies"]] == [2.0, 3.0]
    assert rest["next_cursor"] is None


def test_live_flags_count_only_where_the_batch_layer_has_not_looked(world: Settings) -> None:
    def seen(at: datetime) -> LiveFlag:
        return LiveFlag(at, "weather-b", "t", "°C", 5.0, "rolling_z", 1.5, 1.0, 2.0, "seen live")

    live = RecordedLive(flagged=[seen(TEN + timedelta(seconds=30)), seen(TEN + timedelta(minutes=30))])
    with serving(world, live) as api:
        found = get(api, "/anomalies", **MORNING)["anomalies"]
    assert [one["event_ts"] for one in found if not one["published"]] == ["2026-11-20T10:30:00Z"]
    assert len(found) == 3


FLAG = {
    "device_id": DEVICES[0],
    "metric": "t",
    "unit": "°C",
    "event_ts": "2026-11-20T10:00:05Z",
    "detector": "rolling_z",
}


def test_feedback_is_kept_with_its_author_and_shown_with_the_flag(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    publish_world(settings.paths, DEVICES)
    said = {**FLAG, "label": "false_alarm", "note": "door was open", "author": "Ann"}
    with serving(settings, RecordedLive()) as api:
        for _ in range(2):  # once more says nothing new
            assert api.post("/api/v1/anomalies/feedback", json=said).status_code == 201
        assert api.post("/api/v1/anomalies/feedback", json={**said, "label": "confirmed"}).status_code == 201
        found = get(api, "/anomalies", **MORNING)["anomalies"]
        assert [(one["feedback"] or {}).get("label") for one in found] == ["confirmed", None]
        newest = get(api, "/anomalies/feedback", limit=1)
        assert [one["label"] for one in newest["feedback"]] == ["confirmed"]
        older = get(api, "/anomalies/feedback", cursor=newest["next_cursor"])
        assert [(one["label"], one["author"]) for one in older["feedback"]] == [("false_alarm", "Ann")]
    lines = settings.paths.feedback.read_text().splitlines()
    assert [json.loads(line)["label"] for line in lines] == ["false_alarm", "confirmed"]


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"device_id": "nobody"}, 404),
        ({"event_ts": "2026-11-20T10:00:06Z"}, 404),
        ({"event_ts": "2026-11-20T10:00:05"}, 422),
        ({"label": "nice"}, 422),
        ({"author": None}, 422),
        ({"note": "x" * 1001}, 422),
        ({"more": 1}, 422),
        ({"note": "x" * 100_000}, 413),
    ],
)
def test_wrong_feedback_is_refused_and_not_kept(
    api: httpx.Client, world: Settings, change: dict[str, object], status: int
) -> None:
    said = {**FLAG, "label": "confirmed", "author": "Ann", **change}
    problem(api.post("/api/v1/anomalies/feedback", json=said), status)
    assert not world.paths.feedback.exists()


# --- quarantine, health ---


def test_quarantine_is_counted(api: httpx.Client) -> None:
    found = get(api, "/quarantine", **MORNING)
    assert [(one["reason"], one["topic"], one["rows"]) for one in found["counts"]] == [("bad_json", "a/b", 1)]
    assert get(api, "/quarantine", **MORNING, reason="clock")["rows"] == 0


def test_metrics_are_prometheus_text_without_devices(world: Settings) -> None:
    now = utc_now()
    beat = CollectorHeartbeat(
        "c-1", 1, now, now, True, 42, 1, 1, 0, 0, 3, now, now, 0, None, "127.0.0.1:1883", 0.1, 1, SourceKind.mqtt
    )
    world.paths.state.mkdir(exist_ok=True)
    write_heartbeat(world.paths, beat)
    with serving(world, RecordedLive([reading("secret-device")])) as api:
        api.get("/api/v1/fleets")
        api.get("/api/v1/nowhere")
        text = api.get("/metrics").text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["iot_collector_messages_total", "c-1", "mqtt"] == 42
    assert samples["iot_collector_up", "c-1", "mqtt"] == 1
    assert samples["iot_live_state", "live"] == 1
    assert samples["iot_pipeline_lag_seconds", "device_minute"] > 0
    assert samples["iot_api_answers_total", "/fleets", "200", "GET"] == 1
    assert ("iot_live_visible_lag_seconds",) in samples
    assert "secret-device" not in text
    assert "nowhere" not in text


def test_the_process_is_healthy_and_ready(api: httpx.Client) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    assert api.get("/readyz").json() == {"live": "live", "newest_minute": "2026-11-20T10:09:00Z"}


def test_a_live_layer_that_is_being_rebuilt_is_told(world: Settings) -> None:
    with serving(world, RecordedLive([reading(DEVICES[0])], state=LiveState.REBUILDING)) as api:
        for path in ("/readyz", "/api/v1/fleets", f"/api/v1/devices/now?device_id={DEVICES[0]}", "/api/v1/regions"):
            answer = api.get(path)
            assert "50%" in problem(answer, 503)["detail"]
            assert int(answer.headers["retry-after"]) > 0
        assert api.get("/healthz").status_code == 200
        # What is published can be asked for meanwhile.
        assert get(api, "/devices/history", device_id=DEVICES[0], **MORNING)["rows"]


@pytest.mark.parametrize("path", ["/devices/history?device_id=new-one", "/anomalies", "/quarantine"])
def test_without_published_figures_one_is_asked_to_come_again(tmp_path: Path, path: str) -> None:
    with serving(load_settings(data=tmp_path), RecordedLive([reading("new-one")])) as api:
        answer = api.get(f"/api/v1{path}")
        assert problem(answer, 503)["type"].endswith("not-available-now")
        assert int(answer.headers["retry-after"]) > 0
        assert [one["device_id"] for one in get(api, "/devices")["devices"]] == ["new-one"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/nothing", 404),
        ("DELETE", "/api/v1/devices", 405),
        ("POST", "/healthz", 405),
        ("GET", "/api/v1/devices?limit=0", 422),
        ("GET", "/api/v1/devices?limit=x", 422),
        ("GET", "/api/v1/devices/history", 422),
    ],
)
def test_every_error_is_a_problem_document(api: httpx.Client, method: str, path: str, status: int) -> None:
    answer = api.request(method, path)
    assert problem(answer, status)["instance"] == path.partition("?")[0]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert status != 405 or "GET" in answer.headers["allow"]


def test_a_failure_of_our_own_tells_nothing_of_the_inside(world: Settings) -> None:
    class Broken(RecordedLive):
        def fleets(self) -> list[Any]:
            raise RuntimeError("a secret of the inside")

    with serving(world, Broken()) as api:
        answer = api.get("/api/v1/fleets")
    assert "secret" not in answer.text
    assert problem(answer, 500)["type"].endswith("internal-error")


HOSTILE = (
    "' OR 1=1 --",
    "x'; DROP TABLE device_minute; --",
    "../../etc/passwd",
    "/etc/passwd",
    "a\x00b",
    "%00",
    "{{7*7}}",
    "<script>alert(1)</script>",
    "dt=2026-11-20/*",
    "😀" * 200,
    "\u202e\u0000\uffff",
    "x" * 1024,
)


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_are_names_that_nobody_has(api: httpx.Client, world: Settings, text: str) -> None:
    before = tree_of(world.paths)
    for path in ("/devices/now", "/devices/live", "/devices/history"):
        problem(api.get(f"/api/v1{path}", params={"device_id": text}), 404)
    problem(api.get("/api/v1/customers/usage", params={"customer": text}), 404)
    for name in ("fleet", "prefix"):
        assert get(api, "/devices", **{name: text})["devices"] == []
    for name in ("device_id", "detector"):
        assert get(api, "/anomalies", **MORNING, **{name: text})["anomalies"] == []
    for name in ("since", "until", "cursor", "resolution", "limit"):
        problem(api.get("/api/v1/devices/history", params={"device_id": DEVICES[0], name: text}), 422)
    assert tree_of(world.paths) == before


def test_what_is_too_long_is_refused(api: httpx.Client) -> None:
    for length in (1_025, 60_000):
        problem(api.get("/api/v1/devices/now", params={"device_id": "x" * length}), 422)


def test_documents_work_without_a_network(api: httpx.Client) -> None:
    page = api.get("/api/v1/docs")
    assert page.headers["content-type"].startswith("text/html")
    paths = api.get("/api/v1/openapi.json").json()["paths"]
    assert {"/devices", "/devices/history", "/customers/usage", "/anomalies", "/regions", "/quarantine"} <= set(paths)
    assert [path for path in paths if path not in page.text] == []
    for outside in ("https://", "<script", "src=", "@import"):
        assert outside not in page.text


def test_seed_files_are_no_history(api: httpx.Client) -> None:
    found = api.get(
        "/api/v1/devices/history",
        params={"device_id": DEVICES[0], "since": f"{SEED_DAY}T00:00:00Z", "until": "1970-01-02T00:00:00Z"},
    )
    assert found.json()["rows"] == []
    assert datetime.fromisoformat(found.json()["since"]) == datetime(1970, 1, 1, tzinfo=UTC)


def test_the_bare_address_is_a_page_that_leads_to_the_description(tmp_path: Path) -> None:
    with serving(load_settings(data=tmp_path), RecordedLive()) as server:
        answer = server.get("/")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert '"/api/v1/docs"' in answer.text
