"""The named reports: which there are, and a route for each, with its own parameters in the description.

What a report asks and answers is `serving/reports`; here its errors get a status and its rows a form.
"""

import io
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import msgspec
import polars as pl
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, create_model

from iot_pipeline.clock import utc_now
from iot_pipeline.serving.api.answering import Instant, Parameters, SourcesAsked, tagged
from iot_pipeline.serving.api.problems import documented, not_found, wrong
from iot_pipeline.serving.api.times import RangeError, parse_instant
from iot_pipeline.serving.reports.catalog import REPORTS
from iot_pipeline.serving.reports.report import Choice, Integer, Parameter, Report
from iot_pipeline.serving.reports.run import MOST_CHARACTERS, BadParameter, UnknownName, run_report
from iot_pipeline.serving.tables import Format, plain_rows, write_result

LEFT_OUT = "X-Rows-Left-Out"
Cell = str | int | float | bool | None


class ReportColumn(BaseModel):
    """A column of a report."""

    name: str
    description: str
    unit: Annotated[str, Field(description="Unit of its numbers, or the column that holds it; empty for none.")]


class ReportSummary(BaseModel):
    """A report that can be asked for at `/reports/{name}`."""

    name: str
    title: str
    question: str
    parameters: Annotated[list[str], Field(description="Besides `since`, `until`, `day`, `format` and `limit`.")]
    columns: list[ReportColumn]


class ReportList(BaseModel):
    """All reports."""

    reports: list[ReportSummary]


class ReportAnswer(BaseModel):
    """A report's answer; no rows: no data was found."""

    report: str
    columns: list[ReportColumn]
    rows: Annotated[list[dict[str, Cell]], Field(description="One object a row, columns in order.")]
    left_out: Annotated[int, Field(description="Rows beyond `limit`.")]


class ReportAsked(Parameters):
    """What every report takes."""

    since: Instant | None = None
    until: Instant | None = None
    day: Annotated[str | None, Field(pattern=r"^\d{4}-\d\d-\d\d$", description="A UTC day instead of a range.")] = None
    format: Annotated[
        Literal["json", "csv", "spreadsheet"],
        Field(description="`spreadsheet`: CSV in which texts that would run as formulas begin with an apostrophe."),
    ] = "json"
    limit: Annotated[int, Field(ge=1, le=100_000)] = 10_000


routes = APIRouter(prefix="/reports", tags=["reports"])


@routes.get("")
async def reports(_: Annotated[Parameters, Query()]) -> ReportList:
    """Which reports there are, what they take and what they answer."""
    return ReportList(
        reports=[
            ReportSummary(
                name=report.name,
                title=report.title,
                question=report.question,
                parameters=list(report.takes),
                columns=_columns(report),
            )
            for report in REPORTS.values()
        ]
    )


def _route(report: Report) -> Callable[..., Awaitable[Response]]:
    fields: dict[str, Any] = {name: _field(parameter) for name, parameter in report.takes.items()}
    parameters = create_model(f"{report.name}-parameters", __base__=ReportAsked, **fields)

    async def answer(request: Request, asked: ReportAsked, sources: SourcesAsked) -> Response:
        given = asked.model_dump(exclude={"since", "until", "format", "limit"})
        given |= {"from": _instant("since", asked.since), "to": _instant("until", asked.until)}
        try:
            frame = await sources.workers.run(run_report, sources.paths, report.name, given)
        except UnknownName as error:
            raise not_found(error.parameter, str(error)) from error
        except BadParameter as error:
            # The command line calls the range otherwise.
            name = {"from": "since", "to": "until"}.get(error.parameter, error.parameter)
            raise wrong(name, f"{name}: {str(error).removeprefix(f'{error.parameter}: ')}") from error
        return await sources.workers.run(_response, request, report, frame, asked)

    # Under this annotation, and not the general one, FastAPI reads and describes the report's own parameters.
    answer.__annotations__["asked"] = Annotated[parameters, Query()]
    return answer


def _response(request: Request, report: Report, frame: pl.DataFrame, asked: ReportAsked) -> Response:
    shown, left_out = frame.head(asked.limit), max(frame.height - asked.limit, 0)
    headers = {LEFT_OUT: str(left_out)}
    if asked.format != "json":
        text = io.StringIO()
        write_result(shown, Format(asked.format), text)
        return tagged(request, text.getvalue().encode(), "text/csv; charset=utf-8", headers)
    content = {
        "report": report.name,
        "columns": [column.model_dump() for column in _columns(report)],
        "rows": plain_rows(shown),
        "left_out": left_out,
    }
    return tagged(request, msgspec.json.encode(content), "application/json", headers)


def _columns(report: Report) -> list[ReportColumn]:
    return [ReportColumn(name=one.name, description=one.description, unit=one.unit) for one in report.columns]


def _field(parameter: Parameter) -> tuple[Any, Any]:
    """Type and default of a parameter, as `create_model` wants them."""
    match parameter:
        case Choice(choices=choices, default=default, description=description):
            # Names of choices are known at start only.
            return Annotated[Literal[choices], Field(description=description)], default
        case Integer(low=low, high=high, default=whole, description=description):
            return Annotated[int, Field(ge=low, le=high, description=description)], whole
        case _:
            described = Field(min_length=1, max_length=MOST_CHARACTERS, description=parameter.description)
            if parameter.required:
                return Annotated[str, described], ...
            return Annotated[str | None, described], parameter.default


def _instant(name: str, text: str | None) -> object:
    try:
        return None if text is None else parse_instant(text, utc_now())
    except RangeError as error:
        raise wrong(name, str(error)) from error


for _report in REPORTS.values():
    routes.add_api_route(
        f"/{_report.name}",
        _route(_report),
        name=_report.name,
        description=_report.question,
        response_model=ReportAnswer,
        responses={
            200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
            **documented(404, 422, 503),
        },
    )


@routes.get("/{name}", include_in_schema=False)
async def unknown(name: str) -> Response:
    """Tells what there is."""
    raise not_found("report", f"there is no report {name!r}; there are: {', '.join(REPORTS)}")
