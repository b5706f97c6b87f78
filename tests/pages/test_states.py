"""The page of the US states in a browser."""

from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from iot_pipeline.clock import floor_minute, utc_now
from iot_pipeline.settings import Settings, load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.plants_world import PlantsLive, looking, publish_states, window

THREE = timedelta(seconds=3)
MEANS = {"TX": 70.4, "OH": 50.0, "AK": 20.0}


def world(tmp_path: Path) -> tuple[Settings, PlantsLive]:
    start = floor_minute(utc_now())
    minute = timedelta(minutes=1)
    live = PlantsLive(
        states=[
            window(start, {"TX": 1.0}),
            window(start - THREE, MEANS),
            window(start, {"TX": 1.0}, seconds=60),
            window(start - minute, {"OH": 55.0}, seconds=60),
        ]
    )
    return load_settings(data=tmp_path), live


def test_the_four_figures_of_a_window_are_shown_in_their_order(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    with looking(viewer, settings, live) as (tab, _):
        page = tab.go("/states", "Mean temperature by state")
        expect(tab.see("tbody th")).to_have_text(["TX", "OH", "AK"])
        expect(tab.see("tbody tr").first).to_contain_text("21.3")  # °C
        heads = ["Map of means in °F", "Mean temperature by state", "Messages", "Sensors by state", "Sensors in total"]
        expect(tab.see("main .card h2")).to_have_text(heads)
        expect(tab.see(".us-big")).to_have_text(["6", "120"])
        expect(tab.see(".us-count dt")).to_have_text(["AK", "OH", "TX"])
        tile = page.get_by_role("listitem", name="Texas: 70.4 °F (21.3 °C), messages: 2")
        expect(tile).to_have_text("TX70")
        tile.evaluate("element => { element.mark = 'the same' }")
        live.states.insert(0, window(live.states[0].start + THREE, {"TX": 2.0}))
        silent = page.get_by_role("listitem", name="Ohio: 50.0 °F (10.0 °C), from a window before this one")
        expect(silent).to_have_class("us-tile us-older")
        changed = page.get_by_role("listitem", name="Texas: 1.0 °F (\N{MINUS SIGN}17.2 °C), messages: 2")
        assert changed.evaluate("element => element.mark") == "the same"


def test_minutes_are_published_ones_or_live_until_there_is_one(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    with looking(viewer, settings, live) as (tab, server):
        tab.go("/states", "3 seconds")
        tab.page.get_by_role("button", name="minute").click()
        expect(tab.see("tbody th").first).to_have_text("OH")
        expect(tab.see(".pill").first).to_have_text("live")
        publish_states(settings.paths, {"CA": 61.0, "WA": 48.0})
        tab.page.get_by_role("button", name="minute").click()
        expect(tab.see(".pill").first).to_have_text("published")
        expect(tab.see(".us-big")).to_have_text(["22", "14"])
        assert server.get("/api/v1/reports/states-temperature").json()["rows"][0]["state"] == "CA"


def test_nothing_yet_is_told_and_fills_by_itself(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    windows, live.states = live.states, []
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/states", "No temperature of a state in the last minutes.")
        live.states = windows
        expect(tab.see("tbody th").first).to_have_text("TX")


def test_a_narrow_screen_needs_no_scrolling_and_names_stay_text(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    start = live.states[0].start
    live.states = [window(start, {"TX": 1.0}), window(start - THREE, {"<img src=x>": 30.0, "TX": 20.0})]
    with looking(viewer, settings, live, width=390, dark=True) as (tab, _):
        tab.go("/states", "Without a tile: <img src=x>")
        assert tab.too_wide == 0
        assert tab.see("main img").count() == 0
