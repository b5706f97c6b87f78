"""From a figure back to what was sent: the readings of a device with their messages, and the messages themselves."""

import base64
from datetime import timedelta
from typing import Annotated

import polars as pl
from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from iot_pipeline.clock import DAY
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
    require_known,
    rows_behind,
)
from iot_pipeline.serving.api.models.base import Name
from iot_pipeline.serving.api.models.messages import DeviceReadings, LandedMessage, PayloadEncoding, SingleReading
from iot_pipeline.serving.api.problems import Problem, documented, not_found, wrong
from iot_pipeline.serving.messages import MessageRemoved, NoMessageId, RawMessage, raw_message
from iot_pipeline.serving.readings import device_readings

LONGEST_RANGE = DAY
MOST_READINGS = 10_000


class ReadingsAsked(Parameters):
    """One device over a range."""

    device_id: Name
    metric: Name | None = None
    unit: Name | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_READINGS)] = 1_000
    cursor: Cursor | None = None


class MessageAsked(Parameters):
    """One message."""

    message_id: Annotated[str, Field(min_length=5, max_length=100, description="As a reading names it.")]


routes = APIRouter(tags=["devices"])


@routes.get("/devices/readings", response_model=DeviceReadings, responses={**documented(404, 422, 503)})
async def readings(request: Request, asked: Annotated[ReadingsAsked, Query()], sources: SourcesAsked) -> Response:
    """Single readings of a device over at most a day, corrected, each with the message that told it."""
    span = range_asked(asked.since, asked.until, usual=timedelta(minutes=15), longest=LONGEST_RANGE)
    after = cursor_key(asked.cursor, 3)
    begin = span.since if after is None else max(span.since, cursor_instant(after[0]))
    found = pl.DataFrame()
    if begin < span.until:
        found = await sources.workers.run(
            device_readings, sources.paths, asked.device_id, begin, span.until, metric=asked.metric, unit=asked.unit
        )
    if found.is_empty() and after is None:
        await require_known(sources, asked.device_id)
    rows = rows_behind(found, after, "event_ts").head(asked.limit + 1)
    shown = [SingleReading.model_validate(row) for row in rows.iter_rows(named=True)]
    page, cursor = page_of(shown, asked.limit, lambda row: (row.event_ts.isoformat(), row.metric, row.unit))
    answer = DeviceReadings(
        device_id=asked.device_id, since=span.since, until=span.until, readings=page, next_cursor=cursor
    )
    return kept_by_caller(request, answer)


@routes.get("/messages", response_model=LandedMessage, responses={**documented(404, 410, 422, 503)})
async def message(request: Request, asked: Annotated[MessageAsked, Query()], sources: SourcesAsked) -> Response:
    """The raw message behind a reading, as it came."""
    try:
        found = await sources.workers.run(raw_message, sources.paths, asked.message_id)
    except NoMessageId as error:
        raise wrong("message_id", str(error)) from error
    except MessageRemoved as error:
        raise Problem(410, "removed-message", str(error)) from error
    if found is None:
        raise not_found("message", "no message of this id was landed; `message_id` of a reading names one")
    return kept_by_caller(request, _landed(found))


def _landed(found: RawMessage) -> LandedMessage:
    truncated = len(found.payload) < found.payload_size
    try:
        payload, encoding = _text(found.payload, truncated=truncated), PayloadEncoding.utf8
    except UnicodeDecodeError:
        payload, encoding = base64.b64encode(found.payload).decode(), PayloadEncoding.base64
    return LandedMessage(
        message_id=found.message_id,
        received_at=found.received_at,
        source=found.source,
        topic=found.topic,
        qos=found.qos,
        retain=found.retain,
        payload=payload,
        encoding=encoding,
        payload_size=found.payload_size,
        truncated=truncated,
    )


def _text(payload: bytes, *, truncated: bool) -> str:
    """The payload as text, without a character that the cut went through. Raises UnicodeDecodeError."""
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        if not truncated or error.start < len(payload) - 3 or error.reason != "unexpected end of data":
            raise
        return payload[: error.start].decode()
