"""Events in the inbox, in a real browser: a sentence each, the message behind it, judged from the keyboard."""

from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from iot_pipeline.anomalies.feedback import FeedbackLabel, read_feedback
from iot_pipeline.clock import MINUTE, day_start
from iot_pipeline.serving.readings import device_readings
from iot_pipeline.settings import Settings, load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.world import flag, live_of, publish
from tests.serving.served import event, publish_events, serving

NAMES = ("0" * 16, "1" * 16)


def world(tmp_path: Path, *devices: str) -> Settings:
    """Two events, of the first device and then of the second, and the message behind that of the first."""
    settings = load_settings(data=tmp_path / "data")
    first = publish(settings, *devices)
    at = first + timedelta(seconds=30)
    found = device_readings(settings.paths, devices[0], at, at + timedelta(seconds=1))
    # Events begin and end on one day, and tests may run at midnight.
    opened = max(first - 10 * MINUTE, day_start((first - MINUTE).date()))
    rows = [
        event(name, opened - index * timedelta(seconds=1), device, severity=severity)
        for index, (name, device, severity) in enumerate(zip(NAMES, devices, ("critical", "warning"), strict=True))
    ]
    rows[0] |= {"peak_at": at, "last_flag_at": at, "status": "open", "closed_at": None}
    rows[0] |= {"peak_message_id": found["message_id"].item(0)}
    rows[1] |= {"type": "drift", "detector": "drift"}
    publish_events(settings.paths, *rows)
    return settings


def test_events_are_told_in_a_sentence_before_what_is_seen_just_now(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a", "b")
    with serving(settings, live_of("a", "b", flags=(flag("a", timedelta(0), 1.5),))) as server:
        page = viewer(server).go("/anomalies?range=24h", "a t: far above what is usual; 34 readings in 12 min")
        rows = page.locator(".inbox-row")
        expect(rows).to_have_count(3)
        expect(rows.nth(0)).to_contain_text("going on")
        expect(rows.nth(1)).to_contain_text("drift")
        expect(rows.nth(2)).to_contain_text("just now")
        expect(page.locator(".inbox-detail")).to_contain_text("10.000 to 20.000 °C")


def test_the_message_behind_an_event_is_a_key_away(tmp_path: Path, viewer: OpenViewer) -> None:
    with serving(world(tmp_path, "a", "b"), live_of("a", "b")) as server:
        page = viewer(server).go("/anomalies?range=24h", "Message behind it")
        page.keyboard.press("m")
        expect(page.locator(".payload")).to_contain_text('"t": 21.5')
        page.keyboard.press("j")
        expect(page.locator(".payload")).to_have_count(0)
        page.keyboard.press("m")
        expect(page.get_by_text("No message is known of this one.")).to_be_visible()


def test_an_event_is_judged_by_its_strangest_reading(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a", "b")
    with serving(settings, live_of("a", "b")) as server:
        page = viewer(server).go("/anomalies?range=24h", "a t: far above")
        page.get_by_label("Your name").fill("ann")
        page.get_by_role("button", name="Known cause").last.click()
        expect(page.locator(".inbox-row")).to_have_count(1)
        [said] = read_feedback(settings.paths)
        assert (said.flag.device_id, said.flag.detector, said.label) == ("a", "rolling_z", FeedbackLabel.known_cause)
        page.get_by_label("State").select_option("done")
        expect(page.locator(".inbox-row")).to_contain_text("known cause")


def test_what_somebody_types_stays_while_the_page_changes_around_it(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = world(tmp_path, "a", "b")
    with serving(settings, live_of("a", "b")) as server:
        page = viewer(server).go("/anomalies?range=24h", "a t: far above")
        page.get_by_label("Your name").fill("ann")
        page.get_by_label("Note").fill("valve was open")
        page.get_by_role("button", name="Choose all shown").click()
        expect(page.get_by_role("button", name="Acknowledge 2 chosen")).to_be_visible()
        expect(page.get_by_label("Your name")).to_have_value("ann")
        expect(page.get_by_label("Note")).to_have_value("valve was open")
        page.get_by_role("button", name="Confirmed").last.click()
        expect(page.locator(".inbox-row")).to_have_count(1)
        [said] = read_feedback(settings.paths)
        assert (said.author, said.note) == ("ann", "valve was open")


def test_the_list_is_narrowed_to_a_type(tmp_path: Path, viewer: OpenViewer) -> None:
    with serving(world(tmp_path, "a", "b"), live_of("a", "b")) as server:
        page = viewer(server).go("/anomalies?range=24h", "a t: far above")
        page.get_by_label("Type").select_option("drift")
        expect(page.locator(".inbox-row")).to_have_count(1)
        page.wait_for_url("**type=drift*")
        page.reload()
        expect(page.get_by_label("Type")).to_have_value("drift")
        expect(page.locator(".reason")).to_contain_text("b t: far above")


def test_without_published_events_single_flags_are_told(tmp_path: Path, viewer: OpenViewer) -> None:
    settings = load_settings(data=tmp_path / "data")
    publish(settings, "a")
    for path in sorted(settings.paths.events.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    settings.paths.events.rmdir()
    with serving(settings, live_of("a", flags=(flag("a", timedelta(minutes=10)),))) as server:
        viewer(server).go("/anomalies", "Single flags only", "far above what is usual of a")
