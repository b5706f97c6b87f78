"""Who may ask, from where, how often and how much; and what a server that is too busy says."""

import base64
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from iot_pipeline.errors import SettingsError
from iot_pipeline.serving import history
from iot_pipeline.serving.api.work import Workers
from iot_pipeline.settings import load_settings
from tests.serving.recorded_live import RecordedLive, reading
from tests.serving.served import MIDNIGHT, problem, publish_world, serving

KEY, WRITING = "reading-0123456789", "writing-0123456789"
DEVICES = ("a", "b")
FLEETS = "/api/v1/fleets"
SAID = {
    "device_id": "a",
    "metric": "t",
    "unit": "°C",
    "event_ts": (MIDNIGHT.replace(hour=10, second=5)).isoformat(),
    "detector": "rolling_z",
    "label": "confirmed",
}


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    settings = load_settings(
        data=tmp_path_factory.mktemp("guarded"),
        api_keys=f"dashboard:{KEY}, ann:{WRITING}",
        api_labellers=["ann"],
        api_rate=10_000,
    )
    publish_world(settings.paths, DEVICES)
    with serving(settings, RecordedLive([reading("a")])) as client:
        yield client


@pytest.mark.parametrize("path", [FLEETS, "/metrics", "/", "/api/v1/docs", "/api/v1/nothing"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": ""},
        {"X-API-Key": KEY[:-1]},
        {"X-API-Key": KEY + "x"},
        {"X-API-Key": "dashboard"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": f"Digest {KEY}"},
        {"Authorization": "Basic !"},
        {"Authorization": basic("nonsense")},
    ],
)
def test_without_a_right_key_nothing_is_told(guarded: httpx.Client, path: str, headers: dict[str, str]) -> None:
    answer = guarded.get(path, headers=headers)
    assert problem(answer, 401)["type"].endswith("key-needed")
    assert "Bearer" in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "headers",
    [
        {"X-API-Key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer  {WRITING}"},
        {"Authorization": basic(KEY)},
    ],
)
def test_with_a_key_everything_is_told_whatever_the_host_is_called(
    guarded: httpx.Client, headers: dict[str, str]
) -> None:
    assert guarded.get(FLEETS, headers={**headers, "Host": "iot.example"}).status_code == 200


def test_health_needs_no_key_and_tells_nothing(guarded: httpx.Client) -> None:
    assert guarded.get("/healthz").json() == {"status": "ok"}
    assert set(guarded.get("/readyz").json()) == {"live", "newest_minute"}


def test_a_key_only_reads_unless_it_may_give_feedback(guarded: httpx.Client) -> None:
    path = "/api/v1/anomalies/feedback"
    assert problem(guarded.post(path, json=SAID, headers={"X-API-Key": KEY}), 403)["type"].endswith("read-only-key")
    given = guarded.post(path, json={**SAID, "author": "somebody else"}, headers={"X-API-Key": WRITING})
    assert given.status_code == 201
    assert given.json()["author"] == "ann"


def test_keys_are_part_of_the_description(guarded: httpx.Client) -> None:
    described = guarded.get("/api/v1/openapi.json", headers={"X-API-Key": KEY}).json()
    assert described["security"] == [{"bearer": []}, {"key": []}]
    assert KEY not in str(described)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "[::1]"])
def test_without_keys_this_machine_is_answered(tmp_path: Path, host: str) -> None:
    with serving(load_settings(data=tmp_path), RecordedLive()) as api:
        assert api.get(FLEETS, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.", "", "10.0.0.1:8080"])
def test_without_keys_another_name_for_this_machine_is_refused(tmp_path: Path, host: str) -> None:
    """A page from elsewhere could give its own name our address and read everything."""
    with serving(load_settings(data=tmp_path), RecordedLive()) as api:
        problem(api.get(FLEETS, headers={"Host": host}), 421)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_a_page_of_another_site_changes_nothing(tmp_path: Path, origin: str) -> None:
    settings = load_settings(data=tmp_path)
    publish_world(settings.paths, DEVICES)
    with serving(settings, RecordedLive()) as api:
        answer = api.post("/api/v1/anomalies/feedback", json={**SAID, "author": "x"}, headers={"Origin": origin})
        assert problem(answer, 403)["type"].endswith("cross-origin")
        # A form can be sent without asking; it cannot say that it is JSON.
        plain = {"Content-Type": "text/plain"}
        form = api.post("/api/v1/anomalies/feedback", content="{}", headers=plain)
        problem(form, 422)
        assert "access-control-allow-origin" not in api.get(FLEETS, headers={"Origin": origin}).headers
    assert not settings.paths.feedback.exists()


def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    with serving(load_settings(data=tmp_path, api_rate=2), RecordedLive()) as api:
        answers = [api.get(FLEETS) for _ in range(6)]
        assert [answer.status_code for answer in answers].count(200) >= 4
        refused = answers[-1]
        assert problem(refused, 429)["type"].endswith("too-many-requests")
        assert int(refused.headers["retry-after"]) >= 1
        assert api.get("/healthz").status_code == 200


def test_a_body_without_an_announced_length_is_cut_off(tmp_path: Path) -> None:
    with serving(load_settings(data=tmp_path), RecordedLive()) as api:
        pieces = (b'{"note": "' if index == 0 else b"x" * 10_000 for index in range(20))
        answer = api.post("/api/v1/anomalies/feedback", content=pieces, headers={"Content-Type": "application/json"})
        problem(answer, 413)


def test_more_questions_than_can_wait_are_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(data=tmp_path)
    publish_world(settings.paths, DEVICES)
    go, asked = threading.Event(), threading.Event()

    def slow(*_: object, **__: object) -> None:
        asked.set()
        assert go.wait(20)

    monkeypatch.setattr(history, "known_device", slow)
    path = "/api/v1/devices/now?device_id=nobody"
    monkeypatch.setattr("iot_pipeline.serving.api.application.Workers", lambda: Workers(threads=1, waiting=0))
    with serving(settings, RecordedLive()) as api:
        first = threading.Thread(target=api.get, args=(path,))
        first.start()
        assert asked.wait(20)
        try:
            refused = api.get(path)
        finally:
            go.set()
            first.join()
    assert problem(refused, 503)["type"].endswith("overloaded")
    assert refused.headers["retry-after"] == "1"


def test_an_answer_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load_settings(data=tmp_path)
    go = threading.Event()
    monkeypatch.setattr(history, "known_device", lambda *_: go.wait(20))
    monkeypatch.setattr("iot_pipeline.serving.api.application.Workers", lambda: Workers(seconds=0.05))
    with serving(settings, RecordedLive()) as api:
        try:
            refused = api.get("/api/v1/devices/now?device_id=nobody")
        finally:
            go.set()
    assert problem(refused, 503)["type"].endswith("too-slow")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"web_host": "0.0.0.0"}, "IOT_API_KEYS"),  # noqa: S104
        ({"web_host": "::"}, "IOT_API_KEYS"),
        ({"web_host": "iot.example"}, "IOT_API_KEYS"),
        ({"api_keys": "short:1234"}, "at least 16"),
        ({"api_keys": "0123456789abcdef"}, "name:key"),
        ({"api_keys": f"a:{KEY},a:{WRITING}"}, "different names"),
        ({"api_labellers": ["ann"]}, "IOT_API_LABELLERS"),
    ],
)
def test_settings_that_would_open_a_door_are_refused(tmp_path: Path, wrong: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as refused:
        load_settings(data=tmp_path, **wrong)
    assert KEY not in str(refused.value)


def test_with_a_key_any_address_may_be_listened_on(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, web_host="0.0.0.0", api_keys=f"a:{KEY}")  # noqa: S104
    assert settings.api_key_names == {"a": KEY}
    assert KEY not in repr(settings)
