"""What people work on in the inbox: published events, and the flags that no event tells of yet, put together.

Plain functions to entries; events come from `serving/events.py`, flags from `serving/anomalies.py`, what was said from
`anomalies/feedback.py`. Nothing here knows how an entry looks.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.feedback import Feedback, FeedbackLabel, FlagKey
from iot_pipeline.anomalies.kinds import BASELINES, type_of
from iot_pipeline.anomalies.severity import Severity, severity_of
from iot_pipeline.live.model import LiveFlag
from iot_pipeline.serving.anomalies import SeenFlag, key_of
from iot_pipeline.serving.events import Event

# Two flags of a series that are further apart are two things to look at.
GAP = timedelta(minutes=5)

_URGENCY = {severity: place for place, severity in enumerate(Severity)}


class Work(StrEnum):
    """What a person did with an entry."""

    open = "open"  # nobody said anything about any of its flags, or about the newest of them
    done = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """An event, or consecutive flags of one series by one detector; and what was said about it.

    Attributes:
        key: names the entry while it grows: its event, or its series, detector and first instant.
        device_id: the device.
        fleet: its fleet; empty when it is not known.
        metric: what was measured.
        unit: unit of all figures.
        detector: who flagged it; of an event, who flagged its strangest reading.
        type: what kind of unusual it is; None for detectors that only compare.
        severity: that of the event or of the worst flag.
        since: event time (UTC) of the first flag.
        until: event time of the last one.
        count: how many readings were flagged.
        flags: the flags, oldest first; of an event only the worst.
        worst: the flag with the highest score.
        published: whether the batch layer stands by all of them.
        feedback: what was said last about any of them.
        unsaid: how many of `flags` nobody said anything about.
        event: the event, if it is one.
    """

    key: str
    device_id: str
    fleet: str
    metric: str
    unit: str | None
    detector: str
    type: FlagType | None
    severity: Severity
    since: datetime
    until: datetime
    count: int
    flags: tuple[LiveFlag, ...]
    worst: LiveFlag
    published: bool
    feedback: Feedback | None
    unsaid: int
    event: Event | None = None

    @property
    def sentence(self) -> str:
        """What is told of it."""
        return self.worst.reason if self.event is None else self.event.sentence

    @property
    def work(self) -> Work:
        """Open while there is a flag that nobody said anything about."""
        return Work.open if self.unsaid else Work.done

    @property
    def keys(self) -> list[FlagKey]:
        """What is said about it is said about these flags."""
        return [key_of(flag) for flag in self.flags]


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which entries are shown; None means any."""

    fleet: str | None = None
    device: str | None = None
    detector: str | None = None
    type: FlagType | None = None
    severity: Severity | None = None
    label: str | None = None
    """A `FeedbackLabel`, `open` or `done`."""

    def meets(self, entry: Entry) -> bool:
        """Whether `entry` is shown. `device` is any part of a name."""
        return (
            self.fleet in (None, entry.fleet)
            and (self.device is None or self.device.casefold() in entry.device_id.casefold())
            and self.detector in (None, entry.detector)
            and self.type in (None, entry.type)
            and self.severity in (None, entry.severity)
            and self._meets_label(entry)
        )

    def _meets_label(self, entry: Entry) -> bool:
        if self.label in (None, entry.work.value):
            return True
        return entry.feedback is not None and entry.feedback.label.value == self.label


def entries_of(seen: Iterable[SeenFlag], fleets: dict[str, str], *, gap: timedelta = GAP) -> list[Entry]:
    """The entries of these flags, newest first.

    Args:
        seen: flags in any order.
        fleets: fleet of each device that has a known one.
        gap: flags of a series and detector further apart than this are two entries.
    """
    groups: list[list[SeenFlag]] = []
    for one in sorted(seen, key=_series_then_time):
        last = groups[-1][-1] if groups else None
        if last is not None and _series(last) == _series(one) and one.flag.event_ts - last.flag.event_ts <= gap:
            groups[-1].append(one)
        else:
            groups.append([one])
    return sorted((_entry(group, fleets) for group in groups), key=order_of)


def entries_of_events(events: Iterable[Event]) -> list[Entry]:
    """The entries of these events, in their order."""
    return [_entry_of(event) for event in events]


def not_told(seen: Iterable[SeenFlag], events: Iterable[Event], *, settled: datetime) -> list[SeenFlag]:
    """The flags that no event tells of yet, in their order.

    Published ones from before `settled` (UTC) that are in no event were not worth one; neither are those of baselines.
    """
    spans: defaultdict[tuple[str, str, str | None, FlagType | None], list[Event]] = defaultdict(list)
    for event in events:
        spans[event.device_id, event.metric, event.unit, event.type].append(event)
    left = []
    for one in seen:
        flag = one.flag
        if flag.detector in BASELINES or (one.published and flag.event_ts < settled):
            continue
        around = spans.get((flag.device_id, flag.metric, flag.unit, type_of(flag.detector)), ())
        if not any(event.opened_at <= flag.event_ts <= event.last_flag_at for event in around):
            left.append(one)
    return left


def order_of(entry: Entry) -> tuple[int, float, str]:
    """Sorting key: newest first, ties by name."""
    return (0, -entry.until.timestamp(), entry.key)


def by_urgency(entries: Iterable[Entry]) -> list[Entry]:
    """Open ones first, then the most severe; of these the published ones, then what is seen just now, newest first."""
    return sorted(
        entries,
        key=lambda one: (
            one.work is Work.done,
            -_URGENCY[one.severity],
            not one.published,
            -one.until.timestamp(),
            one.key,
        ),
    )


def counts_by_severity(entries: Iterable[Entry]) -> dict[Severity, int]:
    """How many open entries there are of each severity."""
    counts = dict.fromkeys(Severity, 0)
    for entry in entries:
        if entry.work is Work.open:
            counts[entry.severity] += 1
    return counts


def label_text(label: FeedbackLabel) -> str:
    """A label in words."""
    return label.value.replace("_", " ")


def detectors_of(entries: Sequence[Entry]) -> list[str]:
    """The detectors that flagged something, by name."""
    return sorted({entry.detector for entry in entries})


def types_of(entries: Iterable[Entry]) -> list[FlagType]:
    """The types that there are, in their usual order."""
    there = {entry.type for entry in entries}
    return [one for one in FlagType if one in there]


def changed(chosen: Filter, **changes: object) -> Filter:
    """The filter with something else chosen."""
    return replace(chosen, **changes)  # type: ignore[arg-type]  # its own fields


def expected_band(flags: Iterable[LiveFlag]) -> list[tuple[datetime, float | None, float | None]]:
    """What the detector expected at each flag."""
    return [(flag.event_ts, flag.expected_low, flag.expected_high) for flag in flags]


def _entry(group: list[SeenFlag], fleets: dict[str, str]) -> Entry:
    flags = tuple(one.flag for one in group)
    said = [one.feedback for one in group if one.feedback is not None]
    first = flags[0]
    worst = max(flags, key=lambda flag: flag.score)
    return Entry(
        key="\x1f".join((first.device_id, first.metric, first.unit or "", first.detector, first.event_ts.isoformat())),
        device_id=first.device_id,
        fleet=fleets.get(first.device_id, ""),
        metric=first.metric,
        unit=first.unit,
        detector=first.detector,
        type=type_of(first.detector),
        severity=severity_of(worst.score),
        since=first.event_ts,
        until=flags[-1].event_ts,
        count=len(flags),
        flags=flags,
        worst=worst,
        published=all(one.published for one in group),
        feedback=max(said, key=lambda one: one.at) if said else None,
        unsaid=sum(one.feedback is None for one in group),
    )


def _entry_of(event: Event) -> Entry:
    worst = LiveFlag(
        event_ts=event.peak_at,
        device_id=event.device_id,
        metric=event.metric,
        unit=event.unit,
        value=float("nan") if event.value is None else event.value,
        detector=event.detector,
        score=event.score,
        expected_low=event.expected_low,
        expected_high=event.expected_high,
        reason=event.reason,
    )
    # What became stranger after somebody judged it has to be judged again.
    said = event.feedback is not None and event.feedback.at >= event.peak_at
    return Entry(
        key=f"event\x1f{event.event_id}",
        device_id=event.device_id,
        fleet=event.fleet or "",
        metric=event.metric,
        unit=event.unit,
        detector=event.detector,
        type=event.type,
        severity=event.severity,
        since=event.opened_at,
        until=event.last_flag_at,
        count=event.flags,
        flags=(worst,),
        worst=worst,
        published=True,
        feedback=event.feedback,
        unsaid=0 if said else 1,
        event=event,
    )


def _series(one: SeenFlag) -> tuple[str, str, str, str]:
    flag = one.flag
    return (flag.device_id, flag.metric, flag.unit or "", flag.detector)


def _series_then_time(one: SeenFlag) -> tuple[tuple[str, str, str, str], datetime]:
    return (_series(one), one.flag.event_ts)
