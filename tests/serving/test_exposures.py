"""Every page, endpoint and report has its exposure in the dbt project, with the models behind it, and the other way."""

from urllib.parse import urlsplit

import pytest
import yaml

from iot_pipeline.paths import DBT_PROJECT
from iot_pipeline.serving.api.application import PREFIX, describe
from iot_pipeline.serving.api.routes import health
from iot_pipeline.serving.reports.catalog import REPORTS
from iot_pipeline.serving.server import make_web
from iot_pipeline.settings import Settings
from tests.serving.recorded_live import RecordedLive

EXPOSURES = yaml.safe_load((DBT_PROJECT / "models" / "exposures.yml").read_text())["exposures"]
BY_PATH = {urlsplit(one["url"]).path: one for one in EXPOSURES}


# What FastAPI makes by itself, and what is mounted without being a page.
NO_PAGES = {"/docs", "/openapi.json", "/redoc", "/docs/oauth2-redirect", "/favicon.ico"}


def pages(settings: Settings) -> set[str]:
    app = make_web(settings, RecordedLive([]))
    mounted = [route.app for route in app.routes if hasattr(route, "app")]
    routes = {getattr(route, "path", "") for one in mounted for route in getattr(one, "routes", [])}
    return {path for path in routes if path.startswith("/") and "_nicegui" not in path and "{" not in path} - NO_PAGES


def test_each_has_one_address() -> None:
    assert len(BY_PATH) == len(EXPOSURES)


def test_pages(settings: Settings) -> None:
    told = {path for path, one in BY_PATH.items() if one["type"] == "dashboard"}
    assert told == {path for path in pages(settings) if not path.startswith("/assets")}


def test_endpoints_and_reports(settings: Settings) -> None:
    endpoints = {PREFIX + path for path in describe(settings)["paths"]}
    endpoints |= {getattr(route, "path", "") for route in health.routes.routes}
    assert {path for path, one in BY_PATH.items() if one["type"] != "dashboard"} == endpoints


@pytest.mark.parametrize("name", REPORTS)
def test_reports_name_what_they_read(name: str) -> None:
    read = {relation for query in REPORTS[name].queries.values() for relation in query.relations}
    told = BY_PATH[f"{PREFIX}/reports/{name}"]["depends_on"]
    assert {text.replace("'", "").rstrip(")").split("(")[1].split(", ")[-1] for text in told} == read
