"""Time stamps of any usual form as instants: date and time, ISO 8601 text, numbers since 1970.

What has no zone is UTC. Which column holds them is not decided here.
"""

from dataclasses import dataclass

import polars as pl

from iot_pipeline.errors import ConfigurationError

UNITS = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
"""Units of numbers since 1970-01-01 UTC, in microseconds."""

# Up to the year 5138 in seconds, milliseconds, microseconds; below 1973 in the next one.
_BY_MAGNITUDE = ((1e11, "s"), (1e14, "ms"), (1e17, "us"), (float("inf"), "ns"))

_WITH_ZONE = ("%Y-%m-%dT%H:%M:%S%.f%:z", "%Y-%m-%dT%H:%M%:z")
# Between dots the day comes first wherever dates are written so; between slashes nobody can know.
_DOTTED = ("%d.%m.%YT%H:%M:%S%.f", "%d.%m.%YT%H:%M", "%d.%m.%Y")
_WITHOUT_ZONE = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d", *_DOTTED)
EARLIEST, LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999
"""Microseconds since 1970 of the years 1 to 9999; what lies outside is no time."""

_FORMS = (
    "2026-11-22T10:42:00Z, 2026-11-22 10:42:00 (UTC), 22.11.2026 10:42, 2026-11-22, or a number since 1970 in s, ms, "
    "us or ns"
)


@dataclass(frozen=True, slots=True)
class Stamps:
    """Time stamps, read.

    Attributes:
        us: microseconds since 1970 UTC (Int64); null where there was none or it could not be read.
        told: how they were understood, for people.
    """

    us: pl.Series
    told: str


def read_stamps(ts: pl.Series, unit: str | None = None) -> Stamps:
    """Understand a column of time stamps.

    Args:
        ts: dates with or without time and zone, ISO 8601 texts, or numbers.
        unit: of numbers, a key of UNITS; by their size if not given.

    Raises:
        ConfigurationError: none of the values can be read, or `unit` is not known.
    """
    if unit is not None and unit not in UNITS:
        raise ConfigurationError.unknown_value("unit of ts", unit, UNITS)
    if ts.dtype.is_numeric():
        return _of_numbers(ts.cast(pl.Float64), ts, unit)
    if isinstance(ts.dtype, pl.Datetime):
        zone = ts.dtype.time_zone
        return Stamps(_us(ts), f"times in {zone}" if zone else "times without a zone, taken as UTC")
    if ts.dtype == pl.Date:
        return Stamps(_us(ts.cast(pl.Datetime("us"))), "dates, their midnight in UTC")
    if ts.dtype == pl.Null:
        return Stamps(ts.cast(pl.Int64), "no time stamps")
    if ts.dtype not in {pl.String, pl.Categorical} and not isinstance(ts.dtype, pl.Enum):
        raise ConfigurationError(f"column ts holds {ts.dtype}; expected times such as {_FORMS}")
    return _of_texts(ts.cast(pl.String).str.strip_chars(), unit)


def _of_texts(texts: pl.Series, unit: str | None) -> Stamps:
    numbers = texts.cast(pl.Float64, strict=False)
    if texts.len() and numbers.null_count() == texts.null_count() < texts.len():
        return _of_numbers(numbers, numbers, unit)
    joined = texts.str.replace(r"^(\d{4}-\d\d-\d\d|\d\d?\.\d\d?\.\d{4})[ t]", "${1}T")
    zoned = joined.str.replace(r" ?[zZ]$", "+00:00").str.replace(r"(T.*[+-]\d\d)(\d\d)$", "${1}:${2}")
    zoned = zoned.str.replace(r"(T[^+-]*[+-]\d\d)$", "${1}:00")
    us = pl.Series("us", [None], pl.Int64).new_from_index(0, texts.len())
    without = dotted = 0
    for form in (*_WITH_ZONE, *_WITHOUT_ZONE):
        if us.null_count() == texts.null_count():
            break
        known = us.len() - us.null_count()
        timed = (zoned if form in _WITH_ZONE else joined).set(us.is_not_null(), None)
        zone = "UTC" if form in _WITH_ZONE else None
        read = timed.str.to_datetime(form, time_unit="us", time_zone=zone, strict=False)
        us = us.zip_with(us.is_not_null(), _us(read))
        without += 0 if zone else us.len() - us.null_count() - known
        dotted += us.len() - us.null_count() - known if form in _DOTTED else 0
    unread = texts.filter(texts.is_not_null() & us.is_null())
    if unread.len() and unread.len() == texts.len() - texts.null_count():
        raise ConfigurationError(f"column ts holds texts such as {unread[0]!r}; expected {_FORMS}")
    told = "texts, ISO 8601 or day.month.year" if dotted else "ISO 8601 texts"
    told += ", those without a zone taken as UTC" if without else ""
    if unread.len():
        told += f"; {unread.len()} cannot be read, such as {unread[0]!r}: these rows are not scored"
    return Stamps(us, told)


def _of_numbers(numbers: pl.Series, exact: pl.Series, unit: str | None) -> Stamps:
    known = numbers.filter(numbers.is_finite().fill_null(value=False))
    size = known.abs().median()
    if unit is None:
        unit = next(name for limit, name in _BY_MAGNITUDE if not isinstance(size, float) or size < limit)
    told = f"numbers, taken as {unit} since 1970 UTC"
    if exact.dtype.is_integer():
        # Floats have no room for nanoseconds of our time.
        whole = exact.cast(pl.Int64, strict=False)
        us = whole // 1000 if unit == "ns" else whole * int(UNITS[unit])
    else:
        us = (numbers * UNITS[unit]).round().cast(pl.Int64, strict=False)
    possible = (numbers * UNITS[unit]).is_between(EARLIEST, LATEST).fill_null(value=False)
    if known.len() and not possible.any():
        raise ConfigurationError(f"column ts holds numbers such as {known[0]:g}; as {unit} since 1970 none is a time")
    return Stamps(us.set(~possible, None).alias("us"), told)


def _us(ts: pl.Series) -> pl.Series:
    return ts.dt.epoch("us").alias("us")
