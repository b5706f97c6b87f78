"""Errors as RFC 9457 problem details (`application/problem+json`), whatever raised them.

What went wrong is said by whoever raises; here it gets its form. No details of a failure of our own go out.
"""

import http
import uuid
from collections.abc import Mapping
from typing import Annotated

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from iot_pipeline.errors import ConfigurationError, TransientError

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
_URN = "urn:iot-pipeline:problem:"


class WrongParameter(BaseModel):
    """One parameter or field that cannot be used."""

    parameter: Annotated[str, Field(description="Its name, with its place in a body as a path.")]
    detail: Annotated[str, Field(description="What is allowed.")]


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 describes it."""

    type: Annotated[str, Field(description="Stable name of the kind of problem, a URN.")]
    title: Annotated[str, Field(description="The kind of problem in words.")]
    status: Annotated[int, Field(description="HTTP status.")]
    detail: Annotated[str, Field(description="What happened, and what is allowed or what to do.")]
    instance: Annotated[str, Field(description="Path that was asked for.")]
    errors: Annotated[list[WrongParameter] | None, Field(description="Each wrong parameter.")] = None


class Problem(Exception):
    """Raised by a route: becomes a problem document with this status.

    Attributes:
        status: HTTP status.
        kind: stable name, such as `unknown-device`.
        detail: what happened, and what is allowed or what to do.
        retry_after: seconds after which asking again may help; None: it will not.
        parameter: the parameter that is wrong, if it is one.
    """

    def __init__(
        self, status: int, kind: str, detail: str, *, retry_after: int | None = None, parameter: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.retry_after, self.parameter = retry_after, parameter


def not_found(what: str, detail: str) -> Problem:
    """404: `what` is not known."""
    return Problem(404, f"unknown-{what}", detail)


def wrong(parameter: str, detail: str) -> Problem:
    """422: a parameter that cannot be used, with what is allowed."""
    return Problem(422, "invalid-parameters", detail, parameter=parameter)


def unavailable(kind: str, detail: str, *, retry_after: int) -> Problem:
    """503: it will be there later."""
    return Problem(503, kind, detail, retry_after=retry_after)


def problem_response(problem: Problem, path: str, errors: list[WrongParameter] | None = None) -> Response:
    """The document, with `Retry-After` where asking again may help."""
    if errors is None and problem.parameter is not None:
        errors = [WrongParameter(parameter=problem.parameter, detail=problem.detail)]
    document = ProblemDetails(
        type=_URN + problem.kind,
        title=http.HTTPStatus(problem.status).phrase,
        status=problem.status,
        detail=problem.detail,
        instance=path,
        errors=errors,
    )
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(problem.retry_after)
    content = document.model_dump_json(exclude_none=True)
    return Response(content, problem.status, headers=headers, media_type=MEDIA_TYPE)


def install_problems(app: FastAPI) -> None:
    """Let every error of `app` become a problem document."""
    app.add_exception_handler(Problem, _raised)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(TransientError, _transient)
    app.add_exception_handler(ConfigurationError, _configuration)
    app.add_exception_handler(Exception, _unexpected)


def documented(*statuses: int) -> Mapping[int | str, dict[str, object]]:
    """For `responses=` of a route: these statuses answer with a problem document."""
    schema = {"$ref": "#/components/schemas/ProblemDetails"}
    return {
        status: {"description": http.HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


async def _raised(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)  # noqa: S101  # the type is what it is registered for
    return problem_response(error, request.url.path)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    errors = [
        # The first part says where it came from: query, path or body.
        WrongParameter(parameter=".".join(map(str, one["loc"][1:])) or str(one["loc"][0]), detail=one["msg"])
        for one in error.errors()
    ]
    detail = "; ".join(f"{one.parameter}: {one.detail}" for one in errors)
    return problem_response(Problem(422, "invalid-parameters", detail), request.url.path, errors)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    detail = error.detail
    if error.status_code == 404:
        detail = "there is nothing at this path; the paths are listed at /api/v1/docs"
    elif error.status_code == 405:
        detail = f"{request.method} is not allowed here; allowed: {(error.headers or {}).get('Allow', 'nothing')}"
    kind = http.HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    response = problem_response(Problem(error.status_code, kind, detail), request.url.path)
    response.headers.update(error.headers or {})
    return response


async def _transient(request: Request, error: Exception) -> Response:
    seconds = getattr(error, "retry_after_seconds", 10)
    return problem_response(unavailable("not-available-now", str(error), retry_after=seconds), request.url.path)


async def _configuration(request: Request, error: Exception) -> Response:
    return problem_response(Problem(422, "invalid-parameters", str(error)), request.url.path)


async def _unexpected(request: Request, error: Exception) -> Response:
    number = uuid.uuid4().hex[:12]
    log.error("request_failed", number=number, path=request.url.path, error=repr(error))
    detail = f"the question failed on our side; nothing was changed. The log of `web` tells more under {number}"
    return problem_response(Problem(500, "internal-error", detail), request.url.path)
