"""Addresses inside the product, and links to what stands behind a figure. Ids travel URL-encoded in the query."""

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from iot_pipeline.serving.pages.parts.markup import Tag, anchor

DBT_DOCS = "/docs/dbt/"
API_DOCS = "/api/v1/docs"
_DBT_PROJECT = "iot_pipeline"


@dataclass
class _Outside:
    """Where other programs answer; set once, when pages are mounted."""

    dagster: str = "http://127.0.0.1:3000"


outside = _Outside()


def page_url(path: str, **query: str | None) -> str:
    """`path` with what is given of the query, encoded."""
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given, quote_via=quote)}" if given else path


def device_url(device_id: str, **query: str | None) -> str:
    """The page of a device."""
    return page_url("/device", id=device_id, **query)


def dagster_url(name: str = "") -> str:
    """The asset in the Dagster UI; its first page without a name."""
    return f"{outside.dagster}/assets/{quote(name)}" if name else outside.dagster


def dbt_url(name: str) -> str:
    """The model in the dbt documents."""
    return f"{DBT_DOCS}#!/model/model.{_DBT_PROJECT}.{quote(name)}"


def device_link(device_id: str, label: str | None = None, **query: str | None) -> Tag:
    """A device by its name."""
    return anchor(
        label or device_id or "(no name)", device_url(device_id, **query), "link device-name", title=device_id
    )


def dagster_asset(name: str) -> Tag:
    """The Dagster asset behind a figure."""
    return anchor(
        name, dagster_url(name), "origin origin-dagster", title=f"Dagster asset {name}", target="_blank", rel="noopener"
    )


def dbt_model(name: str) -> Tag:
    """The dbt model behind a figure."""
    return anchor(name, dbt_url(name), "origin origin-dbt", title=f"dbt model {name}", target="_blank", rel="noopener")


def report_link(name: str, label: str | None = None) -> Tag:
    """A named report of the API."""
    return anchor(label or name, f"/api/v1/reports/{quote(name)}", "origin origin-report", title=f"Report {name}")
