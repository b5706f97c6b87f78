"""Overview, device and inbox in a real browser: what a person sees and does there."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from iot_pipeline.anomalies.feedback import FeedbackLabel, read_feedback
from iot_pipeline.clock import MINUTE, utc_now
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings, load_settings
from tests.pages.conftest import OpenViewer, Viewer
from tests.pages.test_overview_view import beat
from tests.pages.test_shell import KEY, WRITING
from tests.pages.world import flag, live_of, publish
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import serving
from tests.stats.world import Row, file_readings


def world(tmp_path: Path, *devices: str, **wanted: object) -> Settings:
    settings = load_settings(data=tmp_path / "data", **wanted)
    publish(settings, *devices)
    return settings


# ---- overview


def test_the_first_run_tells_what_happens_next(tmp_path: Path, viewer: OpenViewer) -> None:
    from iot_pipeline.landing.heartbeat import write_heartbeat  # noqa: PLC0415

    settings = load_settings(data=tmp_path)
    live = RecordedLive()
    with serving(settings, live) as server:
        page = viewer(server, width=390).go("/", "Waiting for the first readings", "iot up")
        assert page.locator(".step-done").count() == 0
        settings.paths.state.mkdir(parents=True)
        now = utc_now()
        write_heartbeat(settings.paths, beat(written_at=now, landed_through=now, started_at=now))
        expect(page.locator(".step-done")).to_have_count(3)
        live.readings = live_of("a").readings
        expect(page.get_by_text("All well")).to_be_visible()
        expect(page.locator(".step")).to_have_count(0)


def test_a_critical_anomaly_is_seen_at_once_and_leads_to_its_device(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path, "a"), live_of("a")
    with serving(settings, live) as server:
        page = viewer(server).go("/", "Nothing unusual")
        live.flagged.append(flag("a", timedelta(seconds=5), 9.0))
        expect(page.get_by_text("1 critical anomaly in the last hour")).to_be_visible()
        page.get_by_text("far above what is usual of a").click()
        page.wait_for_url("**/device?id=a&metric=t&unit=*")


def test_links_lead_to_the_asset_behind_a_stage(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a", dagster_port=3456)
    with serving(settings, live_of("a")) as server:
        page = viewer(server).go("/", "Collectors")
        expect(page.get_by_role("link", name="Minutes", exact=True)).to_have_attribute(
            "href", "http://127.0.0.1:3456/assets/device_minute"
        )


# ---- device


def pick(one: Viewer, share: float) -> None:
    """Click into the chart at a share of its width."""
    canvas = one.page.locator(".chart-canvas canvas")
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    one.page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)


def test_from_a_point_of_the_chart_to_the_message_that_told_it(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a")
    live = live_of("a")
    live.history = []
    with serving(settings, live) as server:
        one = viewer(server)
        page = one.go("/device?id=a&range=live", "12 readings")
        pick(one, 0.8)
        expect(page.locator(".readings tbody tr").first).to_be_visible()
        page.get_by_role("button", name="message").first.click()
        expect(page.locator(".payload")).to_contain_text('"by": "<b>nobody</b>"')
        expect(page.get_by_text("w/<i>1</i>")).to_be_visible()
        assert page.locator("main b, main i").count() == 0


def test_a_range_and_a_metric_are_chosen_and_stay_in_the_address(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path, "a"), live_of("a")
    live.readings.append(replace(live.readings[0], metric="humidity", unit="%", value=55.0))
    with serving(settings, live) as server:
        page = viewer(server).go("/device?id=a&metric=t", "°C")
        page.get_by_role("button", name="humidity").click()
        page.get_by_role("button", name="6 h", exact=True).click()
        page.wait_for_url("**metric=humidity&unit=%25&range=6h")
        expect(page.get_by_role("img", name="humidity of a in %, last 6 h")).to_be_visible()
        expect(page.get_by_role("link", name="device_minute").first).to_be_visible()
        page.reload()
        expect(page.get_by_role("button", name="6 h", exact=True)).to_have_attribute("aria-pressed", "true")


def test_flags_of_a_device_are_listed_with_their_reasons(tmp_path: Path, viewer: OpenViewer) -> None:
    live = live_of("a", flags=tuple(flag("a", timedelta(minutes=5, seconds=second)) for second in range(3)))
    with serving(world(tmp_path, "a"), live) as server:
        page = viewer(server).go("/device?id=a", "Flags in this range: 3")
        expect(page.get_by_text("far above what is usual of a")).to_have_count(1)


def test_an_unknown_device_is_not_found_and_similar_ones_are_offered(tmp_path: Path, viewer: OpenViewer) -> None:
    with serving(world(tmp_path, "pump-1"), live_of("pump-1")) as server:
        assert server.get("/device?id=pumq", headers={"Accept": "text/html"}).status_code == 404
        one = viewer(server)
        one.patient = True
        page = one.page
        page.goto(f"{one.base}/device?id=pum%20%3Cb%3E")
        expect(page.get_by_text("pum <b>")).to_be_visible()
        page.get_by_role("link", name="pump-1").click()
        page.wait_for_url("**/device?id=pump-1")
        one.complaints.clear()  # a browser says 404 on its console


def test_while_figures_are_replaced_the_page_says_so_and_recovers(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a")
    marts, away = settings.paths.marts, tmp_path / "away"
    marts.rename(away)
    live = live_of("a")
    with serving(settings, live) as server:
        page = viewer(server).go("/device?id=a&range=6h", "ask again in half a minute")
        away.rename(marts)
        page.get_by_role("button", name="6 h", exact=True).click()
        expect(page.get_by_text("ask again in half a minute")).to_be_hidden()


# ---- inbox


def said(paths: DataPaths) -> list[tuple[str, FeedbackLabel, str]]:
    return [(one.flag.device_id, one.label, one.author) for one in read_feedback(paths)]


def test_flags_are_judged_from_the_keyboard(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a", "b", "c")
    flags = tuple(flag(name, timedelta(minutes=5 + age), 2.0) for age, name in enumerate("abc"))
    live = live_of("a", "b", "c", flags=flags)
    with serving(settings, live) as server:
        page = viewer(server).go("/anomalies", "far above what is usual of a")
        page.keyboard.press("a")
        expect(page.get_by_text("Say who you are first")).to_be_visible()
        page.get_by_label("Your name").fill("ann")
        page.keyboard.press("Tab")
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("j")
        expect(page.locator(".reason")).to_have_text("far above what is usual of b")
        page.keyboard.press("f")
        expect(page.locator(".inbox-row")).to_have_count(2)
        expect(page.locator(".reason")).to_have_text("far above what is usual of c")
        page.keyboard.press("k")
        expect(page.locator(".reason")).to_have_text("far above what is usual of a")
        page.keyboard.press("c")
        expect(page.locator(".inbox-row")).to_have_count(1)
        assert said(settings.paths) == [("b", FeedbackLabel.false_alarm, "ann"), ("a", FeedbackLabel.confirmed, "ann")]
        page.reload()
        expect(page.get_by_label("Your name")).to_have_value("ann")


def test_many_are_acknowledged_at_once_with_every_flag_they_hold(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a", "b")
    flags = tuple(flag(name, timedelta(minutes=5, seconds=second)) for name in "ab" for second in range(3))
    with serving(settings, live_of("a", "b", flags=flags)) as server:
        page = viewer(server).go("/anomalies", "far above")
        page.get_by_label("Your name").fill("ann")
        page.get_by_role("button", name="Choose all shown").click()
        page.get_by_role("button", name="Acknowledge 2 chosen").click()
        expect(page.get_by_text("Nothing is open.")).to_be_visible()
        assert len(said(settings.paths)) == 6
        page.get_by_label("State").select_option("done")
        expect(page.locator(".inbox-row")).to_have_count(2)


def test_the_list_is_narrowed_and_the_address_keeps_it(tmp_path: Path, viewer: OpenViewer) -> None:
    flags = (flag("pump", timedelta(minutes=5), 9.0), flag("fan", timedelta(minutes=6), 1.2, detector="kmeans"))
    with serving(world(tmp_path, "pump", "fan"), live_of("pump", "fan", flags=flags)) as server:
        page = viewer(server).go("/anomalies", "far above")
        page.get_by_label("Severity").select_option("critical")
        expect(page.locator(".inbox-row")).to_have_count(1)
        page.get_by_label("Severity").select_option("")
        page.get_by_label("Device", exact=True).fill("FA")
        expect(page.locator(".inbox-row")).to_have_count(1)
        page.wait_for_url("**device=FA*")
        page.reload()
        expect(page.get_by_label("Device", exact=True)).to_have_value("FA")
        expect(page.locator(".inbox-row")).to_contain_text("fan")


def test_a_key_that_only_reads_can_look_and_not_judge(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a", api_keys=f"wall:{KEY},ann:{WRITING}", api_labellers=["ann"])
    live = live_of("a", flags=(flag("a", timedelta(minutes=5)),))
    with serving(settings, live) as server:
        reader = viewer(server, http_credentials={"username": "x", "password": KEY})
        page = reader.go("/anomalies", "Your key only reads", "far above")
        assert page.get_by_role("button", name="Confirmed").count() == 0
        writer = viewer(server, http_credentials={"username": "x", "password": WRITING})
        page = writer.go("/anomalies", "far above")
        assert page.get_by_label("Your name").count() == 0
        page.get_by_role("button", name="Confirmed").click()
        expect(page.get_by_text("Nothing is open.")).to_be_visible()
    assert said(settings.paths) == [("a", FeedbackLabel.confirmed, "ann")]


def test_on_a_phone_the_list_comes_first_and_a_choice_fills_the_screen(tmp_path: Path, viewer: OpenViewer) -> None:
    live = live_of("a", flags=(flag("a", timedelta(minutes=5)),))
    with serving(world(tmp_path, "a"), live) as server:
        one = viewer(server, width=390, height=844)
        page = one.go("/anomalies", "5 min ago")
        expect(page.locator(".reason")).to_be_hidden()
        page.locator(".inbox-open").click()
        expect(page.locator(".reason")).to_be_visible()
        assert one.too_wide == 0
        page.get_by_role("button", name="Back to the list").click()
        expect(page.locator(".reason")).to_be_hidden()


def test_the_chart_of_an_entry_shows_readings_around_it(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a")
    at = utc_now() - timedelta(minutes=5)
    file_readings(settings, [Row(at + index * MINUTE / 4, 20.0, "a", "t", "°C") for index in range(4)])
    with serving(settings, live_of("a", flags=(flag("a", timedelta(minutes=5)),))) as server:
        page = viewer(server).go("/anomalies", "far above")
        expect(page.get_by_role("img", name="t of a around the flags")).to_be_visible()
