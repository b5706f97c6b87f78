"""The country's page in a browser: what is shown adds up, changes in place, and says what will come."""

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
from tests.pages.grid_world import GridLive, publish_days, publish_devices
from tests.serving.served import serving

USERS = 25


@pytest.fixture(scope="module")
def live() -> GridLive:
    return GridLive(users=USERS)


@pytest.fixture(autouse=True)
def _present(live: GridLive) -> None:
    """Each test is at its own present."""
    live.now = datetime.now(UTC)


@pytest.fixture(scope="module")
def published(live: GridLive, tmp_path_factory: pytest.TempPathFactory) -> DataPaths:
    paths = DataPaths(tmp_path_factory.mktemp("country"))
    publish_devices(paths, USERS, live.now)
    publish_days(paths, (live.now - DAY).date(), 4, USERS)
    return paths


@pytest.fixture(scope="module")
def server(published: DataPaths, live: GridLive) -> Iterator[httpx.Client]:
    with serving(load_settings(data=published.root), live) as client:
        yield client


def figures(page: Page, label: str) -> tuple[list[list[float]], list[float]]:
    """Rows and total of the table of that label, as somebody reads them."""
    rows = page.get_by_role("region", name=label, exact=True).locator("tr").filter(has=page.locator("td"))
    told = [
        [float(cell.replace("\u202f", "")) for cell in rows.nth(at).locator("td").all_inner_texts()]
        for at in range(rows.count())
    ]
    return told[:-1], told[-1]


@pytest.mark.parametrize("utility", ["electricity", "gas", "water"])
def test_columns_of_the_present_add_up(server: httpx.Client, viewer: OpenViewer, utility: str) -> None:
    page = viewer(server).go("/utility", "By hour, day and month")
    rows, total = figures(page, f"{utility} by region")
    assert len(rows) == 5
    for column in range(4):
        assert round(sum(row[column] for row in rows), 3) == total[column]
    assert total[1] == 100.0
    assert total[3] == USERS


def test_days_add_up_too(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/utility", "By hour, day and month")
    rows, total = figures(page, "electricity by region over the 4 days shown")
    assert round(sum(row[0] for row in rows), 3) == total[0]
    assert round(sum(row[2] for row in rows), 3) == total[2]
    expect(page.get_by_text("Hours add up to their day")).to_be_visible()
    page.get_by_role("button", name="Hours").click()
    page.get_by_role("button", name="Water").click()
    expect(page.get_by_role("img", name=re.compile("water by region and hour, m³"))).to_be_visible()


def test_the_present_changes_in_place(server: httpx.Client, live: GridLive, viewer: OpenViewer) -> None:
    page = viewer(server).go("/utility", "Electricity")
    total = page.locator(".use-card", has_text="Electricity").locator("[data-role=rate]")
    before = total.inner_text()
    total.evaluate("each => each.dataset.same = 'yes'")
    live.replaced["m-0000001", "rate"] = 900.0
    try:
        expect(total).not_to_have_text(before)
        assert total.get_attribute("data-same") == "yes"
        rows, whole = figures(page, "electricity by region")
        assert round(sum(row[0] for row in rows), 3) == whole[0] > 900
    finally:
        live.replaced.clear()


def test_regions_lead_to_their_customers(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/utility", "25 known")
    page.get_by_role("link", name="c-0000001").click()
    expect(page.get_by_role("heading", name="c-0000001")).to_be_visible()


@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_telephone(server: httpx.Client, viewer: OpenViewer, *, dark: bool) -> None:
    one = viewer(server, width=390, height=844, dark=dark)
    one.go("/utility", "Electricity", "By hour, day and month")
    assert one.too_wide == 0
