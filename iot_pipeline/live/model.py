"""What the live layer answers with: frozen records, instants aware and in UTC.

No computation here; where the figures come from is `layer.py`.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class LatestReading:
    """The newest reading of one series by event time.

    Attributes:
        device_id: the device.
        fleet: the fleet that its mapping names; empty when it is not known.
        metric: what was measured.
        unit: unit of `value`; None: unknown.
        value: the number; None for a text.
        text: a state; and the exact digits of integers past 2^53.
        quality: good, uncertain or bad.
        event_ts: when it happened.
        received_at: when the collector got it; None where only the statistics of its minute are known.
        message_id: the message that told it; None where only the statistics of its minute are known.
    """

    device_id: str
    fleet: str
    metric: str
    unit: str | None
    value: float | None
    text: str | None
    quality: str
    event_ts: datetime
    received_at: datetime | None
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Point:
    """A recent single reading: numeric, finite, not of bad quality."""

    ts: datetime
    value: float


@dataclass(frozen=True, slots=True)
class Window:
    """Statistics of what happened in [start, start + seconds), of numbers that are finite and not bad.

    Attributes:
        start: begin of the window.
        seconds: its length.
        count: readings in it; windows without any are not given.
        min: smallest reading.
        max: largest reading.
        mean: arithmetic mean.
        first: reading with the earliest event time.
        last: reading with the latest event time.
    """

    start: datetime
    seconds: int
    count: int
    min: float
    max: float
    mean: float
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class FleetPulse:
    """A fleet at a glance.

    Attributes:
        fleet: its name; empty for devices whose fleet is not known.
        devices: devices heard in the time that the layer looks back.
        series: their series.
        readings_per_second: mean over the last seconds.
        newest_event_ts: event time of its newest reading; None before the first.
        lag_seconds: how old that is.
        flags_last_hour: readings flagged live whose event time is within the last hour.
    """

    fleet: str
    devices: int
    series: int
    readings_per_second: float
    newest_event_ts: datetime | None
    lag_seconds: float | None
    flags_last_hour: int


@dataclass(frozen=True, slots=True)
class RegionUsage:
    """All series of one metric and unit of the devices of one region (attribute `region`).

    Attributes:
        region: the region.
        utility: attribute `utility` of the devices, such as `gas`; None where they have none.
        metric: what was measured.
        unit: unit of `total` and `hour_change`.
        devices: devices whose latest value is counted: those heard within the last minutes.
        total: sum of their latest values: with a rate, what the region draws now.
        hour_change: sum of last minus first of the running hour: with a register, what was used in it.
        newest_event_ts: event time of the newest value counted.
    """

    region: str
    utility: str | None
    metric: str
    unit: str | None
    devices: int
    total: float
    hour_change: float
    newest_event_ts: datetime


@dataclass(frozen=True, slots=True)
class StateMean:
    """The readings of one metric of one state (attribute `state`) in one window.

    Attributes:
        state: the state.
        metric: what was measured.
        unit: unit of `mean`.
        mean: arithmetic mean of the readings.
        messages: readings in the window.
        sensors: devices of the state that are known.
    """

    state: str
    metric: str
    unit: str | None
    mean: float
    messages: int
    sensors: int


@dataclass(frozen=True, slots=True)
class StateWindow:
    """What happened in [start, start + seconds), by state: means descending.

    Attributes:
        start: begin of the window.
        seconds: its length.
        states: states with a reading in it.
        messages: readings in it, of all states.
        sensors: devices of all states that are known.
    """

    start: datetime
    seconds: int
    states: tuple[StateMean, ...]
    messages: int
    sensors: int


@dataclass(frozen=True, slots=True)
class LiveFlag:
    """A reading that a detector finds unusual, as seen live; the flags that count are the batch layer's.

    Attributes:
        event_ts: when the reading happened.
        device_id: the device.
        metric: what was measured.
        unit: unit of the figures; None: unknown.
        value: the reading.
        detector: who flagged it.
        score: 1.0 is the threshold.
        expected_low: lower end of what was usual; None where the detector tells none.
        expected_high: upper end of it.
        reason: one sentence.
    """

    event_ts: datetime
    device_id: str
    metric: str
    unit: str | None
    value: float
    detector: str
    score: float
    expected_low: float | None
    expected_high: float | None
    reason: str


class LiveState(StrEnum):
    """Whether the layer can be believed."""

    REBUILDING = "rebuilding"  # after a start: the past is still being read
    LIVE = "live"
    STALE = "stale"  # it could not follow landing: figures are old


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """How the layer is.

    Attributes:
        state: see `LiveState`.
        progress: share of the rebuilding that is done, 0 to 1.
        visible_lag_seconds: landed to visible: of the newest file, or how long the oldest waiting one does.
        series: series held.
        series_limit: the most that the memory allowed by the settings can hold.
        evicted_series: series dropped since the start, those not heard for longest first.
        readings: readings taken in since the start, repetitions not counted.
        duplicates: repetitions that were recognised.
        memory_bytes: what the columns take.
        minutes_kept: minute windows held for each series; fewer when many series share the memory.
        files_skipped: landed files that could not be read.
        flags_skipped: why not all series are looked at by the detectors; None when all are.
        error: what went wrong last and is not over; None when nothing is.
        started_at: when the layer was started; None before.
        newest_landed_at: when the newest file that is visible landed; None before the first.
    """

    state: LiveState
    progress: float
    visible_lag_seconds: float
    series: int
    series_limit: int
    evicted_series: int
    readings: int
    duplicates: int
    memory_bytes: int
    minutes_kept: int
    files_skipped: int
    flags_skipped: str | None
    error: str | None
    started_at: datetime | None
    newest_landed_at: datetime | None
