"""Customer, country and line before anything is published, and while the live layer is being rebuilt."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from iot_pipeline.live.model import LiveState
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import load_settings
from tests.pages.conftest import OpenViewer
from tests.pages.grid_world import GridLive, publish_days, publish_devices
from tests.serving.served import serving


@pytest.fixture
def live() -> GridLive:
    return GridLive(users=2)


def test_customer_before_anything_is_published_it_is_said_what_will_come(
    live: GridLive, tmp_path: Path, viewer: OpenViewer
) -> None:
    with serving(load_settings(data=tmp_path), live) as empty:
        page = viewer(empty).go("/customer?id=c-0000001", "No day has been billed yet")
        expect(page.get_by_text("00:20 UTC")).to_be_visible()
        assert "kWh" in page.locator(".use-card", has_text="m-0000001").inner_text()
        viewer(empty).go("/customer", "No customer is known yet")


def test_a_rebuilding_live_layer_fills_the_page_by_itself(tmp_path: Path, viewer: OpenViewer) -> None:
    waiting = GridLive(users=0, state=LiveState.REBUILDING)
    with serving(load_settings(data=tmp_path), waiting) as client:
        page = viewer(client).go("/customer?id=c-0000001", "Live figures are being rebuilt; they appear here")
        ready = GridLive(users=1)
        waiting.customers.update(ready.customers)
        waiting._meters.update(ready._meters)
        waiting.state = LiveState.LIVE
        expect(page.locator(".use-card")).to_have_count(3)


def test_today_is_no_billed_day(live: GridLive, tmp_path: Path, viewer: OpenViewer) -> None:
    """What was built of the running day is no bill."""
    paths = DataPaths(tmp_path)
    publish_devices(paths, 2, live.now)
    publish_days(paths, datetime.now(UTC).date(), 1, 2)
    with serving(load_settings(data=paths.root), live) as client:
        viewer(client).go("/customer?id=c-0000001", "No day has been billed yet")


def test_country_before_the_first_day_it_is_said_when_it_comes(
    live: GridLive, tmp_path: Path, viewer: OpenViewer
) -> None:
    with serving(load_settings(data=tmp_path), live) as empty:
        page = viewer(empty).go("/utility", "No day of usage has been published yet", "No customer is known yet")
        expect(page.get_by_text("00:20 UTC")).to_be_visible()


def test_a_country_without_meters_is_no_error(tmp_path: Path, viewer: OpenViewer) -> None:
    with serving(load_settings(data=tmp_path), GridLive(users=0)) as empty:
        viewer(empty).go("/utility", "No meter with a region was heard in the last five minutes")


def test_line_before_anything_is_built_it_is_said_what_will_come(
    live: GridLive, tmp_path: Path, viewer: OpenViewer
) -> None:
    with serving(load_settings(data=tmp_path), live) as empty:
        page = viewer(empty).go("/line", "No day of this machine has been published yet", "No day of strokes")
        expect(page.locator(".machine")).to_have_count(3)
