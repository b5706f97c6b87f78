"""What the API answers with. Instants are UTC; every figure has its unit beside it, null where it is unknown.

Live records become these by attribute (`live/model.py` says what each field means); no computation here.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.anomalies.feedback import FeedbackLabel
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.live.model import LiveState

Name = Annotated[str, Field(min_length=1, max_length=1024)]


class _Answer(BaseModel):
    model_config = ConfigDict(from_attributes=True, frozen=True)


class Page(_Answer):
    """What every list has."""

    next_cursor: Annotated[str | None, Field(description="Give it as `cursor` for what follows; null at the end.")]


class LiveHealth(_Answer):
    """How far the live layer can be believed."""

    state: LiveState
    visible_lag_seconds: float


class Fleet(_Answer):
    """A fleet at a glance, live."""

    fleet: Annotated[str, Field(description="Empty for devices whose fleet is not known.")]
    devices: int
    series: int
    readings_per_second: float
    newest_event_ts: datetime | None
    lag_seconds: float | None
    flags_last_hour: int


class Fleets(_Answer):
    """All fleets."""

    live: LiveHealth
    fleets: list[Fleet]


class Device(_Answer):
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


class Reading(_Answer):
    """The newest reading of one series."""

    metric: str
    unit: str | None
    value: float | None
    text: Annotated[str | None, Field(description="A state; or the exact digits of an integer past 2^53.")]
    quality: Annotated[str, Field(description="good, uncertain or bad.")]
    event_ts: Annotated[datetime, Field(description="When it happened.")]
    received_at: datetime | None
    message_id: Annotated[str | None, Field(description="The message that told it.")]


class DeviceNow(_Answer):
    """The newest reading of each series of a device; none for one that was not heard lately."""

    device_id: str
    live: LiveHealth
    readings: list[Reading]


class LivePoint(_Answer):
    """A single reading."""

    ts: datetime
    value: float


class LiveWindow(_Answer):
    """Statistics of what happened in [start, start + seconds)."""

    start: datetime
    seconds: int
    count: int
    min: float
    max: float
    mean: float
    first: float
    last: float


class LiveSeries(_Answer):
    """What is held of one series: single readings or windows, as was asked for."""

    metric: str
    unit: str | None
    points: list[LivePoint] | None = None
    windows: list[LiveWindow] | None = None


class DeviceLive(_Answer):
    """The last minutes or hours of a device, live."""

    device_id: str
    since: datetime
    live: LiveHealth
    series: list[LiveSeries]


class HistoryRow(_Answer):
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


class SingleReading(_Answer):
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


class LandedMessage(_Answer):
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


class UsageWindow(_Answer):
    """One hour of a meter."""

    start: datetime
    count: int
    mean: float
    last: float
    change: Annotated[
        float | None, Field(description="Of a register: `last` minus that of the hour before, which is what was used.")
    ]


class UsageSeries(_Answer):
    """A meter's series: its newest value and the last 24 hours."""

    device_id: str
    metric: str
    unit: str | None
    value: float | None
    quality: str
    event_ts: datetime
    change_24h: Annotated[float | None, Field(description="Sum of `change`; null for what is no register.")]
    hours: list[UsageWindow]


class CustomerUsage(_Answer):
    """What one customer uses now and used in the last 24 hours. Live: the daily recompute is the billing truth."""

    customer: str
    live: LiveHealth
    since: datetime
    series: list[UsageSeries]


class RegionSum(_Answer):
    """All series of one utility, metric and unit of a region."""

    utility: str | None
    metric: str
    unit: str | None
    devices: Annotated[int, Field(description="Devices whose latest value is counted.")]
    total: Annotated[float, Field(description="Sum of latest values: with a rate, what is drawn now.")]
    hour_change: Annotated[float, Field(description="With a register: what was used in the running hour.")]
    newest_event_ts: datetime


class Region(_Answer):
    """A region now."""

    region: str
    usage: list[RegionSum]


class NationalUsage(_Answer):
    """The country by region, live."""

    live: LiveHealth
    regions: list[Region]


class Said(_Answer):
    """What a person said about a flag."""

    id: str
    at: datetime
    author: str
    label: FeedbackLabel
    note: str


class Anomaly(_Answer):
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


class Event(_Answer):
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


class QuarantineCount(_Answer):
    """Rows of quarantine of one reason, mapping and topic."""

    reason: str
    mapping: Annotated[str | None, Field(description="Null: no mapping matched.")]
    topic: str
    rows: Annotated[int, Field(description="Messages, or fields of them, that could not be read.")]
    messages: int
    unattributed: Annotated[int, Field(description="Rows of which nobody can tell the device.")]
    first_minute: datetime
    last_minute: datetime


class QuarantineCounts(_Answer):
    """What could not be read, most first."""

    since: datetime
    until: datetime
    rows: Annotated[int, Field(description="Sum over all counts, also those that are not listed.")]
    counts: list[QuarantineCount]
    left_out: Annotated[int, Field(description="Counts beyond `limit`.")]
