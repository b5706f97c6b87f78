"""The reports over HTTP: the same rows as on the command line, in two formats, with errors that say what is allowed."""

import codecs
import io
from collections.abc import Iterator

import httpx
import polars as pl
import pytest

from iot_pipeline.serving.reports.catalog import REPORTS
from iot_pipeline.serving.reports.run import run_report
from iot_pipeline.serving.tables import plain_rows
from iot_pipeline.settings import Settings, load_settings
from tests.serving.recorded_live import RecordedLive
from tests.serving.served import problem, publish_world, serving

RANGE = {"from": "2026-11-20T08:00", "to": "2026-11-20T14:00"}
ASKED = {"since": "2026-11-20T08:00:00Z", "until": "2026-11-20T14:00:00Z"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = load_settings(data=tmp_path_factory.mktemp("reports"), api_rate=10_000)
    publish_world(settings.paths, ("a/b", "c"))
    return settings


@pytest.fixture(scope="module")
def api(world: Settings) -> Iterator[httpx.Client]:
    with serving(world, RecordedLive()) as client:
        yield client


def test_all_reports_are_listed_with_their_columns(api: httpx.Client) -> None:
    listed = api.get("/api/v1/reports").json()["reports"]
    assert [one["name"] for one in listed] == list(REPORTS)
    assert all(one["question"] and one["columns"] for one in listed)


def test_rows_are_those_of_the_command_line(api: httpx.Client, world: Settings) -> None:
    expected = run_report(world.paths, "anomalies", RANGE)
    assert expected.height == 2
    answer = api.get("/api/v1/reports/anomalies", params=ASKED)
    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == plain_rows(expected)
    assert [one["name"] for one in answer.json()["columns"]] == expected.columns
    again = api.get("/api/v1/reports/anomalies", params=ASKED, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_csv_holds_the_same_and_a_limit_is_told(api: httpx.Client) -> None:
    answer = api.get("/api/v1/reports/anomalies", params={**ASKED, "format": "csv", "limit": "1"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["x-rows-left-out"] == "1"
    rows = pl.read_csv(io.BytesIO(answer.content))
    assert rows.columns == [column.name for column in REPORTS["anomalies"].columns]
    assert rows["deviceid"].to_list() == ["a/b"]


def test_a_spreadsheet_gets_utf_8_that_says_so(api: httpx.Client) -> None:
    answer = api.get("/api/v1/reports/anomalies", params={**ASKED, "format": "spreadsheet"})
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.content.startswith(codecs.BOM_UTF8)
    assert pl.read_csv(io.BytesIO(answer.content))["deviceid"].to_list()[0] == "a/b"


def test_no_data_is_an_answer(api: httpx.Client) -> None:
    answer = api.get("/api/v1/reports/anomalies", params={"day": "2026-11-01"})
    assert (answer.status_code, answer.json()["rows"]) == (200, [])


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("nothing", 404, "ice-plant"),
        ("anomalies?device=nobody", 404, "nobody"),
        ("anomalies?devise=a", 422, "devise"),
        ("ice-plant?period=decade", 422, "period"),
        ("customer-usage", 422, "customer"),
        ("anomalies?since=2026-11-21T00:00:00Z&until=2026-11-20T00:00:00Z", 422, "since"),
        ("anomalies?since=2026-01-01T00:00:00Z&until=2026-11-20T00:00:00Z", 422, "longer than the"),
        ("anomalies?since=2999-01-01T00:00:00Z", 422, "since"),
        ("anomalies?day=2026-02-30", 422, "day"),
        ("anomalies?limit=0", 422, "limit"),
        ("anomalies?format=xml", 422, "format"),
        ("states-windows?seconds=0", 422, "seconds"),
    ],
)
def test_what_cannot_be_asked_is_told_with_what_can(api: httpx.Client, path: str, status: int, told: str) -> None:
    assert told in problem(api.get(f"/api/v1/reports/{path}"), status)["detail"]


@pytest.mark.parametrize("text", ["' OR 1=1 --", "x'; COPY (SELECT 1) TO '/tmp/x'; --", "a\x00b", "$1", "%"])
def test_hostile_values_are_names_that_nobody_has(api: httpx.Client, text: str) -> None:
    problem(api.get("/api/v1/reports/anomalies", params={"device": text}), 404)
    problem(api.get("/api/v1/reports/customer-usage", params={"customer": text}), 404)


def test_without_published_figures_one_is_asked_to_come_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    with serving(load_settings(data=tmp_path_factory.mktemp("empty")), RecordedLive()) as api:
        answer = api.get("/api/v1/reports/anomalies")
    problem(answer, 503)
    assert int(answer.headers["retry-after"]) > 0
