"""Anomaly events: flags that belong together, told once, and what people say about them."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.anomalies.feedback import record_feedback
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.serving.api.answering import (
    Cursor,
    Instant,
    Parameters,
    Sources,
    SourcesAsked,
    cursor_instant,
    cursor_key,
    kept_by_caller,
    page_of,
    range_asked,
)
from iot_pipeline.serving.api.judging import author_of, record_of
from iot_pipeline.serving.api.models.anomalies import Event, Events, FeedbackRecord, Judgement
from iot_pipeline.serving.api.models.base import Name
from iot_pipeline.serving.api.problems import documented, not_found
from iot_pipeline.serving.events import Event as PublishedEvent
from iot_pipeline.serving.events import WantedEvents, event_named, events

LONGEST_RANGE = 31 * DAY
EventId = Annotated[str, Path(pattern="^[0-9a-f]{16}$", description="As `/events` gives it.")]


class EventsAsked(Parameters):
    """Which events."""

    device_id: Name | None = None
    fleet: Name | None = None
    type: FlagType | None = None
    severity: Severity | None = None
    status: Annotated[EventStatus | None, Field(description="Withdrawn events are given only when asked for.")] = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None


routes = APIRouter(prefix="/events", tags=["anomalies"])


@routes.get("", response_model=Events, responses={**documented(422, 503)})
async def asked_events(request: Request, asked: Annotated[EventsAsked, Query()], sources: SourcesAsked) -> Response:
    """Events that were going on in a range, newest first, as published."""
    span = range_asked(asked.since, asked.until, usual=DAY, longest=LONGEST_RANGE, step=MINUTE)
    after = cursor_key(asked.cursor, 2)
    wanted = WantedEvents(
        since=span.since,
        until=span.until,
        device_id=asked.device_id,
        fleet=asked.fleet,
        type=asked.type,
        severity=asked.severity,
        status=asked.status,
    )
    found = await sources.workers.run(events, sources.paths, wanted)
    if after is not None:
        last = (-cursor_instant(after[0]).timestamp(), after[1] or "")
        found = [one for one in found if (-one.opened_at.timestamp(), one.event_id) > last]
    page, cursor = page_of(found[: asked.limit + 1], asked.limit, lambda one: (one.opened_at.isoformat(), one.event_id))
    shown = [Event.model_validate(one) for one in page]
    return kept_by_caller(request, Events(since=span.since, until=span.until, events=shown, next_cursor=cursor))


@routes.get("/{event_id}", response_model=Event, responses={**documented(404, 422, 503)})
async def one_event(request: Request, event_id: EventId, sources: SourcesAsked) -> Response:
    """One event, also when it was withdrawn."""
    return kept_by_caller(request, Event.model_validate(await _known(sources, event_id)))


@routes.post("/{event_id}/feedback", status_code=201, responses={**documented(400, 403, 404, 413, 422, 503)})
async def say(request: Request, event_id: EventId, body: Judgement, sources: SourcesAsked) -> FeedbackRecord:
    """Record what a person says about an event, as said of the flag of its strangest reading; the last word counts."""
    author = author_of(request, body.author, frozenset(sources.settings.api_labellers))
    event = await _known(sources, event_id)
    said = await sources.workers.run(
        record_feedback, sources.paths, event.peak, body.label, author=author, note=body.note
    )
    return record_of(said)


async def _known(sources: Sources, event_id: str) -> PublishedEvent:
    """Raises Problem (404)."""
    event = await sources.workers.run(event_named, sources.paths, event_id)
    if event is None:
        raise not_found("event", "there is no such event; name it as `/api/v1/events` gives it")
    return event
