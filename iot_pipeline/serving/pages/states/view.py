"""What the page of the US states shows: the four figures of the older system, and a tile for each state.

Plain functions over live windows and the published minutes; how it looks is `page.py`. Temperatures are °F, as the
sensors say them, with °C beside.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType

import polars as pl

from iot_pipeline.clock import MINUTE, floor_minute
from iot_pipeline.live.model import StateWindow
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import minute_marts

METRIC = "temperature"
# How far back a published minute counts as the present one.
LOOK_BACK = timedelta(minutes=10)
_FAHRENHEIT, _CELSIUS = "°F", "°C"

# A tile for each state where it lies: column and row from the upper left.
TILES: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        state: (column, row)
        for row, states in enumerate(
            (
                "AK .. .. .. .. .. .. .. .. .. ME",
                ".. .. .. .. .. .. .. .. .. VT NH",
                "WA ID MT ND MN IL WI MI NY RI MA",
                "OR NV WY SD IA IN OH PA NJ CT ..",
                "CA UT CO NE MO KY WV VA MD DE ..",
                ".. AZ NM KS AR TN NC SC DC .. ..",
                ".. .. .. OK LA MS AL GA .. .. ..",
                "HI .. .. TX .. .. .. .. FL .. ..",
            )
        )
        for column, state in enumerate(states.split())
        if state != ".."
    }
)
_STATE_NAMES = {
    "AK": "Alaska", "AL": "Alabama", "AR": "Arkansas", "AZ": "Arizona", "CA": "California", "CO": "Colorado",
    "CT": "Connecticut", "DC": "District of Columbia", "DE": "Delaware", "FL": "Florida", "GA": "Georgia",
    "HI": "Hawaii", "IA": "Iowa", "ID": "Idaho", "IL": "Illinois", "IN": "Indiana", "KS": "Kansas",
    "KY": "Kentucky", "LA": "Louisiana", "MA": "Massachusetts", "MD": "Maryland", "ME": "Maine", "MI": "Michigan",
    "MN": "Minnesota", "MO": "Missouri", "MS": "Mississippi", "MT": "Montana", "NC": "North Carolina",
    "ND": "North Dakota", "NE": "Nebraska", "NH": "New Hampshire", "NJ": "New Jersey", "NM": "New Mexico",
    "NV": "Nevada", "NY": "New York", "OH": "Ohio", "OK": "Oklahoma", "OR": "Oregon", "PA": "Pennsylvania",
    "RI": "Rhode Island", "SC": "South Carolina", "SD": "South Dakota", "TN": "Tennessee", "TX": "Texas",
    "UT": "Utah", "VA": "Virginia", "VT": "Vermont", "WA": "Washington", "WI": "Wisconsin", "WV": "West Virginia",
    "WY": "Wyoming",
}  # fmt: skip
NAMES: Mapping[str, str] = MappingProxyType(_STATE_NAMES)


@dataclass(frozen=True, slots=True)
class StateFigures:
    """One state in one window.

    Attributes:
        state: as the sensors name it.
        fahrenheit: mean of its temperatures; None where they are in no unit that is known.
        messages: temperatures of the window.
        sensors: see `StatesView`.
    """

    state: str
    fahrenheit: float | None
    messages: int
    sensors: int

    @property
    def celsius(self) -> float | None:
        """The mean in °C."""
        return None if self.fahrenheit is None else celsius(self.fahrenheit)

    @property
    def name(self) -> str:
        """In words; as the sensors name it where there are none."""
        return NAMES.get(self.state, self.state)


@dataclass(frozen=True, slots=True)
class StatesView:
    """All states in [start, start + seconds).

    Attributes:
        start: begin of the window by event time.
        seconds: its length.
        states: those with a temperature in it, the warmest first.
        all_sensors: sensors of each state by name: live, those that are known; published, those that spoke.
        published: whether the figures are the published ones.
        earlier: the newest figures of states that are silent in this window, from the windows before.
    """

    start: datetime
    seconds: int
    states: tuple[StateFigures, ...]
    all_sensors: Mapping[str, int]
    published: bool
    earlier: Mapping[str, StateFigures] = field(default_factory=dict)

    @property
    def messages(self) -> int:
        """Temperatures of all states."""
        return sum(one.messages for one in self.states)

    @property
    def sensors(self) -> int:
        """Sensors of all states."""
        return sum(self.all_sensors.values())

    @property
    def end(self) -> datetime:
        """End of the window, not included."""
        return self.start + timedelta(seconds=self.seconds)

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Names that have no tile."""
        return tuple(sorted({one.state for one in self.states} - set(TILES)))


def live_view(windows: Sequence[StateWindow]) -> StatesView | None:
    """The newest window that is whole: the one before the newest, for which readings still come.

    Args:
        windows: as the live layer gives them, newest first.
    """
    if not windows:
        return None
    window = windows[min(1, len(windows) - 1)]
    # Not every state speaks in 3 s; its sensors are known all the same.
    sensors: dict[str, int] = {}
    for each in windows:
        for one in each.states:
            if one.metric == METRIC:
                sensors[one.state] = max(sensors.get(one.state, 0), one.sensors)
    states = _states(_rows(window))
    earlier: dict[str, StateFigures] = {}
    for each in windows[1:]:
        for figures in _states(_rows(each)):
            if figures.fahrenheit is not None:
                earlier.setdefault(figures.state, figures)
    silent = {state: figures for state, figures in earlier.items() if state not in {one.state for one in states}}
    return StatesView(window.start, window.seconds, states, _sorted(sensors), published=False, earlier=silent)


def published_minute(paths: DataPaths, now: datetime) -> StatesView | None:
    """The newest published minute with a temperature; None when there is none in the last minutes. Reads files."""
    last = floor_minute(now)
    rows = minute_marts(paths)["state_minute"].read(last - LOOK_BACK, last)
    return published_view(rows)


def published_view(rows: pl.DataFrame) -> StatesView | None:
    """The newest minute of rows of the mart `state_minute`."""
    newest = rows["minute"].max()
    if not isinstance(newest, datetime):
        return None
    minute = rows.filter(pl.col("minute") == newest)
    told = [
        (str(row["state"]), float(row["mean"]), row["unit"], int(row["messages"]), int(row["sensors"]))
        for row in minute.iter_rows(named=True)
    ]
    states = _states(told)
    sensors = {one.state: one.sensors for one in states}
    return StatesView(newest, int(MINUTE.total_seconds()), states, _sorted(sensors), published=True)


def celsius(fahrenheit: float) -> float:
    """Degrees Fahrenheit in degrees Celsius."""
    return (fahrenheit - 32.0) * 5.0 / 9.0


def fahrenheit(value: float, unit: str | None) -> float | None:
    """A temperature in °F; None for a unit that is none of temperature."""
    if unit == _FAHRENHEIT:
        return value
    return value * 9.0 / 5.0 + 32.0 if unit == _CELSIUS else None


def _rows(window: StateWindow) -> list[tuple[str, float, str | None, int, int]]:
    return [(one.state, one.mean, one.unit, one.messages, one.sensors) for one in window.states if one.metric == METRIC]


def _states(rows: Iterable[tuple[str, float, str | None, int, int]]) -> tuple[StateFigures, ...]:
    """(state, mean, unit, messages, sensors) as one row a state: sensors of two units may stand in one."""
    groups: dict[str, list[tuple[float | None, int, int]]] = {}
    for state, mean, unit, messages, sensors in rows:
        groups.setdefault(state, []).append((fahrenheit(mean, unit), messages, sensors))
    figures = [_merged(state, parts) for state, parts in groups.items()]
    figures.sort(key=lambda one: (one.fahrenheit is None, -(one.fahrenheit or 0.0), one.state))
    return tuple(figures)


def _merged(state: str, parts: Sequence[tuple[float | None, int, int]]) -> StateFigures:
    told = [(mean, messages) for mean, messages, _ in parts if mean is not None]
    counted = sum(messages for _, messages in told)
    mean = sum(mean * messages for mean, messages in told) / counted if counted else None
    return StateFigures(state, mean, sum(part[1] for part in parts), max(part[2] for part in parts))


def _sorted(sensors: Mapping[str, int]) -> Mapping[str, int]:
    return MappingProxyType(dict(sorted(sensors.items())))
