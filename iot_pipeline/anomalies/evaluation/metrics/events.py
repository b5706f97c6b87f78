"""Events found and false alerts by the onset rule.

The rule: an event is found only by an alert that begins inside it, and an alert that begins outside of all
events is false. Mere overlap would reward what is always on: random flags, joined into long alerts, overlap
nearly every event.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from iot_pipeline.anomalies.evaluation.metrics.segments import alerts_of, segments_of


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """What the alerts of a series, or of many, came to.

    Attributes:
        events: events in the labels.
        found: of these, those in which an alert began.
        alerts: alerts; one that lasts is raised again each day.
        false: of these, those that began outside of all events.
        delays: rows from the begin of an event to its first alert, one for each event found.
        days: device-days looked at.
        rows: rows looked at.
        flagged: rows with a flag.
        clean_rows: rows outside of all events.
        clean_flagged: of these, rows with a flag.
    """

    events: int
    found: int
    alerts: int
    false: int
    delays: tuple[float, ...]
    days: float
    rows: int
    flagged: int
    clean_rows: int
    clean_flagged: int

    @property
    def recall(self) -> float:
        """Share of events found; NaN without events."""
        return self.found / self.events if self.events else float("nan")

    @property
    def false_per_day(self) -> float:
        """False alerts per device-day; NaN without time."""
        return self.false / self.days if self.days else float("nan")

    @property
    def time_in_alarm(self) -> float:
        """Share of all rows with a flag."""
        return self.flagged / self.rows if self.rows else float("nan")

    @property
    def clean_time_in_alarm(self) -> float:
        """Share of the rows outside of events with a flag."""
        return self.clean_flagged / self.clean_rows if self.clean_rows else float("nan")

    @property
    def median_delay(self) -> float:
        """Median of `delays`; NaN without one."""
        return float(np.median(self.delays)) if self.delays else float("nan")


def event_outcome(
    label: ArrayLike, flag: ArrayLike, *, rows_per_day: float, quiet: int = 0, slack: int = 0
) -> EventOutcome:
    """Judge the flags of one series by the onset rule.

    Args:
        label: rows in order of time, true inside events.
        flag: as many rows, true where flagged.
        rows_per_day: how many rows a day of this series has: an alert that lasts counts again after each so many.
        quiet: runs of flags at most so many rows apart are one alert.
        slack: an alert may begin so many rows after the end of an event and still find it.

    Raises:
        ValueError: label and flag differ in length, or a day has no rows.
    """
    labels, flags = np.asarray(label) > 0, np.asarray(flag) > 0
    if labels.shape != flags.shape or not rows_per_day > 0:
        raise ValueError(f"{labels.shape} labels, {flags.shape} flags, {rows_per_day} rows a day: nothing to judge")
    events = segments_of(labels)
    alerts = alerts_of(flags, quiet=quiet, longest=max(round(rows_per_day), 1))
    onsets = alerts[:, 0]
    # The first alert at or after the begin of each event, and the last event that begins at or before each alert.
    follower = np.searchsorted(onsets, events[:, 0], side="left")
    first_onset = np.append(onsets, np.iinfo(np.int64).max)[follower]
    found = first_onset <= events[:, 1] + slack
    before = np.searchsorted(events[:, 0], onsets, side="right") - 1
    last_row = np.append(events[:, 1] + slack, np.iinfo(np.int64).min)[before]
    return EventOutcome(
        events=len(events),
        found=int(found.sum()),
        alerts=len(alerts),
        false=int((onsets > last_row).sum()),
        delays=tuple((first_onset - events[:, 0])[found].tolist()),
        days=labels.size / rows_per_day,
        rows=labels.size,
        flagged=int(flags.sum()),
        clean_rows=int((~labels).sum()),
        clean_flagged=int((flags & ~labels).sum()),
    )


def total(outcomes: Iterable[EventOutcome]) -> EventOutcome:
    """The outcomes of many series as one; their delays must be in one unit."""
    every = list(outcomes)
    return EventOutcome(
        events=sum(one.events for one in every),
        found=sum(one.found for one in every),
        alerts=sum(one.alerts for one in every),
        false=sum(one.false for one in every),
        delays=tuple(delay for one in every for delay in one.delays),
        days=sum(one.days for one in every),
        rows=sum(one.rows for one in every),
        flagged=sum(one.flagged for one in every),
        clean_rows=sum(one.clean_rows for one in every),
        clean_flagged=sum(one.clean_flagged for one in every),
    )
