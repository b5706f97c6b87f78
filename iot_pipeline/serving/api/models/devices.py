"""Answers about devices: which there are, their newest readings, their last hours live, and what is published."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from iot_pipeline.serving.api.models.base import Answer, LiveHealth, Page


class Device(Answer):
    """A device; what is null was not published yet."""

    device_id: str
    fleet: str | None = None
    type: str | None = None
    description: str | None = None
    region: str | None = None
    customer: str | None = None
    latitude: Annotated[float | None, Field(description="Degrees, WGS 84.")] = None
    longitude: Annotated[float | None, Field(description="Degrees, WGS 84.")] = None
    state: Annotated[str | None, Field(description="online, offline or stale; null: it does not tell.")] = None
    state_since: datetime | None = None
    first_seen: datetime | None = None
    last_seen: datetime | None = None


class Devices(Page):
    """A page of devices, by name."""

    devices: list[Device]


class Reading(Answer):
    """The newest reading of one series."""

    metric: str
    unit: str | None
    value: float | None
    text: Annotated[str | None, Field(description="A state; or the exact digits of an integer past 2^53.")]
    quality: Annotated[str, Field(description="good, uncertain or bad.")]
    event_ts: Annotated[datetime, Field(description="When it happened.")]
    received_at: datetime | None
    message_id: Annotated[str | None, Field(description="The message that told it.")]


class DeviceNow(Answer):
    """The newest reading of each series of a device; none for one that was not heard lately."""

    device_id: str
    live: LiveHealth
    readings: list[Reading]


class LivePoint(Answer):
    """A single reading."""

    ts: datetime
    value: float


class LiveWindow(Answer):
    """Statistics of what happened in [start, start + seconds)."""

    start: datetime
    seconds: int
    count: int
    min: float
    max: float
    mean: float
    first: float
    last: float


class LiveSeries(Answer):
    """What is held of one series: single readings or windows, as was asked for."""

    metric: str
    unit: str | None
    points: list[LivePoint] | None = None
    windows: list[LiveWindow] | None = None


class DeviceLive(Answer):
    """The last minutes or hours of a device, live."""

    device_id: str
    since: datetime
    live: LiveHealth
    series: list[LiveSeries]


class HistoryRow(Answer):
    """Published statistics of one series over one window that begins at `start`."""

    start: datetime
    metric: str
    unit: str | None
    count: int
    min: float | None
    max: float | None
    mean: float | None
    stddev: Annotated[float | None, Field(description="Of the sample; null for a single reading.")]
    first: float | None
    last: float | None
    p50: Annotated[float | None, Field(description="Median; null in months and years.")]
    p95: Annotated[float | None, Field(description="Null in months and years.")]


class DeviceHistory(Page):
    """A page of the published history of a device, by time."""

    device_id: str
    resolution: str
    since: Annotated[datetime, Field(description="Included; rounded down to whole minutes, hours or days.")]
    until: Annotated[datetime, Field(description="Not included; rounded up likewise.")]
    rows: list[HistoryRow]
