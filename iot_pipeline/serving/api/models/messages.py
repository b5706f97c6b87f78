"""Answers with single readings and the messages that told them."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from iot_pipeline.serving.api.models.base import Answer, Page


class SingleReading(Answer):
    """One reading of a device as it counts now."""

    event_ts: Annotated[datetime, Field(description="When it happened.")]
    metric: str
    unit: str | None
    value: float | None
    text: Annotated[str | None, Field(description="A state; or the exact digits of an integer past 2^53.")]
    quality: Annotated[str, Field(description="good, uncertain or bad.")]
    received_at: datetime
    source: str
    message_id: Annotated[str, Field(description="The message that told it: `/messages?message_id=`.")]
    corrected_by: Annotated[list[str] | None, Field(description="Corrections that made the value what it is.")]


class DeviceReadings(Page):
    """A page of the readings of a device, by time."""

    device_id: str
    since: datetime
    until: datetime
    readings: list[SingleReading]


class PayloadEncoding(StrEnum):
    """How the bytes of a payload are written."""

    utf8 = "utf-8"
    base64 = "base64"


class LandedMessage(Answer):
    """A message as it was received."""

    message_id: str
    received_at: datetime
    source: Annotated[str, Field(description="Name of the connection.")]
    topic: str
    qos: int
    retain: bool
    payload: Annotated[str, Field(description="As text when all of its bytes are UTF-8, else in Base64.")]
    encoding: PayloadEncoding
    payload_size: Annotated[int, Field(description="Bytes of the whole payload.")]
    truncated: Annotated[bool, Field(description="Only the first bytes of the payload are here.")]
