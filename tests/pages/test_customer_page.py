"""A customer's page in a browser: live figures in place, days and bill, search, unknown names, narrow and dark."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest
from playwright.sync_api import Page, expect

from iot_pipeline.clock import DAY
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.grid_world import GridLive, Row, publish_days, publish_devices
from tests.serving.served import serving

USERS = 12
ODD = "<img src=x onerror=alert(1)>{{7*7}}"


@pytest.fixture(scope="module")
def live() -> GridLive:
    return GridLive(users=USERS)


@pytest.fixture(autouse=True)
def _present(live: GridLive) -> None:
    """Each test is at its own present."""
    live.now = datetime.now(UTC)


@pytest.fixture(scope="module")
def published(live: GridLive, tmp_path_factory: pytest.TempPathFactory) -> DataPaths:
    """Devices and five days."""
    paths = DataPaths(tmp_path_factory.mktemp("customer"))
    odd: Row = {"device_id": "odd", "fleet": "utility", "attributes": "{}", "customer": ODD, "region": "north"}
    publish_devices(paths, USERS, live.now, [odd])
    publish_days(paths, (live.now - DAY).date(), 5, USERS)
    return paths


@pytest.fixture(scope="module")
def server(published: DataPaths, live: GridLive) -> Iterator[httpx.Client]:
    with serving(load_settings(data=published.root), live) as client:
        yield client


def card(page: Page, utility: str) -> str:
    return page.locator(".use-card", has_text=utility).inner_text()


def test_a_home_sees_what_it_uses(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/customer?id=c-0000001", "Home in", "By day and month")
    for utility, rate, unit in (("Electricity", "kW", "kWh"), ("Gas", "m³/h", "m³"), ("Water", "m³/h", "m³")):
        told = card(page, utility)
        assert re.search(r"\d\.\d+", told)
        assert rate in told
        assert re.search(rf"Today\s+[\d.]+\s*{unit}", told)
        assert "of a usual day" in told
    # One chart for each utility, and one over days.
    expect(page.locator(".chart canvas")).to_have_count(4)
    assert page.get_by_role("img", name=re.compile("electricity by hour, last 24 hours")).count() == 1
    assert page.get_by_role("link", name="m-0000001").get_attribute("href") == "/device?id=m-0000001"


def test_figures_change_in_place(server: httpx.Client, live: GridLive, viewer: OpenViewer) -> None:
    page = viewer(server).go("/customer?id=c-0000002", "Electricity")
    number = page.locator(".use-card", has_text="Electricity").locator(".use-now-number")
    number.evaluate("each => each.dataset.same = 'yes'")
    live.replaced["m-0000004", "rate"] = 7.25
    try:
        expect(number).to_have_text("7.25")
        assert number.get_attribute("data-same") == "yes"
    finally:
        live.replaced.clear()


def test_days_and_months_can_be_chosen_by_keyboard(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/customer?id=c-0000001", "By day and month")
    assert page.get_by_role("img", name=re.compile("^electricity by day, kWh")).count() == 1
    page.get_by_role("button", name="Months").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("img", name=re.compile("^electricity by month, kWh"))).to_be_visible()
    page.get_by_role("button", name="Gas").click()
    expect(page.get_by_role("img", name=re.compile("^gas by month, m³"))).to_be_visible()
    expect(page.get_by_role("button", name="Gas")).to_have_attribute("aria-pressed", "true")


def test_the_bill_is_explained(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/customer?id=c-0000001", "Live figures and the bill")
    expect(page.locator("[data-role=correction]")).to_contain_text("we bill 0.0213 kWh more than was shown live")
    page.get_by_text("Day by day").click()
    expect(page.get_by_role("cell", name="+0.0213 kWh").first).to_be_visible()
    agreeing = viewer(server).go("/customer?id=c-0000002", "Live figures and the bill")
    expect(agreeing.locator("[data-role=correction]")).to_contain_text("the same to the fourth decimal")
    for name, address in (
        ("Dagster asset usage_correction_day", "/assets/"),
        ("dbt model usage_correction_day", "#!/"),
    ):
        assert address in (page.locator(f"a[title='{name}']").get_attribute("href") or "")


def test_an_unknown_customer_is_told_kindly(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/customer?id=nobody", "We know no customer called 'nobody'")
    expect(page.get_by_role("searchbox", name="Find a customer")).to_have_value("nobody")


def test_customers_are_found_while_typing(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/customer", "north")
    page.get_by_role("searchbox", name="Find a customer").press_sequentially("00001")
    page.locator(".find .suggestion", has_text="c-0000010").click()
    expect(page.get_by_role("heading", name="c-0000010")).to_be_visible()


def test_names_are_text(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/customer", ODD)
    page.get_by_text(ODD).first.click()
    expect(page.get_by_role("heading", name=ODD)).to_be_visible()
    expect(page.get_by_text("None of this customer's meters was heard")).to_be_visible()
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(server: httpx.Client, viewer: OpenViewer, *, dark: bool) -> None:
    one = viewer(server, width=390, height=844, dark=dark)
    one.go("/customer?id=c-0000001", "Electricity", "Live figures and the bill")
    assert one.too_wide == 0
