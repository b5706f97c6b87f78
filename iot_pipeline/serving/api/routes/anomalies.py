"""Anomalies: flags with their explanations, and what people say about them."""

from datetime import UTC, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from iot_pipeline.anomalies.feedback import FlagKey, read_feedback, record_feedback
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.clock import DAY
from iot_pipeline.live.model import LiveFlag
from iot_pipeline.serving.anomalies import SeenFlag, Wanted, flags, key_of, order_of
from iot_pipeline.serving.api.answering import (
    Cursor,
    Instant,
    Parameters,
    SourcesAsked,
    cursor_instant,
    cursor_key,
    kept_by_caller,
    page_of,
    range_asked,
)
from iot_pipeline.serving.api.judging import author_of, record_of
from iot_pipeline.serving.api.models.anomalies import (
    Anomalies,
    Anomaly,
    FeedbackRecord,
    FeedbackRecords,
    FeedbackRequest,
    Said,
)
from iot_pipeline.serving.api.models.base import Name
from iot_pipeline.serving.api.paging import Key
from iot_pipeline.serving.api.problems import documented, not_found, wrong

LONGEST_RANGE = 7 * DAY


class AnomaliesAsked(Parameters):
    """Which flags."""

    device_id: Name | None = None
    detector: Name | None = None
    min_score: Annotated[float, Field(ge=0, le=1e9, description="1.0 is the threshold of each detector.")] = 0.0
    severity: Severity | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None


class FeedbackAsked(Parameters):
    """Whose feedback."""

    device_id: Name | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None


routes = APIRouter(prefix="/anomalies", tags=["anomalies"])


@routes.get("", response_model=Anomalies, responses={**documented(422, 503)})
async def anomalies(request: Request, asked: Annotated[AnomaliesAsked, Query()], sources: SourcesAsked) -> Response:
    """Flags newest first, published and live, each with score, expected band and reason."""
    span = range_asked(
        asked.since, asked.until, usual=timedelta(minutes=30), longest=LONGEST_RANGE, step=timedelta(minutes=1)
    )
    after = cursor_key(asked.cursor, 5)
    until = span.until if after is None else min(span.until, cursor_instant(after[0]) + timedelta(microseconds=1))
    wanted = Wanted(
        since=span.since,
        until=until,
        device_id=asked.device_id,
        detector=asked.detector,
        min_score=asked.min_score,
        severity=asked.severity,
    )
    found = await sources.workers.run(flags, sources.paths, sources.live, wanted) if until > span.since else []
    if after is not None:
        last = order_of(_flag_of(after))
        found = [one for one in found if order_of(one.flag) > last]
    page, cursor = page_of(found[: asked.limit + 1], asked.limit, _key)
    shown = [_anomaly(one) for one in page]
    answer = Anomalies(since=span.since, until=span.until, anomalies=shown, next_cursor=cursor)
    return kept_by_caller(request, answer)


@routes.post("/feedback", status_code=201, responses={**documented(400, 403, 404, 413, 422, 503)})
async def say(request: Request, body: FeedbackRequest, sources: SourcesAsked) -> FeedbackRecord:
    """Record what a person says about a flag; it is kept for ever, and the last word counts."""
    author = author_of(request, body.author, frozenset(sources.settings.api_labellers))
    if body.event_ts.tzinfo is None:
        raise wrong("event_ts", "the time has no offset: write it with Z or, say, +01:00")
    flag = FlagKey(body.device_id, body.metric, body.unit, body.event_ts.astimezone(UTC), body.detector)
    wanted = Wanted(
        since=flag.event_ts,
        until=flag.event_ts + timedelta(microseconds=1),
        device_id=flag.device_id,
        detector=flag.detector,
    )
    found = await sources.workers.run(flags, sources.paths, sources.live, wanted)
    if not any(key_of(one.flag) == flag for one in found):
        raise not_found("flag", "there is no such flag; name it as `/api/v1/anomalies` gives it")
    said = await sources.workers.run(record_feedback, sources.paths, flag, body.label, author=author, note=body.note)
    return record_of(said)


@routes.get("/feedback", response_model=FeedbackRecords, responses={**documented(422)})
async def feedback(request: Request, asked: Annotated[FeedbackAsked, Query()], sources: SourcesAsked) -> Response:
    """What was said about flags, newest first."""
    said = await sources.workers.run(read_feedback, sources.paths)
    after = cursor_key(asked.cursor, 1)
    if after is not None:
        place = next((index for index, one in enumerate(said) if one.id == after[0]), None)
        if place is None:
            raise wrong("cursor", "expected the `next_cursor` of the page before, unchanged")
        said = said[:place]
    found = [one for one in reversed(said) if asked.device_id in (None, one.flag.device_id)]
    page, cursor = page_of(found[: asked.limit + 1], asked.limit, lambda one: (one.id,))
    return kept_by_caller(request, FeedbackRecords(feedback=[record_of(one) for one in page], next_cursor=cursor))


def _key(seen: SeenFlag) -> Key:
    flag = seen.flag
    return (flag.event_ts.isoformat(), flag.device_id, flag.metric, flag.unit, flag.detector)


def _flag_of(key: Key) -> LiveFlag:
    """A flag with the key of a cursor, to compare with."""
    when, device, metric, unit, detector = key
    return LiveFlag(
        event_ts=cursor_instant(when),
        device_id=device or "",
        metric=metric or "",
        unit=unit,
        value=0.0,
        detector=detector or "",
        score=0.0,
        expected_low=None,
        expected_high=None,
        reason="",
    )


def _anomaly(seen: SeenFlag) -> Anomaly:
    fields = {name: getattr(seen.flag, name) for name in LiveFlag.__slots__}
    said = Said.model_validate(seen.feedback) if seen.feedback is not None else None
    return Anomaly(**fields, severity=seen.severity, published=seen.published, feedback=said)
