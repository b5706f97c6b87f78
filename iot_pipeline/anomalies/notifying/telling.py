"""Telling people of what is new: reads events and journal, sends what is due, and writes down what became of it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import structlog

from iot_pipeline.anomalies.events.event import KEY
from iot_pipeline.anomalies.events.store import read_events
from iot_pipeline.anomalies.notifying.channel import Channel, Notice, NotTold, channels
from iot_pipeline.anomalies.notifying.due import due, unsaid
from iot_pipeline.anomalies.notifying.told import Attempt, Outcome, note, settled, told_since
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.clock import DAY, utc_now
from iot_pipeline.settings import Settings

log = structlog.get_logger(__name__)

WAITS = tuple(timedelta(seconds=seconds) for seconds in (20, 40, 80, 160, 320))
"""Between attempts, by whoever calls each half minute: a receiver that is started anew, which takes minutes, still
hears of what it missed while that is news."""
_TOLD = (
    "event_id",
    "severity",
    "type",
    "device_id",
    "metric",
    "unit",
    "value",
    "expected_low",
    "expected_high",
    "score",
    "sentence",
    "opened_at",
    "last_flag_at",
)
Row = Mapping[str, str | float | int | bool | datetime | None]


def tell_new_events(
    settings: Settings, *, now: datetime | None = None, over: Sequence[Channel] | None = None
) -> Mapping[Outcome, int]:
    """Tell of the events that are due, over every channel by itself; returns how many came to what.

    One caller at a time. A channel that fails does not hold up the others; what failed is tried again by a
    later call while the event is new.

    Args:
        settings: where the data is, how grave an event must be and how many an hour are told.
        now: instead of the present instant (UTC).
        over: instead of the channels that the settings name.

    Raises:
        StorageUnavailable: the journal cannot be written; what it does not know was not sent.
    """
    now = now or utc_now()
    events = read_events(settings.paths, now.date() - DAY, now.date())
    attempts = told_since(settings.paths, now)
    done = settled(attempts, now=now, waits=WAITS)
    outcomes: Counter[Outcome] = Counter()
    for channel in channels(settings) if over is None else over:
        chosen = due(
            events,
            attempts,
            done,
            channel=channel.name,
            now=now,
            least=Severity(settings.notify_severity),
            most_per_hour=settings.notify_per_hour,
        )
        further = unsaid(attempts, channel=channel.name)
        for event in chosen.now.iter_rows(named=True):
            note(settings.paths, _attempt(event, channel, now, Outcome.BEGUN))
            try:
                channel.tell(notice(event, further))
            except NotTold as error:
                log.warning("notice_not_told", channel=channel.name, event_id=event["event_id"], reason=str(error))
                note(settings.paths, _attempt(event, channel, now, Outcome.FAILED, str(error)))
                outcomes[Outcome.FAILED] += 1
                break  # The others wait for the next call rather than for a timeout each.
            else:
                note(settings.paths, _attempt(event, channel, now, Outcome.SENT))
                outcomes[Outcome.SENT] += 1
                further = 0
        for event in chosen.held_back.iter_rows(named=True):
            note(settings.paths, _attempt(event, channel, now, Outcome.HELD_BACK))
            outcomes[Outcome.HELD_BACK] += 1
    return outcomes


def notice(event: Row, further: int) -> Notice:
    """What is told of an event (a row of EVENT_SCHEMA): instants as ISO 8601 in UTC.

    `further_events` counts those that were held back over this channel since its last notice.
    """
    return {
        **{name: told.isoformat() if isinstance(told := event[name], datetime) else told for name in _TOLD},
        "further_events": further,
    }


def _attempt(event: Row, channel: Channel, now: datetime, outcome: Outcome, detail: str = "") -> Attempt:
    device_id, metric, unit, kind = (event[name] for name in KEY)
    return Attempt(
        at=now,
        event_id=str(event["event_id"]),
        channel=channel.name,
        outcome=outcome,
        key=(str(device_id), str(metric), None if unit is None else str(unit), str(kind)),
        detail=detail,
    )
