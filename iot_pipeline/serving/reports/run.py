"""Running a report: parameters checked, its relations made in a private connection, its query run with bound values.

The same function serves the command line, the API and the pages. What the reports are is one file each.
"""

import contextlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import duckdb
import polars as pl

from iot_pipeline.clock import DAY_FORMAT, utc_now
from iot_pipeline.errors import ConfigurationError, TransientError
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.interrupts import interruptible
from iot_pipeline.serving.reports.catalog import REPORTS
from iot_pipeline.serving.reports.report import Choice, Integer, Parameter, Partition, Query, Report
from iot_pipeline.serving.reports.sources import make_relation

RANGE = ("from", "to", "day")
MOST_CHARACTERS = 512
_INSTANT_HELP = "expected 2026-11-22 or 2026-11-22T10:00 (UTC, or with an offset)"
Value = str | int | datetime | date | None


class ReportError(ConfigurationError):
    """A report cannot be run as asked. Nothing was read or changed."""


class UnknownReport(ReportError):
    """There is no report of that name."""


class UnknownParameter(ReportError):
    """The report does not take a parameter of that name."""


class BadParameter(ReportError):
    """The value of a parameter cannot be used. `parameter` names it."""

    def __init__(self, parameter: str, reason: str) -> None:
        super().__init__(f"{parameter}: {reason}")
        self.parameter = parameter


class BadRange(BadParameter):
    """The range of time is empty, reversed, in the future or too long."""


class UnknownName(BadParameter):
    """A device, customer or fleet that never sent anything."""


class WarehouseUnavailable(TransientError):
    """Nothing was published yet, or it is being replaced at this moment. Ask again in some seconds."""


def find_report(name: str) -> Report:
    """The report of that name. Raises UnknownReport."""
    if name not in REPORTS:
        raise UnknownReport(f"report: received {name!r}; there are: {', '.join(REPORTS)}")
    return REPORTS[name]


def run_report(
    paths: DataPaths, name: str, parameters: Mapping[str, object] | None = None, *, now: datetime | None = None
) -> pl.DataFrame:
    """Run a report over what is published.

    Args:
        paths: where the data is.
        name: of the report.
        parameters: values by name, as text or as what they are; None counts as not given.
        now: the present instant (UTC), for ranges that are not told.

    Returns:
        The report's columns in their order, instants as `Datetime("us", "UTC")`. No rows: no data was found.

    Raises:
        UnknownReport, UnknownParameter, BadParameter, BadRange, UnknownName: what is allowed is said.
        WarehouseUnavailable: nothing is published yet, or a file went while it was read.
    """
    report = find_report(name)
    given = {key: value for key, value in (parameters or {}).items() if value is not None and value != ""}
    for key in given:
        if key not in report.takes and key not in RANGE:
            takes = ", ".join([*report.takes, *RANGE])
            raise UnknownParameter(f"{key}: report {name} does not take it; it takes: {takes}")
    values = {key: _value(parameter, given.get(key)) for key, parameter in report.takes.items()}
    query = report.queries[str(values.get("period") or next(iter(report.queries)))]
    begin, end = _range(query, given, now or utc_now())
    bound: dict[str, object] = {**values, "begin": begin, "end": end}
    with _relations(paths, query, begin, end) as connection:
        _refuse_unknown_names(connection, report, values)
        [statement] = connection.extract_statements(query.sql)
        used = {key: bound[key] for key in statement.named_parameters}
        frame: pl.DataFrame = connection.sql(query.sql, params=used).pl()
    zoned = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Datetime)]
    return frame.with_columns(pl.col(zoned).dt.convert_time_zone("UTC")) if zoned else frame


@contextlib.contextmanager
def _relations(paths: DataPaths, query: Query, begin: datetime, end: datetime) -> Iterator[duckdb.DuckDBPyConnection]:
    """A private connection with what the query reads, and the devices."""
    if not paths.marts.exists():
        raise WarehouseUnavailable(
            f"nothing is published in {paths.root} yet; the first minute is about two minutes after `iot up`. "
            "Another folder is named by IOT_DATA or --data."
        )
    with contextlib.closing(duckdb.connect(":memory:")) as connection, interruptible(connection):
        connection.execute("set TimeZone = 'UTC'")
        try:
            for name in sorted({*query.relations, "dim_device"}):
                make_relation(connection, paths, name, begin, end)
            yield connection
        except duckdb.IOException as error:
            raise WarehouseUnavailable(f"a file went while it was read ({error}); ask again") from error
        except duckdb.BinderException as error:
            raise WarehouseUnavailable(
                f"published files lack what this release expects ({str(error).splitlines()[0]}): they are of an "
                "earlier one, and are made anew with the next run of their minutes or day, or by `iot backfill`"
            ) from error


def _refuse_unknown_names(connection: duckdb.DuckDBPyConnection, report: Report, values: Mapping[str, Value]) -> None:
    for key, value in values.items():
        parameter = report.takes[key]
        exists = None if isinstance(parameter, Choice | Integer) else parameter.exists
        if exists is None or value is None:
            continue
        [[known]] = connection.execute(exists, {"value": value}).fetchall()
        if not known:
            raise UnknownName(key, f"received {value!r}; nothing of that name has ever sent anything")


def _value(parameter: Parameter, given: object) -> str | int | None:
    match parameter:
        case Choice(name=name, choices=choices, default=default):
            if given is not None and str(given) not in choices:
                raise BadParameter(name, f"received {given!r}; valid values are: {', '.join(choices)}")
            return default if given is None else str(given)
        case Integer(name=name, low=low, high=high, default=whole):
            try:
                number = whole if given is None else int(str(given))
            except ValueError:
                raise BadParameter(name, f"received {given!r}; expected a whole number") from None
            if not low <= number <= high:
                raise BadParameter(name, f"received {number}; expected {low} to {high}")
            return number
        case _:
            if given is None and parameter.required:
                raise BadParameter(parameter.name, "is needed")
            if given is not None and len(str(given)) > MOST_CHARACTERS:
                raise BadParameter(parameter.name, f"is longer than {MOST_CHARACTERS} characters")
            return parameter.default if given is None else str(given)


def _range(query: Query, given: Mapping[str, object], now: datetime) -> tuple[datetime, datetime]:
    """Begin and end (not included) of what is asked for, in UTC."""
    if "day" in given:
        if "from" in given or "to" in given:
            raise BadRange("day", "excludes from and to")
        begin = _instant("day", given["day"])
        end = begin + timedelta(days=1)
        if begin != _midnight(begin):
            raise BadRange("day", f"received {given['day']!r}; expected a day such as 2026-11-22")
    else:
        end = _instant("to", given["to"]) if "to" in given else now
        begin = _instant("from", given["from"]) if "from" in given else _usual_begin(query, end)
    if begin >= end:
        raise BadRange("from", f"{_told(begin)} is not before the end, {_told(end)}")
    if begin > now:
        raise BadRange("from", f"{_told(begin)} is in the future; it is {_told(now)}")
    if end - begin > query.longest:
        raise BadRange("from", f"{_told(begin)} to {_told(end)} is longer than the {_length(query.longest)} allowed")
    return begin, end


def _usual_begin(query: Query, end: datetime) -> datetime:
    """Whole days and months where those are the rows."""
    begin = end - query.usual
    if query.usual < timedelta(days=1):
        return begin
    return datetime.combine(_partition(begin.date(), query.partition), datetime.min.time(), UTC)


def _instant(name: str, value: object) -> datetime:
    if isinstance(value, datetime):
        found = value
    elif isinstance(value, date):
        found = datetime.combine(value, datetime.min.time(), UTC)
    else:
        try:
            found = datetime.fromisoformat(str(value))
        except ValueError:
            raise BadRange(name, f"received {value!r}; {_INSTANT_HELP}") from None
    try:
        found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError:
        raise BadRange(name, f"received {value!r}; {_INSTANT_HELP}") from None
    if not 1970 <= found.year <= 9000:  # room for a day more
        raise BadRange(name, f"received {value!r}; years 1970 to 9000 can be asked for")
    return found


def _midnight(instant: datetime) -> datetime:
    return instant.replace(hour=0, minute=0, second=0, microsecond=0)


def _partition(day: date, partition: Partition) -> date:
    if partition == "year":
        return day.replace(month=1, day=1)
    return day.replace(day=1) if partition == "month" else day


def _told(instant: datetime) -> str:
    return instant.strftime(DAY_FORMAT if instant == _midnight(instant) else "%Y-%m-%dT%H:%M:%SZ")


def _length(span: timedelta) -> str:
    if span >= timedelta(days=1):
        return f"{span.days} day{'' if span.days == 1 else 's'}"
    return f"{span // timedelta(minutes=1)} minutes"
