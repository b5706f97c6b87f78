"""The page of the ice plant in a browser."""

from datetime import timedelta
from pathlib import Path

from playwright.sync_api import expect

from iot_pipeline.clock import utc_now
from iot_pipeline.settings import Settings, load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.plants_world import NODE, PlantsLive, looking, measures, minutes, publish_plant, told


def plant(tmp_path: Path, **values: float) -> tuple[Settings, PlantsLive]:
    settings = load_settings(data=tmp_path)
    now = utc_now()
    return settings, PlantsLive(readings=measures(now, **values), history=minutes(now))


def test_measures_stand_at_their_places_and_follow_without_being_built_anew(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = plant(tmp_path)
    publish_plant(settings.paths)
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/ice-plant", "Refrigeration circuit", f"{NODE}: online", "all measures in range")
        voltage = tab.page.get_by_role("link", name="Compressor voltage: 225.0 V, in range")
        expect(voltage).to_be_visible()
        voltage.evaluate("element => { element.mark = 'the same' }")
        live.readings = measures(utc_now(), voltage=231.5)
        outside = tab.page.get_by_role("link", name="Compressor voltage: 231.5 V, out of range")
        expect(outside).to_be_visible()
        assert outside.evaluate("element => element.mark") == "the same"
        expect(tab.page.get_by_text("1 out of range")).to_be_visible()
        assert tab.page.get_by_role("img", name="Refrigeration circuit").count() == 1


def test_a_silent_plant_is_stale(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = plant(tmp_path)
    publish_plant(settings.paths, state="offline")
    live.readings = measures(utc_now() - timedelta(minutes=5))
    with looking(viewer, settings, live, dark=True) as (tab, _):
        tab.go("/ice-plant", f"{NODE}: offline", "10 stale")
        expect(tab.see(".plant-wide .is-stale")).to_have_count(10)


def test_the_table_has_the_periods_of_the_report_and_a_click_leads_to_the_device(
    tmp_path: Path, viewer: OpenViewer
) -> None:
    settings, live = plant(tmp_path)
    publish_plant(settings.paths)
    with looking(viewer, settings, live) as (tab, server):
        tab.go("/ice-plant", "Measures by period")
        row = tab.see(
            "tbody tr",
        ).filter(has_text="Compressor inlet pressure")
        expect(row).to_contain_text("0.450")
        expect(row).to_contain_text("bar")
        assert server.get(str(tab.page.get_by_role("link", name="CSV").get_attribute("href"))).text.count("\n") == 11
        tab.page.get_by_role("button", name="year").click()
        expect(tab.page.get_by_text("No data found for this period.")).to_be_visible()
        expect(tab.page.get_by_role("button", name="year")).to_have_attribute("aria-pressed", "true")
        link = tab.page.get_by_role("link", name="Brine temperature")
        assert link.first.get_attribute("href") == "/device?id=ice_plant%2Fsensors%2Fdevice_9"


def test_nothing_yet_says_so_and_fills_by_itself(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = plant(tmp_path)
    readings, live.readings = live.readings, []
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/ice-plant", "No ice plant has said anything yet.")
        live.readings = readings
        expect(tab.page.get_by_role("link", name="Compressor voltage: 225.0 V")).to_be_visible()


def test_a_narrow_screen_has_a_drawing_of_its_own(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = plant(tmp_path)
    publish_plant(settings.paths)
    with looking(viewer, settings, live, width=390) as (tab, _):
        tab.go("/ice-plant", "Refrigeration circuit")
        expect(tab.see(".plant-narrow .plant-tag").first).to_be_visible()
        expect(tab.see(".plant-wide")).to_be_hidden()
        assert tab.too_wide == 0


def test_names_from_outside_are_text(tmp_path: Path, viewer: OpenViewer) -> None:
    settings, live = plant(tmp_path)
    evil = "ice_plant/sensors/<img src=x onerror=alert(1)>"
    live.readings.append(told(evil, 1.0, utc_now(), unit="<b>", fleet="ice_plant"))
    live.readings.append(told("other/node/device_1", 1.0, utc_now(), unit="V", fleet="ice_plant"))
    with looking(viewer, settings, live) as (tab, _):
        tab.go("/ice-plant", "Not on the drawing: <img src=x onerror=alert(1)>")
        assert tab.see("main img").count() == 0
        expect(tab.page.get_by_role("link", name="other/node")).to_have_attribute(
            "href", "/ice-plant?node=other%2Fnode"
        )
        tab.go("/ice-plant?node=%3Cb%3E", "Refrigeration circuit")
