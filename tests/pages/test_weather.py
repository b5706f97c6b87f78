"""The weather page in a browser."""

from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from iot_pipeline.clock import utc_now
from iot_pipeline.settings import Settings, load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.plants_world import (
    MADRID,
    PlantsLive,
    flag,
    looking,
    minutes,
    publish_devices,
    publish_stations,
    temperatures,
    told,
)


def world(tmp_path: Path) -> tuple[Settings, PlantsLive]:
    now = utc_now()
    return load_settings(data=tmp_path), PlantsLive(readings=temperatures(now), history=minutes(now))


def test_stations_stand_on_the_map_and_follow_in_place(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    publish_stations(settings.paths)
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/weather", "Temperatures")
        madrid = tab.see("a.wx-station").filter(has_text="Madrid")
        expect(madrid).to_contain_text("17.2")
        assert madrid.get_attribute("href") == f"/device?id={MADRID}"
        madrid.evaluate("element => { element.mark = 'the same' }")
        live.readings = [told(MADRID, -3.0, utc_now())]
        expect(madrid).to_contain_text("\N{MINUS SIGN}3.0")
        assert madrid.evaluate("element => element.mark") == "the same"
        expect(tab.see("a.wx-station.is-stale")).to_have_count(2)
        row = tab.see("tbody tr").filter(has_text="Madrid").first
        expect(row).to_contain_text("600")  # readings of the last 24 hours
        assert tab.page.get_by_role("img", name="Graticule of latitude and longitude").count() == 1


def test_anomalies_are_shown_for_k_means_and_beside_it(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    publish_stations(settings.paths)
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/weather", "Anomalies in the last 30 minutes")
        expect(tab.page.get_by_role("img", name="kmeans_minute: 0 flags in the last 30 minutes")).to_have_count(3)
        live.flagged = [flag(MADRID, utc_now() - timedelta(minutes=2))]
        expect(tab.page.get_by_role("img", name="rolling_z: 1 flags in the last 30 minutes")).to_be_visible()
        expect(tab.page.get_by_text("1 flagged readings")).to_be_visible()
        expect(tab.page.get_by_text("Newest: <b>rolling_z</b> says so")).to_be_visible()


def test_maxima_by_day_and_by_month_say_when_there_is_none(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    publish_stations(settings.paths)
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/weather", "Maximum temperature")
        card = tab.see(".card").filter(has=tab.page.get_by_role("heading", name="Maximum temperature"))
        expect(card.get_by_text("17.2")).to_be_visible()
        card.get_by_role("button", name="by month").click()
        expect(card.get_by_text("No data found.")).to_be_visible()


def test_last_hours_can_be_chosen_and_a_narrow_screen_needs_no_scrolling(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    publish_stations(settings.paths)
    with looking(viewer, settings, live, width=390, dark=True) as (tab, _):
        tab.go("/weather", "Last hours")
        expect(tab.see(".chart canvas")).to_have_count(3)
        for span in ("24 h", "1 h", "6 h"):
            tab.page.get_by_role("button", name=span, exact=True).click()
        expect(tab.page.get_by_role("button", name="6 h", exact=True)).to_have_attribute("aria-pressed", "true")
        assert tab.too_wide == 0


def test_stations_without_a_place_are_listed_and_nothing_yet_is_told(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = world(tmp_path)
    live.readings = []
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/weather", "No weather station has said anything yet.")
        publish_devices(settings.paths, [])
        live.readings = [told("<i>station</i>", 1.0, utc_now())]
        expect(tab.page.get_by_text("Not on the map")).to_contain_text("<i>station</i>")
