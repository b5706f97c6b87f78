"""What the page of the ice plant shows: measures at their places, how they are, and the state of the edge node.

Plain functions over live readings and published devices; how it looks is `page.py` and `svg.py`.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

import polars as pl

from iot_pipeline.live.model import LatestReading, LiveFlag
from iot_pipeline.serving.pages.ice_plant.places import PLACES, Place, decimal, place_named, place_of

FLEET = "ice_plant"
# A device speaks every 0.1 to 1 s and is visible within 3 s of landing: five times that is no jitter.
STALE_AFTER = timedelta(seconds=15)
FLAGGED_FOR = timedelta(minutes=5)
NONE = "\N{EN DASH}"
GRAINS = ("second", "minute", "hour", "day", "month", "year")
_DIGITS = re.compile(r"(\d+)")


class Condition(StrEnum):
    """How a measure is; the first that applies."""

    MISSING = "missing"  # its device never said anything
    STALE = "stale"
    BAD = "bad"  # the device itself doubts it
    OUTSIDE = "outside"  # of the operating range
    FLAGGED = "flagged"  # inside it, but a detector found it unusual a moment ago
    FINE = "fine"
    UNKNOWN = "unknown"  # nobody said what is usual


# For whom a colour is not enough: a word beside each measure that is not fine.
WORDS: Mapping[Condition, str] = {
    Condition.MISSING: "no data",
    Condition.STALE: "stale",
    Condition.BAD: "bad quality",
    Condition.OUTSIDE: "out of range",
    Condition.FLAGGED: "unusual",
    Condition.FINE: "in range",
    Condition.UNKNOWN: "",
}


@dataclass(frozen=True, slots=True)
class Measure:
    """The newest measure of a device.

    Attributes:
        device_id: the device; None where no device fills the place.
        place: where it is on the drawing; None for a device that is on none.
        title: what it measures, in the words of the device.
        number: the measure as text, with the decimals of its place; a dash without one.
        unit: of it.
        at: when it happened.
        age: seconds since then.
        condition: how it is.
        told: one sentence on its condition.
    """

    device_id: str | None
    place: Place | None
    title: str
    number: str
    unit: str
    at: datetime | None
    age: float | None
    condition: Condition
    told: str


@dataclass(frozen=True, slots=True)
class NodeState:
    """An edge node as its devices' births and deaths tell: online, offline, stale, mixed or unknown."""

    node: str
    state: str
    since: datetime | None
    told: str


@dataclass(frozen=True, slots=True)
class PlantView:
    """A plant at one instant: a measure for each place of the drawing, those of further devices, and its node."""

    measures: tuple[Measure, ...]
    further: tuple[Measure, ...]
    node: NodeState

    @property
    def summary(self) -> str:
        """How many measures are not fine, in words."""
        count = Counter(one.condition for one in self.measures)
        troubles = [
            f"{count[condition]} {WORDS[condition]}"
            for condition in Condition
            if count[condition] and condition not in (Condition.FINE, Condition.UNKNOWN)
        ]
        return ", ".join(troubles) or "all measures in range"

    @property
    def is_fine(self) -> bool:
        """Whether nothing asks for attention."""
        return all(one.condition in (Condition.FINE, Condition.UNKNOWN) for one in self.measures)


def nodes_of(device_ids: Iterable[str]) -> list[str]:
    """The edge nodes of some devices, in order."""
    return sorted({node_of(device_id) for device_id in device_ids})


def node_of(device_id: str) -> str:
    """The edge node of a device: all of its name but the last level."""
    return device_id.rpartition("/")[0]


def plant_view(
    node: str, readings: Sequence[LatestReading], devices: pl.DataFrame, flags: Sequence[LiveFlag], now: datetime
) -> PlantView:
    """One plant.

    Args:
        node: its edge node.
        readings: the newest of each series of the fleet.
        devices: published devices of the fleet (DIM_DEVICE_SCHEMA); may be empty while nothing is published.
        flags: live flags, newest first.
        now: the present instant (UTC).
    """
    known = {
        str(row["device_id"]): row for row in devices.iter_rows(named=True) if node_of(str(row["device_id"])) == node
    }
    newest: dict[str, LatestReading] = {}
    for reading in readings:
        if node_of(reading.device_id) == node and (reading.value is not None or reading.text is not None):
            held = newest.setdefault(reading.device_id, reading)
            if reading.event_ts > held.event_ts:
                newest[reading.device_id] = reading
    flagged: dict[str, LiveFlag] = {}
    for flag in flags:
        if flag.event_ts >= now - FLAGGED_FOR:
            flagged.setdefault(flag.device_id, flag)
    found: dict[str, Measure] = {}
    further: list[Measure] = []
    for device_id in sorted({*known, *newest}, key=natural):
        last = newest.get(device_id)
        place, title = _place(device_id, known.get(device_id), last)
        measure = _measure(device_id, place, title, reading=last, flag=flagged.get(device_id), now=now)
        if place is None or place.key in found:
            further.append(measure)
        else:
            found[place.key] = measure
    measures = tuple(found.get(place.key) or _absent(place) for place in PLACES)
    return PlantView(measures, tuple(further), node_state(node, known.values()))


def node_state(node: str, devices: Iterable[Mapping[str, object]]) -> NodeState:
    """What the published devices tell of their node."""
    rows = list(devices)
    states = Counter(str(row["state"]) for row in rows if row["state"] is not None)
    if not states:
        return NodeState(node, "unknown", None, "Nothing is published about its session yet.")
    since = [row["state_since"] for row in rows if isinstance(row["state_since"], datetime)]
    at = max(since, default=None)
    if len(states) == 1:
        [state] = states
        return NodeState(node, state, at, _STATES.get(state, f"Its devices are {state}."))
    parts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return NodeState(node, "mixed", at, f"Of its devices: {parts}.")


_STATES = {
    "online": "Its last birth was not followed by a death.",
    "offline": "It said goodbye, or the broker told its death.",
    "stale": "It was online before our host connected anew, and was not born since: unknown until it speaks.",
}


def measures_table(
    report: pl.DataFrame, node: str, begin: datetime | None = None
) -> tuple[list[datetime], list[dict[str, object]]]:
    """The periods for which a report has measures of a node, newest first, and the rows of one of them.

    Args:
        report: rows of the report `ice-plant`.
        node: edge node.
        begin: begin of the period; None, or one that is not there: the newest.
    """
    own = report.filter(pl.col("DEVICE_NAME").str.starts_with(f"{node}/"))
    periods: list[datetime] = own["TIMESTAMP_RX"].unique().sort(descending=True).to_list()
    if not periods:
        return [], []
    chosen = begin if begin in periods else periods[0]
    rows = own.filter(pl.col("TIMESTAMP_RX") == chosen).to_dicts()
    return periods, sorted(rows, key=lambda row: natural(str(row["DEVICE_NAME"])))


def utc_period(begin: datetime, grain: str) -> str:
    """A UTC day, month or year in words."""
    form = {"day": f"{begin.day} %b %Y", "month": "%B %Y", "year": "%Y"}[grain]
    return f"{begin.strftime(form)} (UTC)"


def is_open(begin: datetime, grain: str, now: datetime) -> bool:
    """Whether a period has not ended yet."""
    lengths = {"second": timedelta(seconds=1), "minute": timedelta(minutes=1), "hour": timedelta(hours=1)}
    if grain in lengths:
        return now < begin + lengths[grain]
    parts = {"day": 3, "month": 2, "year": 1}[grain]
    return begin.timetuple()[:parts] == now.timetuple()[:parts]


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A key that sorts `device_10` behind `device_9`."""
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in _DIGITS.split(name)]


def _place(device_id: str, row: Mapping[str, object] | None, reading: LatestReading | None) -> tuple[Place | None, str]:
    name = device_id.rpartition("/")[2]
    if row is None:
        place = place_named(name, reading.unit if reading else None)
        return place, place.title if place else name
    kind, description = str(row["type"] or ""), str(row["description"] or "")
    place = place_of(kind, description)
    return place, place.title if place else description or name


def _absent(place: Place) -> Measure:
    return Measure(
        None, place, place.title, NONE, place.unit, None, None, Condition.MISSING, "No device fills this place yet."
    )


def _measure(
    device_id: str,
    place: Place | None,
    title: str,
    *,
    reading: LatestReading | None,
    flag: LiveFlag | None,
    now: datetime,
) -> Measure:
    if reading is None:
        unit = place.unit if place else ""
        told = "Nothing was heard of it as far back as the live layer looks."
        return Measure(device_id, place, title, NONE, unit, None, None, Condition.MISSING, told)
    age = max((now - reading.event_ts).total_seconds(), 0.0)
    number = reading.text or NONE
    if reading.value is not None:
        number = decimal(reading.value, place.decimals if place else 3)
    condition, told = _condition(place, reading, flag, age)
    return Measure(device_id, place, title, number, reading.unit or "", reading.event_ts, age, condition, told)


def _condition(place: Place | None, reading: LatestReading, flag: LiveFlag | None, age: float) -> tuple[Condition, str]:
    if age > STALE_AFTER.total_seconds():
        return Condition.STALE, "It is silent: this is the last that it said."
    if reading.quality == "bad":
        return Condition.BAD, "The device says that this measure is bad."
    value, in_range = reading.value, None
    if place is not None and value is not None and reading.unit == place.unit:
        in_range = place.low <= value <= place.high
        if not in_range:
            side = "below" if value < place.low else "above"
            return Condition.OUTSIDE, f"It is {side} the operating range of {place.band}."
    if flag is not None:
        return Condition.FLAGGED, f"{flag.detector}: {flag.reason}"
    if in_range and place is not None:
        return Condition.FINE, f"It is within the operating range of {place.band}."
    return Condition.UNKNOWN, "No operating range is known for it."
