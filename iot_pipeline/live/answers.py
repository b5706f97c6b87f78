"""Questions to a `State`, from any thread: single series by name, and lists of devices.

Nothing is changed here. The lock is held for one device at a time, so that nobody waits for a long answer.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import polars as pl

from iot_pipeline.landing.message import message_id
from iot_pipeline.live.latest import NEVER, QUALITIES
from iot_pipeline.live.model import LatestReading, Point, Window
from iot_pipeline.live.state import State

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


class Listing:
    """Names of devices in order, as they were when it was made: one list of all, and one a fleet."""

    def __init__(self, state: State) -> None:
        devices, attributes = state.series.devices, state.attributes
        self.version = version_of(state)
        names = devices.held()
        numbers = [devices.find(name) for name in names]
        fleets = pl.Series(
            [attributes.label["fleet"][number] for number in numbers if number is not None], dtype=pl.Int32
        )
        everything = pl.DataFrame({"name": pl.Series(names, dtype=pl.String), "fleet": fleets}).sort("name")
        self._all = everything["name"]
        labels = attributes.labels["fleet"].names
        self._by_fleet = {
            labels[number]: everything["name"].filter(everything["fleet"] == number)
            for number in everything["fleet"].unique().to_list()
            if number >= 0
        }

    def names(self, fleet: str | None) -> pl.Series:
        """All names, or those of a fleet."""
        return self._all if fleet is None else self._by_fleet.get(fleet, pl.Series(dtype=pl.String))

    def page(self, *, fleet: str | None, prefix: str | None, limit: int, after: str | None) -> list[str]:
        """Names behind `after` that begin with `prefix`, at most `limit`."""
        names = self.names(fleet)
        start = 0
        if prefix:
            start = int(names.search_sorted(prefix, side="left"))
        if after is not None:
            start = max(start, int(names.search_sorted(after, side="right")))
        found: list[str] = names.slice(start, max(limit, 0)).to_list()
        return [name for name in found if name.startswith(prefix)] if prefix else found


def version_of(state: State) -> tuple[int, int]:
    """Changes with the names that are held and with their fleets, which may become known later."""
    return state.series.devices.version, state.attributes.version


def latest(state: State, device_id: str) -> list[LatestReading]:
    """The newest reading of each series of a device, by metric and unit."""
    with state.lock:
        try:
            found = [_reading(state, number) for number in state.series.of_device(device_id)]
        except LookupError:  # dropped at this moment
            return []
    told = [reading for reading in found if reading is not None]
    return sorted(told, key=lambda reading: (reading.metric, reading.unit or ""))


def latest_of(state: State, devices: Sequence[str], limit: int) -> Iterator[LatestReading]:
    """The same of several devices, one after the other."""
    for device_id in devices:
        for reading in latest(state, device_id):
            if limit <= 0:
                return
            limit -= 1
            yield reading


def recent(state: State, series: tuple[str, str, str | None], since: datetime) -> list[Point]:
    """Single readings of a series that are still held, by event time."""
    with state.lock:
        number = state.series.find(*series)
        found = [] if number is None else state.recent.points(state.head(number), microseconds(since))
    return [Point(EPOCH + time * MICROSECOND, value) for time, value in found]


def minutes(state: State, series: tuple[str, str, str | None], since: datetime) -> list[Window]:
    """Windows of a minute that begin at or after `since`."""
    with state.lock:
        number = state.series.find(*series)
        return [] if number is None else state.periods.minutes_of(number, -(-microseconds(since) // 60_000_000))


def hours(state: State, series: tuple[str, str, str | None], since: datetime) -> list[Window]:
    """Windows of an hour that end after `since`."""
    with state.lock:
        number = state.series.find(*series)
        return [] if number is None else state.periods.hours_of(number, microseconds(since) // 3_600_000_000)


def customer_devices(state: State, customer: str) -> list[str]:
    """Devices of a customer, in order."""
    found = []
    for number in state.attributes.devices_of(customer):
        try:
            found.append(state.series.devices.name(number))
        except LookupError:  # dropped at this moment
            continue
    return sorted(found)


def microseconds(instant: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (instant - EPOCH) // MICROSECOND


def _reading(state: State, number: int) -> LatestReading | None:
    told = state.latest
    event_us, row = int(told.event_us[number]), int(told.row[number])
    if event_us == NEVER:
        return None
    device_id, metric, unit = state.series.name(number)
    value = float(told.value[number])
    return LatestReading(
        device_id=device_id,
        fleet=state.attributes.name_of(int(state.series.device[number]), "fleet") or "",
        metric=metric,
        unit=unit,
        value=None if value != value else value,  # noqa: PLR0124  # NaN is not
        text=told.texts.get(number),
        quality=QUALITIES[told.quality[number]],
        event_ts=EPOCH + event_us * MICROSECOND,
        received_at=None if row < 0 else EPOCH + int(told.received_us[number]) * MICROSECOND,
        message_id=None
        if row < 0
        else message_id(state.collectors[told.collector[number]], int(told.batch[number]), row),
    )
