"""Devices: which there are, what they say now, their last hours, and their published history.

A device's name may hold any character, `/` too, so it is a query parameter and never part of a path.
"""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from pydantic import Field

from iot_pipeline.live.model import LatestReading, LiveState
from iot_pipeline.serving import history
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
    require_known,
    rows_behind,
)
from iot_pipeline.serving.api.models.base import Name
from iot_pipeline.serving.api.models.devices import (
    Device,
    DeviceHistory,
    DeviceLive,
    DeviceNow,
    Devices,
    HistoryRow,
    LivePoint,
    LiveSeries,
    LiveWindow,
    Reading,
)
from iot_pipeline.serving.api.problems import documented, wrong
from iot_pipeline.serving.api.times import LONGEST, USUAL, Resolution
from iot_pipeline.serving.history import NotPublished

STEPS = {Resolution.minute: timedelta(minutes=1), Resolution.hour: timedelta(hours=1)}
# Series of one device in one live answer.
MOST_SERIES = 200


class LiveResolution(StrEnum):
    """What is held live: single readings for minutes, minutes for about an hour, hours for a day."""

    reading = "reading"
    minute = "minute"
    hour = "hour"


LIVE_LONGEST = {
    LiveResolution.reading: timedelta(minutes=15),
    LiveResolution.minute: timedelta(hours=2),
    LiveResolution.hour: timedelta(hours=25),
}


class DevicesAsked(Parameters):
    """Which devices."""

    fleet: Annotated[str | None, Field(max_length=1024, description="Only of this fleet.")] = None
    prefix: Annotated[str | None, Field(max_length=1024, description="Only names that begin so.")] = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    cursor: Cursor | None = None


class DeviceAsked(Parameters):
    """One device."""

    device_id: Name


class LiveAsked(DeviceAsked):
    """One device, lately."""

    metric: Name | None = None
    resolution: LiveResolution = LiveResolution.minute
    since: Instant | None = None


class HistoryAsked(DeviceAsked):
    """One device over a range."""

    metric: Name | None = None
    unit: Name | None = None
    resolution: Resolution = Resolution.hour
    since: Instant | None = None
    until: Instant | None = None
    limit: Annotated[int, Field(ge=1, le=10_000)] = 2_000
    cursor: Cursor | None = None


routes = APIRouter(prefix="/devices", tags=["devices"])


@routes.get("", response_model=Devices, responses={**documented(422, 503)})
async def devices(request: Request, asked: Annotated[DevicesAsked, Query()], sources: SourcesAsked) -> Response:
    """Devices by name: published ones, and those heard live since. Search by fleet and by prefix."""
    key = cursor_key(asked.cursor, 1)
    after = key[0] if key else None
    heard = sources.live.devices(fleet=asked.fleet, prefix=asked.prefix, limit=asked.limit + 1, after=after)
    try:
        known = await sources.workers.run(
            history.devices_page,
            sources.paths,
            fleet=asked.fleet,
            prefix=asked.prefix,
            after=after,
            limit=asked.limit + 1,
        )
    except NotPublished:
        if sources.live.status().state is LiveState.REBUILDING:
            raise
        rows: dict[str, Device] = {}
    else:
        rows = {row["device_id"]: Device.model_validate(row) for row in known.iter_rows(named=True)}
    for name in heard:
        if name not in rows:
            latest = sources.live.latest(name)
            rows[name] = Device(device_id=name, fleet=latest[0].fleet or None if latest else None)
    found = [rows[name] for name in sorted(rows)][: asked.limit + 1]
    page, cursor = page_of(found, asked.limit, lambda device: (device.device_id,))
    return kept_by_caller(request, Devices(devices=page, next_cursor=cursor))


@routes.get("/now", responses={**documented(404, 422, 503)})
async def now(asked: Annotated[DeviceAsked, Query()], sources: SourcesAsked) -> DeviceNow:
    """The newest reading of each series of a device."""
    health = sources.asked_live()
    readings = sources.live.latest(asked.device_id)
    if not readings:
        await require_known(sources, asked.device_id)
    shown = [Reading.model_validate(one) for one in readings]
    return DeviceNow(device_id=asked.device_id, live=health, readings=shown)


@routes.get("/live", responses={**documented(404, 422, 503)})
async def lately(asked: Annotated[LiveAsked, Query()], sources: SourcesAsked) -> DeviceLive:
    """The last minutes or hours of a device: single readings, minutes or hours by event time."""
    health = sources.asked_live()
    longest = LIVE_LONGEST[asked.resolution]
    since = range_asked(asked.since, None, usual=longest, longest=longest).since
    series = [one for one in sources.live.latest(asked.device_id) if asked.metric in (None, one.metric)]
    if not series:
        await require_known(sources, asked.device_id)
    if len(series) > MOST_SERIES:
        raise wrong("metric", f"the device has {len(series)} series; ask for one metric at a time")
    shown = [_live_series(sources, one, asked.resolution, since) for one in series]
    return DeviceLive(device_id=asked.device_id, since=since, live=health, series=shown)


@routes.get("/history", response_model=DeviceHistory, responses={**documented(404, 422, 503)})
async def published(request: Request, asked: Annotated[HistoryAsked, Query()], sources: SourcesAsked) -> Response:
    """Published statistics of a device by minute, hour, day, month or year; the batch layer's truth."""
    step = STEPS.get(asked.resolution, timedelta(days=1))
    span = range_asked(
        asked.since, asked.until, usual=USUAL[asked.resolution], longest=LONGEST[asked.resolution], step=step
    )
    after = cursor_key(asked.cursor, 3)
    begin = span.since if after is None else max(span.since, cursor_instant(after[0]))
    rows = await sources.workers.run(
        history.device_history,
        sources.paths,
        asked.device_id,
        asked.resolution,
        begin,
        span.until,
        metric=asked.metric,
        unit=asked.unit,
    )
    if rows.is_empty() and after is None:
        await require_known(sources, asked.device_id)
    found = rows_behind(rows, after, "start").head(asked.limit + 1)
    shown = [HistoryRow.model_validate(row) for row in found.iter_rows(named=True)]
    page, cursor = page_of(shown, asked.limit, lambda row: (row.start.isoformat(), row.metric, row.unit))
    return kept_by_caller(
        request,
        DeviceHistory(
            device_id=asked.device_id,
            resolution=asked.resolution,
            since=span.since,
            until=span.until,
            rows=page,
            next_cursor=cursor,
        ),
    )


def _live_series(sources: Sources, series: LatestReading, resolution: LiveResolution, since: datetime) -> LiveSeries:
    live, which = sources.live, (series.device_id, series.metric, series.unit)
    if resolution is LiveResolution.reading:
        points = [LivePoint.model_validate(point) for point in live.recent(*which, since=since)]
        return LiveSeries(metric=series.metric, unit=series.unit, points=points)
    held = live.minutes if resolution is LiveResolution.minute else live.hours
    windows = [LiveWindow.model_validate(window) for window in held(*which, since=since)]
    return LiveSeries(metric=series.metric, unit=series.unit, windows=windows)
