"""What the page of the weather stations shows: stations now, anomalies of the last half hour, maxima by day and month.

Plain functions over live readings, live flags and rows of reports; the map is `map.py`, the looks `page.py`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl

from iot_pipeline.clock import MINUTE, floor_minute
from iot_pipeline.live.model import LatestReading, LiveFlag, Window
from iot_pipeline.serving.pages.weather.map import Spot, degrees_text, nearest

FLEET = "weather"
METRIC = "temperature"
# A station speaks once a second and is visible within 3 s of landing.
STALE_AFTER = timedelta(seconds=15)
ANOMALY_SPAN = timedelta(minutes=30)
DAY_SPAN = timedelta(hours=24)
# The detector of the older system, beside which the others are shown.
BASELINE = "kmeans_minute"
# A reference place further away than this names no station.
NEAR_KM = 150.0


@dataclass(frozen=True, slots=True)
class Site:
    """A station as it is published: where it stands, and what it may be called."""

    device_id: str
    name: str
    latitude: float | None
    longitude: float | None
    near: str

    @property
    def position(self) -> str:
        """Where it is, in degrees."""
        if self.latitude is None or self.longitude is None:
            return "position not told"
        return f"{degrees_text(self.latitude, 'N', 'S')}, {degrees_text(self.longitude, 'E', 'W')}"


@dataclass(frozen=True, slots=True)
class Station:
    """A station at one instant.

    Attributes:
        site: where it is.
        value: its newest temperature; None when it told none.
        unit: of `value` and `maximum`.
        at: when that was.
        age: seconds since then.
        is_stale: whether it has been silent for longer than a station is.
        count: temperatures of the last 24 hours.
        maximum: highest of them.
        flags: readings flagged in the last half hour, by any detector.
    """

    site: Site
    value: float | None
    unit: str
    at: datetime | None
    age: float | None
    is_stale: bool
    count: int
    maximum: float | None
    flags: int


@dataclass(frozen=True, slots=True)
class Moment:
    """Temperatures of a minute or an hour that begins at `start`."""

    start: datetime
    low: float
    mean: float
    high: float


@dataclass(frozen=True, slots=True)
class Strip:
    """Flags of one detector on one station, minute by minute.

    Attributes:
        detector: its name.
        counts: flagged readings of each minute of the last half hour, oldest first.
        newest: its newest flag; None without any.
    """

    detector: str
    counts: tuple[int, ...]
    newest: LiveFlag | None

    @property
    def total(self) -> int:
        """Flagged readings of the half hour."""
        return sum(self.counts)

    @property
    def is_baseline(self) -> bool:
        """Whether it is the older system's K-means per minute."""
        return self.detector == BASELINE


def sites(devices: pl.DataFrame, spots: Sequence[Spot]) -> list[Site]:
    """The published stations (DIM_DEVICE_SCHEMA), north to south; those that do not tell their place come last."""
    found = [_site(row, spots) for row in devices.iter_rows(named=True)]
    names = Counter(site.name for site in found)
    told = [
        replace(site, name=f"{site.name} ({_short(site.device_id)})") if names[site.name] > 1 else site
        for site in found
    ]
    return sorted(
        told, key=lambda site: (site.latitude is None, -(site.latitude or 0.0), site.longitude or 0.0, site.device_id)
    )


def unpublished_sites(device_ids: Iterable[str]) -> list[Site]:
    """Stations of which only the name is known yet."""
    return [Site(device_id, _short(device_id), None, None, "") for device_id in device_ids]


def station(
    site: Site,
    readings: Sequence[LatestReading],
    hours: Sequence[Window],
    flags: Sequence[LiveFlag],
    now: datetime,
) -> Station:
    """One station now.

    Args:
        site: the station.
        readings: newest readings of the fleet.
        hours: its hours of the metric and unit of its newest reading.
        flags: live flags.
        now: the present instant (UTC).
    """
    newest = temperature_of(site.device_id, readings)
    flagged = {flag.event_ts for flag in recent_flags(flags, now) if flag.device_id == site.device_id}
    inside = [hour for hour in hours if hour.start + timedelta(seconds=hour.seconds) > now - DAY_SPAN]
    age = None if newest is None else max((now - newest.event_ts).total_seconds(), 0.0)
    return Station(
        site=site,
        value=None if newest is None else newest.value,
        unit="" if newest is None else newest.unit or "",
        at=None if newest is None else newest.event_ts,
        age=age,
        is_stale=age is None or age > STALE_AFTER.total_seconds(),
        count=sum(hour.count for hour in inside),
        maximum=max((hour.max for hour in inside), default=None),
        flags=len(flagged),
    )


def moments_of_windows(windows: Sequence[Window]) -> list[Moment]:
    """Live windows."""
    return [Moment(one.start, one.min, one.mean, one.max) for one in windows]


def moments_of_history(rows: pl.DataFrame) -> list[Moment]:
    """Published statistics (HISTORY_SCHEMA) of one series."""
    told = rows.select("start", "min", "mean", "max").drop_nulls()
    return [Moment(start, low, mean, high) for start, low, mean, high in told.iter_rows()]


def joined(published: Sequence[Moment], live: Sequence[Moment]) -> list[Moment]:
    """Published moments, and behind them the live ones, which know more of the newest."""
    if not live:
        return list(published)
    return [*(one for one in published if one.start < live[0].start), *live]


def with_gaps(moments: Sequence[Moment], step: timedelta) -> list[Moment | datetime]:
    """The moments, with an instant where one or more are missing, so that no line is drawn over it."""
    found: list[Moment | datetime] = []
    for index, moment in enumerate(moments):
        if index and moment.start - moments[index - 1].start > step:
            found.append(moments[index - 1].start + step)
        found.append(moment)
    return found


def temperature_text(value: float | None, unit: str) -> str:
    """A temperature with one decimal."""
    if value is None:
        return "\N{EN DASH}"
    return f"{value:.1f}\N{THIN SPACE}{unit}".replace("-", "\N{MINUS SIGN}").rstrip()


def temperature_of(device_id: str, readings: Sequence[LatestReading]) -> LatestReading | None:
    """The newest temperature of a station."""
    told = [
        reading
        for reading in readings
        if reading.device_id == device_id and reading.metric == METRIC and reading.value is not None
    ]
    return max(told, key=lambda reading: reading.event_ts, default=None)


def recent_flags(flags: Sequence[LiveFlag], now: datetime) -> list[LiveFlag]:
    """Flags of temperatures in the last half hour."""
    first = first_minute(now)
    return [flag for flag in flags if flag.metric == METRIC and flag.event_ts >= first]


def first_minute(now: datetime) -> datetime:
    """The oldest minute of the half hour that ends with the present minute."""
    return floor_minute(now) - ANOMALY_SPAN + MINUTE


def strips(device_id: str, flags: Sequence[LiveFlag], now: datetime) -> list[Strip]:
    """A strip for each detector that looked up in the half hour: K-means per minute first, also without a flag."""
    first, count = first_minute(now), ANOMALY_SPAN // MINUTE
    own = [flag for flag in recent_flags(flags, now) if flag.device_id == device_id]
    names = sorted({flag.detector for flag in own} | {BASELINE}, key=lambda name: (name != BASELINE, name))
    found = []
    for name in names:
        counts = [0] * count
        by_name = [flag for flag in own if flag.detector == name]
        for flag in by_name:
            index = (floor_minute(flag.event_ts) - first) // MINUTE
            if 0 <= index < count:  # a clock may be ahead
                counts[index] += 1
        found.append(Strip(name, tuple(counts), max(by_name, key=lambda flag: flag.event_ts, default=None)))
    return found


def maxima(report: pl.DataFrame, names: Mapping[str, str]) -> Sequence[Mapping[str, object]]:
    """Rows of the report `weather-by-day`: the newest day or month first, stations by name."""
    named = report.with_columns(pl.col("deviceid").replace(names).alias("name"))
    return named.sort("date", "name", "deviceid", descending=[True, False, False]).drop("name").to_dicts()


def _site(row: Mapping[str, object], spots: Sequence[Spot]) -> Site:
    device_id, latitude, longitude = str(row["device_id"]), row["latitude"], row["longitude"]
    if not isinstance(latitude, float) or not isinstance(longitude, float):
        return Site(device_id, _short(device_id), None, None, "")
    if not -90 <= latitude <= 90 or not -180 <= longitude <= 180:
        return Site(device_id, _short(device_id), None, None, "")
    found = nearest(latitude, longitude, spots)
    if found is None or found[1] > NEAR_KM:
        return Site(device_id, _short(device_id), latitude, longitude, "")
    spot, distance = found
    return Site(device_id, spot.name, latitude, longitude, f"{distance:.0f} km from {spot.name}")


def _short(device_id: str) -> str:
    """The first part of a UUID tells stations of one fleet apart."""
    return device_id if len(device_id) <= 14 else f"{device_id[:8]}…"
