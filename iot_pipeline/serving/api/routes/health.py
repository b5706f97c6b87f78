"""Health for those who watch processes: `/healthz`, `/readyz` and Prometheus' `/metrics`. No data of devices."""

from datetime import datetime

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from iot_pipeline.live.model import LiveState
from iot_pipeline.serving.api.answering import SourcesAsked
from iot_pipeline.stats.published import newest_minute

routes = APIRouter(tags=["health"])


class Health(BaseModel):
    """The process answers."""

    status: str = "ok"


class Readiness(BaseModel):
    """Questions can be answered."""

    live: LiveState
    newest_minute: datetime | None
    """Newest minute with published statistics."""


@routes.get("/healthz")
async def healthz() -> Health:
    """Whether the process answers at all."""
    return Health()


@routes.get("/readyz")
async def readyz(sources: SourcesAsked) -> Readiness:
    """Whether live questions can be answered; 503 with Retry-After while the live layer is being rebuilt."""
    health = sources.asked_live()
    return Readiness(live=health.state, newest_minute=await sources.workers.run(newest_minute, sources.paths))


@routes.get("/metrics")
async def metrics(request: Request, sources: SourcesAsked) -> Response:
    """Everything for Prometheus, in its text format."""
    registry: CollectorRegistry = request.app.state.registry
    content = await sources.workers.run(generate_latest, registry)
    return Response(content, media_type=CONTENT_TYPE_LATEST)
