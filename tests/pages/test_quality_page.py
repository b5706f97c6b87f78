"""The page of data quality and the documents of dbt in a browser: what is there, what is not yet, and hostile names."""

from collections.abc import Iterator

import httpx
import polars as pl
import pytest
from playwright.sync_api import expect

from iot_pipeline.clock import floor_minute, utc_now
from iot_pipeline.files import write_parquet
from iot_pipeline.readings.schema import QUARANTINE_SCHEMA
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.dbt_docs import build_docs
from iot_pipeline.stats.relations import DEVICE_SLO_SCHEMA, minute_trees, published_file
from tests.pages.conftest import OpenViewer
from tests.pages.world import HOSTILE, live_of, publish
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import serving


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings(data=tmp_path_factory.mktemp("quality"))
    publish(settings, *HOSTILE)
    today, minute = utc_now().date(), floor_minute(utc_now())
    rows = [
        {"day": today, "device_id": name, "fleet": "weather", "readings": 90, "expected": 100, "missing": 10}
        | {"completeness_percent": 90.0 - at, "quarantined": 1, "duplicates": 0, "flat_line_minutes": 0}
        for at, name in enumerate(HOSTILE)
    ]
    write_parquet(pl.DataFrame(rows, schema=DEVICE_SLO_SCHEMA), published_file(settings.paths, "device_slo", today))
    unread = [
        {"received_at": utc_now(), "topic": name, "payload": name.encode(), "payload_size": 9, "reason": "bad_json"}
        | {"detail": name, "message_id": f"c-1-{at}", "device_id": name, "mapping": "weather"}
        for at, name in enumerate(HOSTILE)
    ]
    minute_trees(settings.paths)["quarantine"].write(minute, pl.DataFrame(unread, schema=QUARANTINE_SCHEMA))
    tree = minute_trees(settings.paths)["intake"]
    account = {"minute": minute, "messages": 9, "decoded": 3, "duplicates": 0, "no_reading": 0, "quarantined": 6}
    tree.write(minute, pl.DataFrame([account | {"lag_p95_seconds": 0.4}], schema=tree.schema))
    return settings


@pytest.fixture(scope="module")
def server(settings: Settings) -> Iterator[httpx.Client]:
    with serving(settings, live_of(*HOSTILE)) as client:
        yield client


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (390, True)])
def test_everything_is_there_and_names_are_only_text(
    server: httpx.Client, viewer: OpenViewer, width: int, dark: bool
) -> None:
    seen = viewer(server, width=width, dark=dark)
    page = seen.go("/quality", "It adds up in each of 1 minutes", "Every dbt test of the last 24 hours passed")
    for name in HOSTILE:
        expect(page.get_by_role("link", name=name, exact=True).first).to_be_visible()
    expect(page.get_by_text("iot quarantine retry --reason bad_json --mapping weather")).to_be_visible()
    assert seen.too_wide == 0


def test_a_reason_is_chosen_and_kept_in_the_address(server: httpx.Client, viewer: OpenViewer) -> None:
    page = viewer(server).go("/quality", "What could not be read")
    page.get_by_role("button", name="bad_json").click()
    expect(page.get_by_text("Newest with reason bad_json")).to_be_visible()
    page.wait_for_function("location.search.includes('reason=bad_json')")


def test_an_empty_folder_says_what_will_come(viewer: OpenViewer, tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(load_settings(data=tmp_path_factory.mktemp("none")), RecordedLive([])) as client:
        viewer(client).go("/quality", "No day was built yet.", "Everything could be read.", "No message was decoded")


def test_the_documents_of_dbt_work_alone(server: httpx.Client, settings: Settings, viewer: OpenViewer) -> None:
    build_docs(settings.paths)
    answer = server.get("/docs/dbt/")
    assert "connect-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe-inline" not in answer.headers["content-security-policy"].split("style-src")[0]
    assert server.get("/docs/dbt/", headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert server.get("/docs/dbt/manifest.json").status_code == 404
    assert server.get("/docs/dbt", follow_redirects=False).headers["location"].endswith("/docs/dbt/")
    seen = viewer(server)
    seen.page.goto(f"{seen.base}/docs/dbt/#!/model/model.iot_pipeline.device_slo")
    expect(seen.page.get_by_text("completeness_percent").first).to_be_visible()
    seen.page.goto(f"{seen.base}/docs/dbt/#!/exposure/exposure.iot_pipeline.page_quality")
    expect(seen.page.get_by_text("Data quality").first).to_be_visible()


def test_the_first_visitor_has_them_built(viewer: OpenViewer, tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(load_settings(data=tmp_path_factory.mktemp("first")), RecordedLive([])) as client:
        seen = viewer(client)
        seen.page.goto(f"{seen.base}/docs/dbt/")
        expect(seen.page.get_by_role("heading", name="Being built")).to_be_visible()
        expect(seen.page.get_by_text("Projects").first).to_be_visible(timeout=300_000)
