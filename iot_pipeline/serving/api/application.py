"""The application: routes, gate, errors and documents put together. No figures and no server here."""

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse

from iot_pipeline.serving.api.answering import Sources
from iot_pipeline.serving.api.documentation import documentation_page
from iot_pipeline.serving.api.gate import Gate
from iot_pipeline.serving.api.metrics import ApiMetrics, Measured, make_registry
from iot_pipeline.serving.api.problems import ProblemDetails, documented, install_problems
from iot_pipeline.serving.api.routes import anomalies, devices, events, health, messages, quarantine, reports, usage
from iot_pipeline.serving.api.work import Workers
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.settings import Settings

PREFIX = "/api/v1"
DESCRIPTION = (
    "What sensors say now, what they said, and what was unusual. Instants are UTC, every value has its unit. "
    "Errors are RFC 9457 problem documents. Lists come in pages: give `next_cursor` back as `cursor`. "
    "Published answers carry an ETag."
)


def create_app(settings: Settings, live: LiveView) -> FastAPI:
    """The API below `/api/v1`, with `/healthz`, `/readyz` and `/metrics` beside it.

    Pages may be mounted at `/` behind it: they pass the same gate.
    """
    sources = Sources(settings=settings, live=live, workers=Workers())
    registry = make_registry(settings.paths, live)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        sources.workers.close()

    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, lifespan=lifespan)
    app.state.sources, app.state.registry = sources, registry
    app.include_router(health.routes)
    app.mount(PREFIX, _api(settings, sources, ApiMetrics(registry)))
    app.add_middleware(Gate, settings=settings)
    install_problems(app)
    return app


def describe(settings: Settings) -> dict[str, Any]:
    """The OpenAPI description of the API below `PREFIX`, without anything to answer from."""
    return _described(settings).openapi()


def _api(settings: Settings, sources: Sources, metrics: ApiMetrics) -> FastAPI:
    api = _described(settings)
    api.state.sources = sources
    api.add_middleware(Measured, metrics=metrics)
    install_problems(api)

    @api.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(documentation_page(api.openapi(), f"http://{request.headers.get('host', '')}{PREFIX}"))

    return api


def _described(settings: Settings) -> FastAPI:
    api = _Described(
        title="iot-pipeline",
        version=version("iot-pipeline"),
        description=DESCRIPTION,
        docs_url=None,  # the usual pages load their scripts from a CDN
        redoc_url=None,
        responses={**documented(401, 429)} if settings.api_keys else {**documented(429)},
    )
    api.with_keys = settings.api_keys is not None
    for each in (devices, messages, usage, anomalies, events, quarantine, reports):
        api.include_router(each.routes)
    return api


class _Described(FastAPI):
    """FastAPI whose description knows problem documents and keys, and no other errors."""

    with_keys = False

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI description."""
        if self.openapi_schema is None:
            schema = get_openapi(
                title=self.title,
                version=self.version,
                description=self.description,
                routes=self.routes,
                servers=[{"url": PREFIX}],
            )
            components = schema.setdefault("components", {})
            models = components.setdefault("schemas", {})
            problem = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
            models.update(problem.pop("$defs"))
            models["ProblemDetails"] = problem
            for unused in ("HTTPValidationError", "ValidationError"):
                models.pop(unused, None)
            if self.with_keys:
                components["securitySchemes"] = {
                    "bearer": {"type": "http", "scheme": "bearer"},
                    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                }
                schema["security"] = [{"bearer": []}, {"key": []}]
            self.openapi_schema = schema
        return self.openapi_schema
