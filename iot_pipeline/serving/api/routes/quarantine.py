"""Quarantine: how much could not be read, and why. The messages themselves are `iot quarantine show`'s."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from iot_pipeline.clock import DAY
from iot_pipeline.readings.quarantine import Chosen, counts
from iot_pipeline.readings.schema import QuarantineReason
from iot_pipeline.serving.api.answering import Instant, Parameters, SourcesAsked, kept_by_caller, range_asked
from iot_pipeline.serving.api.models.base import Name
from iot_pipeline.serving.api.models.quarantine import QuarantineCount, QuarantineCounts
from iot_pipeline.serving.api.problems import documented
from iot_pipeline.serving.history import NotPublished


class QuarantineAsked(Parameters):
    """Which rows of quarantine."""

    reason: QuarantineReason | None = None
    mapping: Name | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


routes = APIRouter(tags=["quarantine"])


@routes.get("/quarantine", response_model=QuarantineCounts, responses={**documented(422, 503)})
async def quarantine(request: Request, asked: Annotated[QuarantineAsked, Query()], sources: SourcesAsked) -> Response:
    """Rows and messages in quarantine by reason, mapping and topic, over landing minutes."""
    span = range_asked(asked.since, asked.until, usual=DAY, longest=31 * DAY, step=timedelta(minutes=1))
    if not sources.paths.quarantine.exists():
        raise NotPublished("no minute was decoded yet, or all are being decoded again; ask again in half a minute")
    chosen = Chosen(
        reason=asked.reason,
        mapping=asked.mapping,
        since=span.since,
        until=span.until - timedelta(minutes=1),
    )
    found = await sources.workers.run(counts, sources.paths, chosen)
    rows = [QuarantineCount.model_validate(row) for row in found.head(asked.limit).iter_rows(named=True)]
    answer = QuarantineCounts(
        since=span.since,
        until=span.until,
        rows=int(found["rows"].sum()),
        counts=rows,
        left_out=max(found.height - asked.limit, 0),
    )
    return kept_by_caller(request, answer)
