"""The pages that a user opens in Dagster's web UI, in a real browser, on the running product.

What is asserted is what a person has to see; pictures of all pages are kept for a look (the folder is printed).
"""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
import requests
from playwright.sync_api import expect

from tests.product.browser import Browser, chromium
from tests.product.live import Live

GROUPS = {
    "intake": ("broker_topics", "landing"),
    "readings": ("readings", "quarantine", "devices"),
    "statistics_minute": ("device_minute", "dim_device", "state_minute"),
    "statistics_day": ("readings_day", "device_hour", "device_day", "device_month", "device_year"),
    "line": ("machine_current_hour", "machine_start", "valve_travel_day"),
    "utility": ("meter_hour", "meter_day", "customer_usage_day", "region_usage_day"),
    "quality": ("device_slo",),
    "anomalies": ("anomaly_flags", "anomaly_events", "anomaly_model", "anomaly_day_flags", "anomaly_evaluation"),
}
EXPANDED = "global@global:{}"
ASSETS = [asset for assets in GROUPS.values() for asset in assets]
SENSORS = ("landed_minutes", "late_minutes", "late_days", "notices", "abandoned_runs", "health")
SCHEDULES = (
    "yesterday",
    "repair_minutes",
    "repair_days",
    "late_day_flags_nightly",
    "old_landing_hourly",
    "evaluation_six_hourly",
    "housekeeping_nightly",
)
DAEMONS = ("Sensors", "Backfill", "Scheduler", "Run queue", "Monitoring", "Freshness Daemon")
LINEAGE = """
{ assetNodeOrError(assetKey: {path: ["device_minute"]}) { ... on AssetNode {
    assetMaterializations(limit: 1) { metadataEntries { ... on TableColumnLineageMetadataEntry {
      lineage { columnName columnDeps { assetKey { path } columnName } } } } } } } }"""

# The files are only sent here, so that their days are built while these pages are looked at.
pytestmark = pytest.mark.usefixtures("first_minute", "sent")


@pytest.fixture(scope="module")
def tab(live: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all pages."""
    shots = tmp_path_factory.mktemp("pages")
    with chromium(live.dagster_url, shots) as browser:
        yield browser
    print(f"\npictures of the pages: {shots}")


@pytest.fixture
def browser(tab: Browser) -> Iterator[Browser]:
    """The browser; fails a test whose page showed an error or wrote one to the console."""
    tab.complaints.clear()
    yield tab
    text = tab.page.inner_text("body")
    assert "Page not found" not in text
    assert "PythonError" not in text
    assert "An unexpected error" not in text
    assert tab.complaints == []


def test_global_lineage_shows_the_flow(browser: Browser) -> None:
    browser.open("/asset-groups", *GROUPS, shot="lineage-groups")
    # One group at a time: what lies outside the window is not drawn.
    for group, assets in GROUPS.items():
        browser.open(f"/asset-groups?expanded={quote(EXPANDED.format(group))}", *assets, shot=f"lineage-{group}")


def test_catalog_lists_all_assets_with_a_description(browser: Browser) -> None:
    text = browser.open("/assets", *ASSETS, shot="catalog")
    assert "No description" not in text
    assert len([line for line in text.splitlines() if line in ASSETS]) >= len(ASSETS)


def test_asset_overview(browser: Browser) -> None:
    text = browser.open(
        "/assets/device_minute?view=overview", "Passing", "Row count", "stddev", shot="device_minute-overview"
    )
    assert "One row per event minute" in text
    assert "statistics_minute" in text


def test_partitions(browser: Browser) -> None:
    browser.open(
        "/assets/device_minute?view=partitions", "Partitions Selected", "Failed (0)", shot="device_minute-partitions"
    )


@pytest.mark.parametrize(
    ("asset", "checks"),
    [
        ("device_minute", ("minutes_are_current", "device_minute_counts_every_reading")),
        ("readings", ("messages_conserved",)),
        ("landing", ("collector_alive",)),
    ],
)
def test_checks_have_passed(browser: Browser, asset: str, checks: tuple[str, ...]) -> None:
    browser.open(f"/assets/{asset}?view=checks", "Succeeded", "Latest execution", shot=f"{asset}-checks")
    # A run of the minute may be at it.
    expect(browser.page.get_by_text("In Progress")).to_have_count(0, timeout=60_000)
    text = browser.page.inner_text("body")
    assert text.count("Succeeded") >= len(checks)
    assert "Failed" not in text
    # Long names are shortened in the list; the tooltip and the title keep them whole.
    assert [check for check in checks if check not in browser.page.content()] == []


def test_asset_lineage_reaches_the_broker(browser: Browser) -> None:
    browser.open(
        "/assets/device_minute?view=lineage&lineageScope=upstream&lineageDepth=5",
        "broker_topics",
        "landing",
        "readings",
        shot="device_minute-lineage",
    )


def test_column_lineage_is_told(live: Live) -> None:
    # The open-source web UI of the pinned Dagster draws no column lineage; its API has it.
    answer = requests.post(f"{live.dagster_url}/graphql", json={"query": LINEAGE}, timeout=30).json()
    (newest,) = answer["data"]["assetNodeOrError"]["assetMaterializations"]
    (lineage,) = [entry["lineage"] for entry in newest["metadataEntries"] if "lineage" in entry]
    origins = {
        column["columnName"]: {(*dep["assetKey"]["path"], dep["columnName"]) for dep in column["columnDeps"]}
        for column in lineage
    }
    assert ("readings", "value") in origins["mean"]
    assert ("readings", "unit") in origins["unit"]


def test_landing_tells_what_came_in(browser: Browser) -> None:
    text = browser.open("/assets/landing?view=overview", "payload_bytes", "Passing", "Asset history", shot="landing")
    assert "External Asset" in text


def test_flags_tell_what_was_scored(browser: Browser) -> None:
    browser.open("/assets/anomaly_flags?view=events", "readings_scored", "flags_by_detector", shot="anomaly_flags")


def test_runs_are_all_well(browser: Browser) -> None:
    browser.open("/runs", "minute_chain", "landed_minutes", "Success", shot="runs")
    assert browser.page.get_by_text("Failure", exact=True).count() == 0


def test_automation_runs(browser: Browser) -> None:
    browser.open("/automation", *SENSORS, *SCHEDULES, shot="automation")
    switches = browser.page.locator("label[class*=Switch] input")
    expect(switches).to_have_count(len((*SENSORS, *SCHEDULES)))
    assert all(switch.is_checked() for switch in switches.all())


def test_timeline(browser: Browser) -> None:
    browser.open("/overview/activity/timeline", "minute_chain", shot="timeline")


def test_daemons_run(browser: Browser) -> None:
    text = browser.open("/deployment/daemons", *DAEMONS, shot="daemons")
    assert text.count("Running") >= len(DAEMONS)
    assert "Not running" not in text


def test_code_location_is_loaded(browser: Browser) -> None:
    browser.open("/deployment/locations", "iot_pipeline", "Loaded", shot="locations")
