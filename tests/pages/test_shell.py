"""What all pages share: the gate before them, their policy, and how they behave in a real browser."""

import base64
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from iot_pipeline.live.model import LiveState
from iot_pipeline.serving.api import gate
from iot_pipeline.serving.pages.mounting import policy_for
from iot_pipeline.settings import Settings, load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.world import HOSTILE, live_of, publish, reading
from tests.servers import Child, free_loopback_port, listens
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import problem, serving
from tests.serving.test_server import environment

KEY, WRITING = "reading-0123456789", "writing-0123456789"
HTML = {"Accept": "text/html"}


def basic(password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()}


def upgrade(server: httpx.Client, **headers: str) -> int:
    """Status that the server gives to a WebSocket of NiceGUI."""
    asked = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        **headers,
    }
    host = server.base_url
    lines = [f"{name}: {value}" for name, value in {"Host": f"{host.host}:{host.port}", **asked}.items()]
    request = "GET /_nicegui_ws/socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"
    with socket.create_connection((host.host, host.port or 80), timeout=10) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(64).split(b" ")[1])


@pytest.fixture
def plain(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path / "data")


# ---- who gets in


def test_a_websocket_of_another_site_or_for_another_host_is_refused(plain: Settings) -> None:
    with serving(plain, RecordedLive()) as server:
        own = f"http://{server.base_url.host}:{server.base_url.port}"
        assert upgrade(server, Origin=own) == 101
        assert upgrade(server, Origin="https://evil.example") == 403
        assert upgrade(server, Origin="null") == 403
        assert upgrade(server, Origin="https://evil.example", Host="evil.example") == 403


def test_the_other_transport_is_not_there(plain: Settings) -> None:
    with serving(plain, RecordedLive()) as server:
        answer = server.get(
            "/_nicegui_ws/socket.io/?EIO=4&transport=polling", headers={"Origin": "https://evil.example"}
        )
        assert answer.status_code == 400
        assert "access-control-allow-origin" not in answer.headers


def test_pages_their_files_and_their_websocket_ask_for_the_key(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, api_keys=f"dashboard:{KEY}")
    with serving(settings, RecordedLive()) as server:
        known = server.get("/", headers={**HTML, **basic(KEY)})
        assert known.status_code == 200
        server.cookies.clear()
        files = re.findall(r'"(/(?:_nicegui|assets)/[^"]+\.(?:js|css))"', known.text)
        assert len(files) > 3
        for path in ("/", "/device?id=a", "/anomalies", *files):
            assert server.get(path).status_code == 401, path
            assert server.get(path, headers=basic("nonsense")).status_code == 401, path
        assert upgrade(server) == 403
        assert upgrade(server, **basic(KEY)) == 101


def test_a_browser_that_showed_its_key_goes_on_with_a_cookie_that_does_not_tell_it(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path, api_keys=f"dashboard:{KEY},ann:{WRITING}")
    with serving(settings, RecordedLive()) as server:
        given = server.get("/", headers={**HTML, **basic(KEY)}).headers["set-cookie"]
        assert "HttpOnly" in given
        assert "SameSite=Strict" in given
        assert KEY not in given
        cookie = given.partition(";")[0]
        server.cookies.clear()
        assert server.get("/api/v1/fleets", headers={"Cookie": cookie}).status_code == 200
        assert upgrade(server, Cookie=cookie) == 101
        forged = cookie.replace("dashboard.", "ann.")
        assert server.get("/api/v1/fleets", headers={"Cookie": forged}).status_code == 401
        assert "set-cookie" not in server.get("/api/v1/fleets", headers={"X-API-Key": KEY}).headers
    with serving(settings, RecordedLive()) as restarted:
        assert restarted.get("/", headers={"Cookie": cookie}).status_code == 200


def test_who_opens_pages_too_often_is_told_so_and_files_are_not_counted(
    plain: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "PAGES_PER_SECOND", 0.01)
    with serving(plain, RecordedLive()) as server:
        page = server.get("/", headers=HTML).text
        [script] = re.findall(r'src="(/assets/[^"]+theme\.js)"', page)
        assert {server.get(script).status_code for _ in range(60)} == {200}
        refused = server.get("/device", headers=HTML)
        assert problem(refused, 429)["type"].endswith("too-many-requests")


# ---- what a page may do


def test_a_page_may_run_its_own_scripts_and_no_others(plain: Settings) -> None:
    with serving(plain, RecordedLive()) as server:
        answer = server.get("/", headers=HTML)
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert policy == policy_for(answer.content)
    assert policy != policy_for(answer.content.replace(b"createApp", b"stealApp"))
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers


def test_nothing_is_written_and_nothing_is_taken(
    plain: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(plain, RecordedLive([reading("a")])) as server:
        for path in ("/", "/device?id=a", "/anomalies"):
            assert server.get(path, headers=HTML).status_code == 200
        for path in ("/", "/device", "/_nicegui/upload", "/assets/x"):
            assert server.post(path, content=b"x").status_code in (404, 405)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_unknown_paths_are_a_page_for_people_and_a_problem_for_programs(plain: Settings) -> None:
    with serving(plain, RecordedLive()) as server:
        page = server.get("/nowhere", headers=HTML)
        assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
        assert "There is no page at this address" in page.text
        assert problem(server.get("/nowhere"), 404)["type"].endswith("not-found")
        assert problem(server.get("/api/v1/nowhere", headers=HTML), 404)
        assert problem(server.post("/", headers=HTML), 405)


def test_commands_that_show_no_pages_do_not_load_them() -> None:
    code = (
        "import sys, iot_pipeline.cli, iot_pipeline.serving.server; print([m for m in sys.modules if 'nicegui' in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# ---- in a browser


@contextmanager
def a_world(tmp_path: Path, live: RecordedLive, *devices: str) -> Iterator[httpx.Client]:
    settings = load_settings(data=tmp_path / "data")
    publish(settings, *devices)
    with serving(settings, live) as server:
        yield server


def test_pages_work_light_and_dark_wide_and_narrow_without_a_complaint(tmp_path: Path, viewer: OpenViewer) -> None:
    with a_world(tmp_path, live_of("a"), "a") as server:
        for width in (1440, 390):
            for dark in (False, True):
                one = viewer(server, width=width, dark=dark)
                for path, seen in (
                    ("/", "Collectors"),
                    ("/device?id=a", "Readings behind"),
                    ("/anomalies", "Nothing is open"),
                ):
                    page = one.go(path, seen)
                    assert one.too_wide == 0, path
                    expect(page.locator("html")).to_have_attribute("data-theme", "dark" if dark else "light")


def test_light_and_dark_are_chosen_and_kept_in_the_browser(tmp_path: Path, viewer: OpenViewer) -> None:
    with a_world(tmp_path, live_of("a"), "a") as server:
        one = viewer(server)
        page = one.go("/")
        page.get_by_label("Light, dark or automatic").click(click_count=2)
        page.reload()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert page.evaluate("document.cookie") == ""


def test_everything_is_reached_from_the_keyboard(tmp_path: Path, viewer: OpenViewer) -> None:
    with a_world(tmp_path, live_of("pump-1", "pump-2", "fan"), "pump-1") as server:
        page = viewer(server).go("/", "Collectors")
        page.keyboard.press("Tab")
        expect(page.get_by_text("Skip to content")).to_be_focused()
        page.keyboard.press("?")
        expect(page.locator("#help")).to_be_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("g")
        page.keyboard.press("a")
        page.wait_for_url("**/anomalies")
        page.wait_for_function("window.did_handshake === true")
        page.keyboard.press("/")
        page.keyboard.type("pump")
        expect(page.locator(".suggestion")).to_have_text(["pump-1", "pump-2"])
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/device?id=pump-2")


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_outside_are_shown_as_they_are(tmp_path: Path, viewer: OpenViewer, name: str) -> None:
    live = live_of(name)
    live.readings[0] = reading(name, metric=name, fleet=name)
    live.flagged = []
    with a_world(tmp_path, live, name) as server:
        one = viewer(server)
        page = one.go("/")
        page.get_by_label("Find a device by").fill(name[:2])
        page.locator(".suggestion").click()
        page.wait_for_function("window.did_handshake === true")
        expect(page.locator("h1")).to_have_text(name)
        expect(page.locator(".tile-name").first).to_have_text(name)
        assert page.title().startswith(name)
        assert page.locator("main img, main script, main b").count() == 0


def test_times_are_the_viewers_with_utc_on_hover(tmp_path: Path, viewer: OpenViewer) -> None:
    live = live_of("a")
    live.readings[0] = replace(live.readings[0], event_ts=datetime(2026, 11, 22, 5, tzinfo=UTC))
    with a_world(tmp_path, live, "a") as server:
        for zone in ("Asia/Tokyo", "America/New_York"):
            page = viewer(server, zone=zone).go("/device?id=a")
            shown = page.locator(".about iot-time").first
            assert shown.get_attribute("title") == "2026-11-20 00:00:00 UTC"
            local = {"Asia/Tokyo": "20 Nov 2026, 09:00:00", "America/New_York": "19 Nov 2026, 19:00:00"}[zone]
            expect(shown).to_have_text(local)
            expect(page.locator("iot-zone")).to_have_text(zone.replace("_", " "))


def test_a_live_layer_that_cannot_be_believed_says_so_and_recovers_by_itself(
    tmp_path: Path, viewer: OpenViewer
) -> None:
    live = live_of("a")
    live.state = LiveState.REBUILDING
    with a_world(tmp_path, live, "a") as server:
        page = viewer(server).go("/", "being rebuilt from what has landed, 50% done")
        live.state = LiveState.STALE
        expect(page.get_by_text("Live figures are behind by")).to_be_visible()
        live.state = LiveState.LIVE
        expect(page.locator(".banner")).to_be_hidden()


def test_a_page_survives_a_restart_of_the_server_which_stops_within_seconds(tmp_path: Path, viewer: OpenViewer) -> None:
    port = free_loopback_port()
    variables = environment(IOT_DATA=str(tmp_path / "data"), IOT_WEB_PORT=str(port))
    command = [sys.executable, "-m", "iot_pipeline.serving.server"]

    def started(name: str) -> Child:
        child = Child(command, tmp_path / name, variables)
        child.start()
        child.wait_for(lambda: listens(port), f"port {port}")
        return child

    first = started("first.log")
    one = viewer(f"http://127.0.0.1:{port}")
    one.patient = True
    page = one.go("/", "Waiting for the first readings")
    before = page.evaluate("window.clientId")
    began = time.monotonic()
    assert first.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 30
    expect(page.locator("#popup")).to_be_visible()
    second = started("second.log")
    try:
        page.wait_for_function(f"window.clientId !== '{before}' && window.did_handshake")
        expect(page.locator("#popup")).to_be_hidden()
        expect(page.get_by_text("Waiting for the first readings")).to_be_visible()
    finally:
        page.close()
        second.end(signal.SIGTERM)
    for log in ("first.log", "second.log"):
        text = (tmp_path / log).read_text()
        assert [word for word in ("Traceback", "[error", "[warning", "ERROR", "WARNING") if word in text] == []


def test_what_a_page_knows_is_no_markup(plain: Settings) -> None:
    """The first answer holds every name as JSON inside a script: none of them ends it."""
    name = "</script><script>alert(1)</script>"
    with serving(plain, RecordedLive([reading(name)])) as server:
        answer = server.get("/device", params={"id": name}, headers=HTML)
        assert "<script>alert(1)" not in answer.text
        assert policy_for(answer.content) == answer.headers["content-security-policy"]
        assert json.dumps(name)[1:-1] not in answer.text
