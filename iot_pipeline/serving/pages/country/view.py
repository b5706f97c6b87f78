"""What the country's page shows: regions beside each other now, and over hours and days. No pages and no files here.

Every total is the sum of the rounded figures above it, so that whoever adds up a column gets what is written below.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import polars as pl

from iot_pipeline.live.model import RegionUsage
from iot_pipeline.serving.pages.customer.view import rank

RATE_DECIMALS = 3
USE_DECIMALS = 3
HOURS_OF_A_DAY = 24
NOT_TOLD = "not told"
# Units of a rate whose integral over an hour is not just the unit without "/h".
_INTEGRALS = {"W": "Wh", "kW": "kWh", "MW": "MWh"}


@dataclass(frozen=True, slots=True)
class RegionNow:
    """One region and utility now.

    Attributes:
        region: its name.
        rate: what its meters draw now, three decimals; None where none tells a rate.
        share: of the country's rate, per cent with one decimal; shares of a utility add up to 100.0.
        used: in the running hour, three decimals; None where there is no register.
        meters: meters heard within five minutes.
    """

    region: str
    rate: float | None
    share: float | None
    used: float | None
    meters: int


@dataclass(frozen=True, slots=True)
class UtilityNow:
    """One utility in all regions.

    Attributes:
        utility: its name.
        rate_unit: of `rate`, e.g. kW; None where none is told.
        unit: of `used`, e.g. kWh.
        regions: by name.
        rate: sum of the regions'; None where none is told.
        used: likewise.
        meters: likewise.
        newest: event time of the newest value (UTC).
    """

    utility: str
    rate_unit: str | None
    unit: str | None
    regions: tuple[RegionNow, ...]
    rate: float | None
    used: float | None
    meters: int
    newest: datetime


@dataclass(frozen=True, slots=True)
class Period:
    """An hour, day or month of one utility: use by region in the order of `Periods.regions`, None where silent."""

    start: datetime
    by_region: tuple[float | None, ...]
    total: float
    customers: int
    meters: int


@dataclass(frozen=True, slots=True)
class Periods:
    """One utility over time, with its total by region; all totals are sums of what is shown."""

    utility: str
    unit: str | None
    regions: tuple[str, ...]
    periods: tuple[Period, ...]

    @property
    def total(self) -> float:
        """Of all regions and periods."""
        return round(math.fsum(period.total for period in self.periods), USE_DECIMALS)


def country_now(regions: Mapping[str, Sequence[RegionUsage]]) -> list[UtilityNow]:
    """The utilities that are measured now, electricity, gas and water first.

    Args:
        regions: what the live layer tells; a utility in two units is two of the result.
    """
    rows = [row for of_region in regions.values() for row in of_region if row.metric in ("rate", "register")]
    groups: dict[tuple[str, str | None], list[RegionUsage]] = {}
    for row in rows:
        groups.setdefault((row.utility or NOT_TOLD, _integral(row)), []).append(row)
    found = [_utility(utility, unit, members) for (utility, unit), members in groups.items()]
    return sorted(found, key=lambda one: (*rank(one.utility), one.unit or ""))


def _utility(utility: str, unit: str | None, rows: Sequence[RegionUsage]) -> UtilityNow:
    names = sorted({row.region for row in rows})
    rates = {row.region: round(row.total, RATE_DECIMALS) for row in rows if row.metric == "rate"}
    used = {row.region: round(row.hour_change, USE_DECIMALS) for row in rows if row.metric == "register"}
    meters = {name: max(row.devices for row in rows if row.region == name) for name in names}
    shares = _shares(rates)
    return UtilityNow(
        utility=utility,
        rate_unit=next((row.unit for row in rows if row.metric == "rate"), None),
        unit=unit,
        regions=tuple(
            RegionNow(name, rates.get(name), shares.get(name), used.get(name), meters[name]) for name in names
        ),
        rate=round(math.fsum(rates.values()), RATE_DECIMALS) if rates else None,
        used=round(math.fsum(used.values()), USE_DECIMALS) if used else None,
        meters=sum(meters.values()),
        newest=max(row.newest_event_ts for row in rows),
    )


def _integral(row: RegionUsage) -> str | None:
    if row.metric == "register" or row.unit is None:
        return row.unit
    return _INTEGRALS.get(row.unit, row.unit.removesuffix("/h"))


def _shares(figures: Mapping[str, float]) -> dict[str, float]:
    """Per cent with one decimal that add up to 100.0: what rounding leaves over goes to the largest remainders."""
    whole = math.fsum(figures.values())
    if whole <= 0 or min(figures.values()) < 0:
        return {}
    exact = {name: 1000 * figure / whole for name, figure in figures.items()}
    tenths = {name: math.floor(share) for name, share in exact.items()}
    left = 1000 - sum(tenths.values())
    for name in sorted(exact, key=lambda name: tenths[name] - exact[name])[:left]:
        tenths[name] += 1
    return {name: share / 10 for name, share in tenths.items()}


def over_time(frame: pl.DataFrame) -> list[Periods]:
    """Rows of the report `country-usage`, by utility and unit."""
    found = []
    for (utility, unit), rows in frame.sort("time").group_by(["utility", "unit"], maintain_order=True):
        known = rows.with_columns(pl.col("region").fill_null(NOT_TOLD))
        names = tuple(sorted(known["region"].unique().to_list()))
        periods = []
        for (start,), of_period in known.group_by(["time"], maintain_order=True):
            by_region = dict(of_period.select("region", "usage").iter_rows())
            figures = tuple(by_region.get(name) for name in names)
            total = round(math.fsum(figure for figure in figures if figure is not None), USE_DECIMALS)
            customers, meters = int(of_period["customers"].sum()), int(of_period["meters"].sum())
            periods.append(Period(start, figures, total, customers, meters))
        found.append(Periods(utility or NOT_TOLD, unit, names, tuple(periods)))
    return sorted(found, key=lambda one: (*rank(one.utility), one.unit or ""))


def agreement(hours: Iterable[Periods], days: Iterable[Periods], utility: str) -> float | None:
    """Largest difference between the hours of a day and that day's figure; None where no day has all its hours."""
    by_day = {
        (one.unit, period.start.date()): period.total
        for one in days
        if one.utility == utility
        for period in one.periods
    }
    sums: dict[tuple[str | None, date], list[float]] = {}
    for one in hours:
        if one.utility == utility:
            for period in one.periods:
                sums.setdefault((one.unit, period.start.date()), []).append(period.total)
    whole = [
        abs(math.fsum(parts) - by_day[key])
        for key, parts in sums.items()
        if len(parts) == HOURS_OF_A_DAY and key in by_day
    ]
    return max(whole) if whole else None
