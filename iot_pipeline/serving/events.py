"""Anomaly events as people ask for them: of a range or by name, with the fleet and what was said about them last.

For pages and API. How events are made is `anomalies/events`; single flags are `anomalies.py` here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.engine.detector import FlagType
from iot_pipeline.anomalies.events.event import EventStatus
from iot_pipeline.anomalies.events.store import scan_events
from iot_pipeline.anomalies.feedback import Feedback, FlagKey, read_feedback
from iot_pipeline.anomalies.kinds import with_type
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.clock import DAY
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.history import NotPublished, again_when_replaced, devices_page
from iot_pipeline.stats.relations import EVENT_SCHEMA, events_file
from iot_pipeline.trees import UTC_MICROSECONDS

ORDER = ("opened_at", "event_id")
"""Newest first, ties by name: names are unique."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedEvents:
    """Which events are meant: those with a flag between their first and last in [since, until) (UTC).

    None means any; withdrawn ones are meant only when `status` says so.
    """

    since: datetime
    until: datetime
    device_id: str | None = None
    fleet: str | None = None
    type: FlagType | None = None
    severity: Severity | None = None
    status: EventStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An event as published (EVENT_SCHEMA says what each field means), its fleet, and what was said about it last."""

    event_id: str
    revision: int
    status: EventStatus
    opened_at: datetime
    last_flag_at: datetime
    closed_at: datetime | None
    device_id: str
    metric: str
    unit: str | None
    type: FlagType
    severity: Severity
    flags: int
    score: float
    peak_at: datetime
    value: float | None
    expected_low: float | None
    expected_high: float | None
    detector: str
    detector_version: str
    reason: str
    sentence: str
    continues: bool
    first_message_id: str | None
    peak_message_id: str | None
    fleet: str | None
    feedback: Feedback | None

    @property
    def peak(self) -> FlagKey:
        """The flag that stands for the event: what is said about the event is said about it."""
        return FlagKey(self.device_id, self.metric, self.unit, self.peak_at, self.detector)

    @property
    def lasted(self) -> timedelta:
        """From its first to its last flag."""
        return self.last_flag_at - self.opened_at


@again_when_replaced
def events(paths: DataPaths, wanted: WantedEvents) -> list[Event]:
    """The events that are meant, newest first.

    Raises:
        NotPublished: no events were ever made, or they are being made again.
    """
    _require_any(paths)
    # Events end at midnight UTC, so no file of an earlier day can hold one of the range.
    last = wanted.until - timedelta(microseconds=1)
    days = (wanted.since.date() + index * DAY for index in range((last.date() - wanted.since.date()).days + 1))
    meant = (pl.col("opened_at") < wanted.until) & (pl.col("last_flag_at") >= wanted.since)
    if wanted.status is None:
        meant &= pl.col("status") != EventStatus.WITHDRAWN.value
    for name in ("device_id", "type", "severity", "status"):
        if (value := getattr(wanted, name)) is not None:
            meant &= pl.col(name) == str(value)
    found = _found(paths, (events_file(paths, day) for day in days), meant)
    return [one for one in found if wanted.fleet in (None, one.fleet)]


@again_when_replaced
def event_named(paths: DataPaths, event_id: str) -> Event | None:
    """The event of that name, withdrawn or not; None when there is none. Raises NotPublished."""
    _require_any(paths)
    found = _found(paths, paths.events.glob("dt=*/part-000.parquet"), pl.col("event_id") == event_id)
    return found[0] if found else None


def open_by_severity(paths: DataPaths, now: datetime) -> dict[Severity, int]:
    """How many events are open; those of yesterday may not have been looked at since midnight."""
    files = [events_file(paths, day) for day in (now.date() - DAY, now.date())]
    is_open = pl.col("status") == EventStatus.OPEN.value
    counted = scan_events(files).filter(is_open).group_by("severity").len().collect()
    found = dict(counted.iter_rows())
    return {severity: found.get(severity.value, 0) for severity in Severity}


def _require_any(paths: DataPaths) -> None:
    if not paths.events.exists():
        raise NotPublished(
            "no events are published at the moment: they are made of the flags of each minute, or they are being "
            "made again. Nothing is lost; ask again in half a minute"
        )


def _found(paths: DataPaths, files: Iterable[Path], meant: pl.Expr) -> list[Event]:
    rows = scan_events(files).filter(meant).collect().sort(ORDER, descending=[True, False])
    if rows.is_empty():
        return []
    names = rows["device_id"].unique().to_list()
    fleets = dict(devices_page(paths, names=names, limit=len(names)).select("device_id", "fleet").iter_rows())
    said = _said(rows, read_feedback(paths))
    return [_event(row, fleets.get(row["device_id"]), said.get(row["event_id"])) for row in rows.iter_rows(named=True)]


def _event(row: dict[str, object], fleet: str | None, said: Feedback | None) -> Event:
    kinds = {
        "status": EventStatus(str(row["status"])),
        "type": FlagType(str(row["type"])),
        "severity": Severity(str(row["severity"])),
    }
    return Event(**{**row, **kinds}, fleet=fleet, feedback=said)  # type: ignore[arg-type]  # EVENT_SCHEMA's columns


def _said(rows: pl.DataFrame, feedback: list[Feedback]) -> dict[str, Feedback]:
    """What was said last about any flag of each event, by event_id; the same rule as `anomalies/precision.py`."""
    if not feedback:
        return {}
    flags = [
        (one.flag.device_id, one.flag.metric, one.flag.unit, one.flag.event_ts, one.flag.detector) for one in feedback
    ]
    schema = {**{name: EVENT_SCHEMA[name] for name in SERIES}, "event_ts": UTC_MICROSECONDS, "detector": pl.String()}
    said = with_type(pl.DataFrame(flags, schema=schema, orient="row").with_row_index("place"))
    spans = rows.select(*SERIES, "event_id", "opened_at", "last_flag_at", "detector", "type")
    of_event = (
        said.join(spans, on=list(SERIES), how="inner", nulls_equal=True, suffix="_of_event")
        .filter(
            pl.col("event_ts").is_between("opened_at", "last_flag_at"),
            # A detector that nobody knows any more has no type.
            (pl.col("detector") == pl.col("detector_of_event"))
            | (pl.col("type") == pl.col("type_of_event")).fill_null(value=False),
        )
        .group_by("event_id")
        .agg(pl.col("place").max())
    )
    return {event_id: feedback[place] for event_id, place in of_event.iter_rows()}
