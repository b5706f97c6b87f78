"""Flags of machines that tell their state: false ones on clean days of the simulated line, and faults that are found.

Without a learned model: what flags from the first minute on. Beside it stands `rolling_z` as if no state were told.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import polars as pl

from iot_pipeline.anomalies.detectors import Detector, RollingZ, ScoringWindow, default_detectors
from iot_pipeline.anomalies.detectors.told_states import BEFORE, no_states, told_states
from iot_pipeline.anomalies.evaluation.truth import LABEL_SCHEMA, alerts_of, evaluate
from iot_pipeline.anomalies.flags import score_window
from iot_pipeline.anomalies.kinds import BASELINES
from iot_pipeline.clock import DAY, MINUTE
from iot_pipeline.readings.schema import READING_SCHEMA
from sensors_sim.faults import FaultyFleet
from sensors_sim.fleet import Message
from sensors_sim.industrial_line import MACHINES, PHASES, IndustrialLine
from sensors_sim.labels import Label
from tests.anomalies.frames import device_minutes
from tests.bench.figures import Figure

WEDNESDAY = datetime(2026, 10, 28, tzinfo=UTC)
THURSDAY = datetime(2026, 10, 29, tzinfo=UTC)
SATURDAY = datetime(2026, 10, 31, tzinfo=UTC)
HOUR = 60 * MINUTE
QUIET = 10 * MINUTE
CHUNK = 15
ACCEPTED = timedelta(seconds=400)
"""Readings further from now have a broken clock, and the pipeline refuses them."""

NOW_AND_BEFORE: dict[str, Callable[[], Sequence[Detector]]] = {
    "rolling_z without states": lambda: [RollingZ()],
    "now": lambda: [one for one in default_detectors() if one.name not in BASELINES],
}


class _Labels:
    def __init__(self) -> None:
        self.rows: list[Label] = []

    def write(self, label: Label) -> None:
        self.rows.append(label)


def line(folder: Path) -> list[Figure]:
    """False alerts a machine-day and faults found, with states and without."""
    figures = []
    clean, _ = _day(WEDNESDAY, faults=False)
    rest, _ = _day(SATURDAY, faults=False)
    faulty, labels = _day(THURSDAY, faults=True)
    for name, detectors in NOW_AND_BEFORE.items():
        tells = name == "now"
        starts = [_flags(clean, WEDNESDAY + n * HOUR, 60, detectors(), since=n * HOUR, tells=tells) for n in range(24)]
        weekend = _flags(rest, SATURDAY, 1440, detectors(), tells=tells)
        found = _flags(faulty, THURSDAY + HOUR, 1380, detectors(), tells=tells)
        days = 1380 / 1440 * len(MACHINES)
        table = evaluate(found, labels, device_days=days, detectors=sorted(set(found["detector"])), quiet=QUIET)
        figures += [
            _false(f"cold starts, 24 x 1 h: {name}", pl.concat(starts), len(MACHINES)),
            _false(f"a Saturday: {name}", weekend, len(MACHINES)),
            *_found(name, table),
        ]
    return figures


def _false(name: str, flags: pl.DataFrame, days: float) -> Figure:
    alerts = alerts_of(flags, QUIET).height
    return Figure(f"false alerts, {name}", alerts / days, "a machine-day", note=f"{flags.height} flags")


def _found(name: str, table: pl.DataFrame) -> Iterator[Figure]:
    columns = ("detector", "fault", "labels", "found", "false_alerts_per_device_day")
    for detector, fault, labels, found, false in table.select(columns).iter_rows():
        note = f"{found} of {labels}; {false:.1f} alerts a machine-day outside of faults, ends of faults among them"
        yield Figure(f"found, {detector} {fault}: {name}", found / max(labels, 1), "", note=note)


def _flags(
    readings: pl.DataFrame,
    first: datetime,
    minutes: int,
    detectors: Sequence[Detector],
    *,
    since: timedelta = timedelta(0),
    tells: bool,
) -> pl.DataFrame:
    """The flags of so many minutes; `since` the begin of the day nothing was known before."""
    begin = first.replace(hour=0, minute=0) + since
    known = readings.filter(pl.col("event_ts").is_between(begin, first + minutes * MINUTE, closed="left"))
    statistics, states = device_minutes(known), told_states(known) if tells else no_states()
    found = []
    for start in range(0, minutes, CHUNK):
        at, end = first + start * MINUTE, first + min(start + CHUNK, minutes) * MINUTE
        window = ScoringWindow(
            readings=known.filter(pl.col("event_ts").is_between(at, end, closed="left")),
            minutes=statistics.filter(pl.col("minute").is_between(at - HOUR, end, closed="left")),
            first=at,
            last=end - MINUTE,
            states=states.filter(pl.col("ts").is_between(at - BEFORE, end, closed="left")),
        )
        found.append(score_window(window, detectors))
    return pl.concat(found)


def _day(begin: datetime, *, faults: bool) -> tuple[pl.DataFrame, pl.DataFrame]:
    """READING_SCHEMA of the machines, and LABEL_SCHEMA; as many faults as all fleets together have in the demo."""
    labels = _Labels()
    fleet = IndustrialLine(seed=4, start=begin)
    source = FaultyFleet(fleet, fleets=[fleet.name], seed=4, start=begin, labels=labels) if faults else fleet
    rows = [
        row
        for second in range(86_400)
        for message in source.messages(begin + timedelta(seconds=second + 0.99))
        for row in _rows(message, begin + timedelta(seconds=second))
    ]
    told = pl.DataFrame(rows, schema={name: READING_SCHEMA[name] for name in _COLUMNS}, orient="row")
    told = told.filter(pl.col("event_ts").is_between(begin, begin + DAY, closed="left")).unique(
        ["device_id", "metric", "event_ts"], keep="first", maintain_order=True
    )
    readings = told.with_columns(
        pl.col("event_ts").alias("received_at"),
        pl.lit("mqtt").alias("source"),
        pl.lit("good").alias("quality"),
        pl.lit("message").alias("message_id"),
    ).select(list(READING_SCHEMA))
    machines = {f"line_1/{machine.name}" for machine in MACHINES}
    truth = [
        (one.device_id, one.metric, one.fault, _instant(one.start_us), _instant(one.end_us), one.magnitude)
        for one in labels.rows
        if one.device_id in machines
    ]
    return readings, pl.DataFrame(truth, schema=LABEL_SCHEMA, orient="row")


_COLUMNS = ("device_id", "metric", "unit", "event_ts", "value", "text")
_UNITS = {**dict.fromkeys(PHASES.values(), "A"), "v_rms": "mm/s", "a_peak": "g"}


def _rows(message: Message, now: datetime) -> Iterator[tuple[str, str, str | None, datetime, float | None, str | None]]:
    """The readings of a machine's message; none of a broken one, of a valve, and of a broken clock."""
    _, name, machine, kind = message.topic.split("/")
    try:
        told = msgspec.json.decode(message.payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    at = datetime.fromisoformat(told.pop("ts"))
    if kind == "stroke" or abs(at - now) > ACCEPTED:
        return
    for field, value in told.items():
        metric = PHASES.get(field, field)
        number, text = (None, value) if isinstance(value, str) else (float(value), None)
        yield f"{name}/{machine}", metric, _UNITS.get(metric), at, number, text


def _instant(microseconds: int) -> datetime:
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
