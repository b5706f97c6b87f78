"""What one customer's page shows, from the live layer's series and from published days. No pages and no files here.

Live figures are what a register rose by; the daily recompute over all readings is what is billed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import polars as pl

from iot_pipeline.serving.pages.parts.wording import format_unit
from iot_pipeline.serving.usage import SeriesUse

HEARD_WITHIN = timedelta(minutes=5)
HOURS_SHOWN = 24
# Of the order in which people expect them; others follow by name.
USUAL_ORDER = ("electricity", "gas", "water")
# Below this, in the unit of the figure, two figures of four decimals are the same.
SAME = 0.00005


@dataclass(frozen=True, slots=True)
class HourBar:
    """What was used in the hour that begins at `start` (UTC); None where no meter was heard."""

    start: datetime
    use: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UtilityUse:
    """One utility of a customer, all its meters together.

    Attributes:
        utility: electricity, gas, water, or the meter's name when it tells none.
        meters: devices, in order.
        rate: sum of the newest rates of the meters heard within five minutes; None when there is none.
        rate_unit: its unit, e.g. kW.
        unit: unit of what was used, e.g. kWh; None: unknown.
        newest: event time of the newest value of any meter (UTC).
        is_quiet: no meter was heard within five minutes.
        today: used since 00:00 UTC, when the billing day begins; None without a register.
        last_24h: used in the hours shown.
        hours: the last 24, the running one included, by time; empty without a register.
        resets: times that a register fell within them; use across a fall is unknown and counts as nothing.
    """

    utility: str
    meters: tuple[str, ...]
    rate: float | None
    rate_unit: str | None
    unit: str | None
    newest: datetime
    is_quiet: bool
    today: float | None
    last_24h: float | None
    hours: tuple[HourBar, ...]
    resets: int

    @property
    def running_hour(self) -> float | None:
        """Used in the hour that is not over yet."""
        return self.hours[-1].use if self.hours else None


@dataclass(frozen=True, slots=True)
class Use:
    """What was used of one utility in the day or month that begins on `start` (UTC)."""

    start: date
    utility: str
    unit: str | None
    use: float
    resets: int


@dataclass(frozen=True, slots=True)
class Correction:
    """A billed day beside what the minutes had added up to; `difference` is billed minus minutes."""

    day: date
    utility: str
    unit: str | None
    minutes: float
    billed: float
    difference: float


def utility_uses(series: Sequence[SeriesUse], utilities: Mapping[str, str | None], now: datetime) -> list[UtilityUse]:
    """A customer's utilities, electricity, gas and water first.

    Args:
        series: of all meters of the customer: metrics `register` and `rate`; others are passed over.
        utilities: by meter, what it measures, as far as it is known.
        now: the present instant (UTC).
    """
    groups: dict[tuple[str, str | None], list[SeriesUse]] = {}
    units = {one.latest.device_id: one.latest.unit for one in series if one.latest.metric == "register"}
    for one in series:
        meter = one.latest.device_id
        if one.latest.metric in ("register", "rate"):
            groups.setdefault((utilities.get(meter) or meter, units.get(meter)), []).append(one)
    found = [_together(utility, unit, members, now) for (utility, unit), members in groups.items()]
    return sorted(found, key=lambda one: (*rank(one.utility), one.unit or ""))


def _together(utility: str, unit: str | None, members: Sequence[SeriesUse], now: datetime) -> UtilityUse:
    registers = [one for one in members if one.latest.metric == "register"]
    rates = [one.latest for one in members if one.latest.metric == "rate" and now - one.latest.event_ts <= HEARD_WITHIN]
    heard = [rate.value for rate in rates if rate.value is not None]
    newest = max(one.latest.event_ts for one in members)
    hours = _hours(registers, now)
    used = [bar.use for bar in hours if bar.use is not None]
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return UtilityUse(
        utility=utility,
        meters=tuple(sorted({one.latest.device_id for one in members})),
        rate=math.fsum(heard) if heard else None,
        rate_unit=next((one.latest.unit for one in members if one.latest.metric == "rate"), None),
        unit=unit,
        newest=newest,
        is_quiet=now - newest > HEARD_WITHIN,
        today=math.fsum(bar.use for bar in hours if bar.use is not None and bar.start >= midnight) if used else None,
        last_24h=math.fsum(used) if used else None,
        hours=tuple(hours) if used else (),
        resets=sum(hour.change < 0 for one in registers for hour in one.hours),
    )


def _hours(registers: Iterable[SeriesUse], now: datetime) -> list[HourBar]:
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS_SHOWN - 1)
    changes: dict[datetime, list[float]] = {}
    for one in registers:
        for hour in one.hours:
            changes.setdefault(hour.window.start, []).append(max(hour.change, 0.0))
    starts = [first + index * timedelta(hours=1) for index in range(HOURS_SHOWN)]
    return [HourBar(start, math.fsum(changes[start]) if start in changes else None) for start in starts]


def uses(frame: pl.DataFrame) -> list[Use]:
    """Rows of the report `customer-usage` by day, as they are sorted."""
    return [
        Use(row["time"].date(), row["utility"] or "not told", row["unit"], row["usage"], row["resets"])
        for row in frame.iter_rows(named=True)
    ]


def by_month(days: Iterable[Use]) -> list[Use]:
    """Days added up by calendar month (UTC), by month and utility."""
    months: dict[tuple[date, str, str | None], list[Use]] = {}
    for day in days:
        months.setdefault((day.start.replace(day=1), day.utility, day.unit), []).append(day)
    return [
        Use(start, utility, unit, math.fsum(day.use for day in of_month), sum(day.resets for day in of_month))
        for (start, utility, unit), of_month in sorted(months.items(), key=lambda item: (item[0][0], item[0][1]))
    ]


def of_utility(found: Iterable[Use], utility: str) -> list[Use]:
    """Those of one utility, by time; two units of one utility stay apart only in the table."""
    return [one for one in found if one.utility == utility]


def utilities_of(found: Iterable[Use]) -> list[str]:
    """The utilities that there are, in the usual order."""
    return sorted({one.utility for one in found}, key=rank)


def usual_day(days: Sequence[Use], utility: str) -> float | None:
    """The mean of the last seven billed days of a utility; None below three."""
    last = of_utility(days, utility)[-7:]
    return math.fsum(day.use for day in last) / len(last) if len(last) >= 3 else None


def corrections(frame: pl.DataFrame) -> list[Correction]:
    """Rows of the report `usage-corrections`, newest day first."""
    found = [
        Correction(
            row["day"].date() if isinstance(row["day"], datetime) else row["day"],
            row["utility"] or "not told",
            row["unit"],
            row["minute_usage"],
            row["usage"],
            row["difference"],
        )
        for row in frame.iter_rows(named=True)
    ]
    return sorted(found, key=lambda one: (-one.day.toordinal(), *rank(one.utility)))


def correction_sentence(found: Sequence[Correction]) -> str:
    """How live figures and bill differ, in one sentence."""
    if not found:
        return (
            "Figures of today are live and may still change: after midnight UTC the day is added up anew from all "
            "readings, late ones included, and that is what is billed."
        )
    days = len({one.day for one in found})
    over = "the last billed day" if days == 1 else f"the last {days} billed days"
    differing = [one for one in found if abs(one.difference) >= SAME]
    if not differing:
        return (
            f"Over {over} the bill and the live figures are the same to the fourth decimal: "
            "no reading came late and no register was reset."
        )
    largest = max(differing, key=lambda one: abs(one.difference) / max(abs(one.billed), 1e-9))
    more = "more" if largest.difference > 0 else "less"
    unit = f" {format_unit(largest.unit)}" if largest.unit else ""
    others = len(differing) - 1
    rest = (
        f" (the largest of {others + 1} differences over {over})" if others else f" (the only difference over {over})"
    )
    return (
        f"For {largest.utility} on {largest.day:%Y-%m-%d} we bill {abs(largest.difference):.4f}{unit} {more} than was "
        f"shown live{rest}: readings that came late, or a register that was reset, count in the bill."
    )


def rank(utility: str) -> tuple[int, str]:
    """Sorting key of utilities: the usual ones first, others by name."""
    return (USUAL_ORDER.index(utility) if utility in USUAL_ORDER else len(USUAL_ORDER), utility)
