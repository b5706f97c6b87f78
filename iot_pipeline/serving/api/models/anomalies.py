"""Flags and events, and what people say about them."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.anomalies.feedback import FeedbackLabel
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.serving.api.models.base import Answer, Name, Page


class Said(Answer):
    """What a person said about a flag."""

    id: str
    at: datetime
    author: str
    label: FeedbackLabel
    note: str


class Anomaly(Answer):
    """A reading that a detector flagged, with its explanation."""

    event_ts: datetime
    device_id: str
    metric: str
    unit: str | None
    value: float | None
    detector: str
    score: Annotated[float, Field(description="1.0 is the threshold.")]
    severity: Annotated[Severity, Field(description="By the score: notice from 1, warning from 2, critical from 4.")]
    expected_low: Annotated[float | None, Field(description="Lower end of what was usual, in `unit`.")]
    expected_high: Annotated[float | None, Field(description="Upper end of what was usual, in `unit`.")]
    reason: Annotated[str, Field(description="Why it was flagged, in a sentence.")]
    published: Annotated[bool, Field(description="False: seen live, and not looked at by the batch layer yet.")]
    feedback: Annotated[Said | None, Field(description="What was said about it last.")] = None


class Anomalies(Page):
    """A page of flags, newest first."""

    since: datetime
    until: datetime
    anomalies: list[Anomaly]


class Event(Answer):
    """Flags of one series and type that belong together. `score` to `reason` are those of its strangest reading."""

    event_id: str
    revision: Annotated[int, Field(description="One more for each change by late data, a correction or a new model.")]
    status: Annotated[EventStatus, Field(description="withdrawn: late data or a correction left nothing of it.")]
    type: FlagType
    severity: Annotated[Severity, Field(description="By its highest score and how long it lasted.")]
    device_id: str
    fleet: str | None
    metric: str
    unit: str | None
    opened_at: Annotated[datetime, Field(description="Its first flag.")]
    last_flag_at: datetime
    closed_at: Annotated[datetime | None, Field(description="When it had recovered, or midnight UTC; null while open.")]
    flags: Annotated[int, Field(description="Flagged readings.")]
    score: Annotated[float, Field(description="1.0 is the threshold.")]
    peak_at: datetime
    value: float | None
    expected_low: Annotated[float | None, Field(description="Lower end of what was usual, in `unit`.")]
    expected_high: Annotated[float | None, Field(description="Upper end of what was usual, in `unit`.")]
    detector: str
    detector_version: str
    reason: str
    sentence: Annotated[str, Field(description="The event in one sentence.")]
    continues: Annotated[bool, Field(description="The same was going on before midnight UTC, where events end.")]
    first_message_id: Annotated[
        str | None, Field(description="The message of its first flag: `/messages?message_id=`.")
    ]
    peak_message_id: Annotated[str | None, Field(description="The message of its strangest reading.")]
    feedback: Annotated[Said | None, Field(description="What was said last about any of its flags.")] = None


class Events(Page):
    """A page of events, newest first."""

    since: datetime
    until: datetime
    events: list[Event]


class Judgement(BaseModel):
    """What a person says."""

    model_config = ConfigDict(extra="forbid")

    label: FeedbackLabel
    note: Annotated[str, Field(max_length=1000)] = ""
    author: Annotated[
        str | None, Field(min_length=1, max_length=100, description="Needed without a key; else the key's name counts.")
    ] = None


class FeedbackRequest(Judgement):
    """What is to be recorded about a flag, which is named by its reading and its detector."""

    device_id: Name
    metric: Name
    unit: Annotated[str | None, Field(max_length=1024)] = None
    event_ts: Annotated[datetime, Field(description="As the flag has it, with an offset.")]
    detector: Name


class FeedbackRecord(Said):
    """What was recorded, and about which flag."""

    device_id: str
    metric: str
    unit: str | None
    event_ts: datetime
    detector: str


class FeedbackRecords(Page):
    """A page of what was said, newest first."""

    feedback: list[FeedbackRecord]
