"""Where the entries of the inbox come from, and who may say something about them. Blocking; no elements here.

What becomes an entry is `inbox/view.py`; events and flags are read by `serving/events.py` and `serving/anomalies.py`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from iot_pipeline.anomalies.feedback import read_feedback
from iot_pipeline.anomalies.kinds import type_of
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.errors import TransientError
from iot_pipeline.live.model import LiveFlag
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving import history
from iot_pipeline.serving.anomalies import SeenFlag, Wanted, flags, key_of
from iot_pipeline.serving.events import Event, WantedEvents, events
from iot_pipeline.serving.live_view import LiveView
from iot_pipeline.serving.pages.inbox.view import Entry, by_urgency, entries_of, entries_of_events, not_told
from iot_pipeline.serving.readings import device_readings
from iot_pipeline.settings import Settings

RANGES = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", DAY),
    "7d": ("last 7 days", 7 * DAY),
}
LIVE_FLAGS = 10_000
# The live layer shows no older ones.
LIVE_HELD = timedelta(minutes=65)
# Events are made of flags within a minute after these; a flag that is in none after so long was not worth one.
SETTLING = timedelta(minutes=5)
MOST_MARKS = 500
AROUND = timedelta(minutes=10)
LONGEST_CHART = timedelta(hours=3)


@dataclass(frozen=True, slots=True)
class Read:
    """The entries of a range, and why some may be missing; empty when none are."""

    entries: list[Entry]
    note: str


@dataclass(frozen=True, slots=True)
class Rights:
    """Who says something: `author` is fixed where a key tells it; `refusal` says why nothing may be said."""

    author: str | None
    refusal: str


def rights(settings: Settings, key_name: str | None) -> Rights:
    """What a caller with this key, or without any, may say: as the API has it."""
    if not settings.api_keys:
        return Rights(None, "")
    if key_name in settings.api_labellers:
        return Rights(key_name, "")
    return Rights(key_name, "Your key only reads; IOT_API_LABELLERS names those that may say something here.")


@dataclass(frozen=True, slots=True)
class Around:
    """Readings about an entry, and its flags among them, both by time."""

    points: list[tuple[datetime, float]]
    flags: list[LiveFlag]


def read_entries(paths: DataPaths, live: LiveView, since: datetime, until: datetime) -> Read:
    """All entries of [since, until), most urgent first: events and the flags that none tells of yet.

    Without published events they are made of all flags; without those, of what is seen live.
    """
    told, seen, note = _told(paths, live, since, until)
    found = entries_of(seen, fleets_of(live, paths, {one.flag.device_id for one in seen}))
    return Read(by_urgency([*entries_of_events(told), *found]), note)


def _told(
    paths: DataPaths, live: LiveView, since: datetime, until: datetime
) -> tuple[list[Event], list[SeenFlag], str]:
    try:
        told = events(paths, WantedEvents(since=since, until=until))
    except TransientError as error:
        seen, note = _seen(paths, live, since, until)
        return [], seen, note or f"Single flags only: {error}"
    seen, note = _seen(paths, live, max(since, until - LIVE_HELD), until)
    return told, not_told(seen, told, settled=until - SETTLING), note


def _seen(paths: DataPaths, live: LiveView, since: datetime, until: datetime) -> tuple[list[SeenFlag], str]:
    """Flags of the range, and why there are only live ones; empty when there are others."""
    try:
        return flags(paths, live, Wanted(since=since, until=until)), ""
    except TransientError as error:
        said = {one.flag: one for one in read_feedback(paths)}
        seen = live.flags(since=since, limit=LIVE_FLAGS)
        found = [SeenFlag(one, published=False, feedback=said.get(key_of(one))) for one in seen]
        return found, f"Only what was seen live: {error}"


def fleets_of(live: LiveView, paths: DataPaths, devices: Iterable[str]) -> dict[str, str]:
    """The fleet of each of these devices that has a known one."""
    fleets: dict[str, str] = {}
    unheard = []
    for device in devices:
        latest = live.latest(device)
        if latest:
            fleets[device] = latest[0].fleet
        else:
            unheard.append(device)
    if unheard:
        try:
            rows = history.devices_page(paths, names=unheard, limit=len(unheard))
        except TransientError:
            return fleets
        fleets |= {device: fleet or "" for device, fleet in rows.select("device_id", "fleet").iter_rows()}
    return fleets


def around(paths: DataPaths, live: LiveView, entry: Entry) -> Around:
    """What the chart of an entry shows. An event whose flags are not at hand has its strangest reading alone."""
    points = points_around(paths, live, entry)
    if entry.event is None:
        return Around(points, list(entry.flags))
    first = max(entry.since, points[0][0]) if points else entry.since
    try:
        rows = history.published_flags(
            paths, first, entry.until + timedelta(microseconds=1), device_id=entry.device_id
        ).select(LiveFlag.__slots__)
    except TransientError:
        return Around(points, list(entry.flags))
    series = (LiveFlag(**row) for row in rows.reverse().iter_rows(named=True))
    found = [
        flag
        for flag in series
        if (flag.metric, flag.unit, type_of(flag.detector)) == (entry.metric, entry.unit, entry.type)
    ]
    return Around(points, found[-MOST_MARKS:] or list(entry.flags))


def points_around(paths: DataPaths, live: LiveView, entry: Entry) -> list[tuple[datetime, float]]:
    """The readings of an entry's series from a while before it to a while after it, single ones where it is short."""
    since, until = entry.since - AROUND, entry.until + AROUND
    if until - since > LONGEST_CHART:
        since = until - LONGEST_CHART
    try:
        found = device_readings(paths, entry.device_id, since, until, metric=entry.metric, unit=entry.unit).drop_nulls(
            "value"
        )
        points = [
            (ts, value)
            for ts, value, unit in found.select("event_ts", "value", "unit").iter_rows()
            if unit == entry.unit
        ]
    except TransientError:
        points = []
    last = points[-1][0] if points else since - MINUTE
    held = live.recent(entry.device_id, entry.metric, entry.unit, since=since)
    return points + [(point.ts, point.value) for point in held if last < point.ts < until]
