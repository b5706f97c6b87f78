"""The line's page in a browser: states as strips, currents, charge, starts, zones, valves, flags, days."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.sync_api import expect

from iot_pipeline.clock import DAY, MINUTE, floor_minute
from iot_pipeline.live.model import LiveFlag
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.grid_world import GridLive, file_line_readings, last_start, publish_days, publish_devices
from tests.serving.served import serving

FILED_MINUTES = 25
PRESS = "line_1/press_1"
ODD = "</div><script>alert(1)</script>"


@pytest.fixture(scope="module")
def live() -> GridLive:
    return GridLive(users=0)


@pytest.fixture(autouse=True)
def _present(live: GridLive) -> None:
    """Each test is at its own present."""
    live.now = datetime.now(UTC)


@pytest.fixture(scope="module")
def published(live: GridLive, tmp_path_factory: pytest.TempPathFactory) -> DataPaths:
    paths = DataPaths(tmp_path_factory.mktemp("line"))
    publish_devices(paths, 0, live.now)
    publish_days(paths, (live.now - DAY).date(), 4, 1)
    now = floor_minute(live.now)
    begin = min(now - FILED_MINUTES * MINUTE, floor_minute(last_start(PRESS, now - 3 * MINUTE)) - MINUTE)
    file_line_readings(paths, 1, begin, (now - begin) // MINUTE)
    return paths


@pytest.fixture(scope="module")
def server(published: DataPaths, live: GridLive) -> Iterator[httpx.Client]:
    with serving(load_settings(data=published.root), live) as client:
        yield client


def test_a_line_shows_its_machines(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line", "line_1 · 5 devices", "line_2 · 5 devices")
    expect(page.locator(".machine")).to_have_count(3)
    for name in ("conveyor_1", "mixer_1", "press_1"):
        told = page.locator(".machine", has_text=name).inner_text()
        assert re.search(r"Current\s+[\d.]+\s*A", told)
        assert re.search(r"Vibration\s+[\d.]+\s*mm/s", told)


def test_another_machine_is_chosen_by_its_link(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line?line=line_1", "press_1")
    page.locator(".machine", has_text="press_1").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".machine[aria-current=true]")).to_contain_text("press_1")
    expect(page.get_by_text("press_1 by day")).to_be_visible()


def test_states_are_strips_with_words(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line?line=line_1&machine=line_1%2Fpress_1", "press_1 was")
    strip = page.get_by_role("img", name=re.compile("States of press_1: .* in the last 2 hours"))
    expect(strip.locator(".state-running").first).to_be_attached()
    assert re.search(
        r"running, .* until \d\d:\d\d:\d\d UTC", strip.locator(".state-running").first.get_attribute("title") or ""
    )
    table = page.get_by_role("region", name="Time in state of line_1/press_1")
    expect(table).to_contain_text("running")
    assert sum(float(share) for share in re.findall(r"([\d.]+) %", table.inner_text())) == pytest.approx(100, abs=1)


def test_currents_charge_and_starts_have_units(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line?line=line_1&machine=line_1%2Fpress_1", "Integral of the hour")
    charge = page.locator(".card", has_text="Integral of the hour").last.inner_text()
    assert re.search(r"L1\s+[\d.]+\s*A·h\s+L2\s+[\d.]+\s*A·h", charge)
    assert re.search(r"[\d.]+% covered since \d\d:00 UTC", charge)
    expect(page.get_by_role("img", name="Currents of line_1/press_1")).to_be_visible()
    expect(page.get_by_role("region", name="Last starts with their inrush").locator("tbody tr").first).to_be_visible()


def test_vibration_names_its_zone_and_its_source(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line?line=line_1&machine=line_1%2Fconveyor_1", "ISO 10816-3:2009, tables A.1 and A.2")
    expect(page.get_by_role("img", name="Zone A")).to_be_visible()
    expect(page.get_by_text("newly commissioned", exact=True)).to_be_visible()
    expect(page.get_by_text("class: group 2, rigid support")).to_be_visible()


def test_valves_have_a_trend_by_direction(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line", "Valve travel times")
    rows = page.get_by_role("region", name="Travel times of the valves").locator("tbody tr")
    expect(rows).to_have_count(4)
    expect(rows.nth(2)).to_contain_text("+1.50 ms/d")
    expect(rows.nth(2).locator("iot-spark svg")).to_be_attached()


def test_days_can_be_looked_at(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line", "conveyor_1 by day")
    for kind, unit in (
        ("Current integral", "A·h"),
        ("Unbalance", "%"),
        ("Vibration", "mm/s rms"),
        ("Time in state", "h"),
    ):
        page.get_by_role("button", name=kind).click()
        expect(page.get_by_role("img", name=f"{kind} of conveyor_1 by day, {unit}")).to_be_visible()
    page.get_by_text("As a table").click()
    expect(page.get_by_role("region", name="Time in state of conveyor_1 by day").locator("tbody tr")).to_have_count(4)


def test_a_state_changes_in_place(server: httpx.Client, live: GridLive, viewer: OpenViewer) -> None:
    page = viewer(server).go("/line", "mixer_1")
    state = page.locator(".machine", has_text="mixer_1").locator(".pill-state")
    state.evaluate("each => each.dataset.same = 'yes'")
    live.replaced["line_1/mixer_1", "state"] = ODD
    try:
        expect(state).to_have_text(ODD)
        assert state.get_attribute("data-same") == "yes"
        assert "state-other" in (state.get_attribute("class") or "")
    finally:
        live.replaced.clear()


def test_flags_of_the_line_say_why(server: httpx.Client, live: GridLive, viewer: OpenViewer) -> None:
    at = live.now - timedelta(minutes=3)
    mine = LiveFlag(at, "line_1/press_1", "v_rms", "mm/s", 9.5, "rolling_z", 2.0, 1.0, 2.5, f"far above {ODD}")
    other = LiveFlag(at, "line_2/press_1", "v_rms", "mm/s", 9.5, "rolling_z", 2.0, 1.0, 2.5, "of another line")
    live.flagged = [mine, other]
    try:
        page = viewer(server).go("/line?line=line_1", f"far above {ODD}")
        expect(page.get_by_text("of another line")).to_have_count(0)
        expect(page.locator(".machine", has_text="press_1")).to_contain_text("1 flag in the hour")
        expect(page.get_by_role("region", name="Flags of the last hour")).to_contain_text(re.compile(r"1[.0]* to 2\.5"))
    finally:
        live.flagged = []


def test_an_unknown_line_is_told(server: httpx.Client, viewer: OpenViewer) -> None:
    viewer(server).go("/line?line=nowhere", "No device of a line called 'nowhere' was heard")


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(server: httpx.Client, viewer: OpenViewer, *, dark: bool) -> None:
    one = viewer(server, width=390, height=844, dark=dark)
    one.go("/line", "Currents", "Valve travel times")
    assert one.too_wide == 0
