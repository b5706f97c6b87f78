"""CSV and Parquet files of real data as rows with typed cells: numbers, texts, nulls and one instant a row.

Quirks of files are settled here (quoted numbers, NA, a header one column short, naive local times). How
rows become messages is `replay.py`'s.
"""

import csv
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from iot_pipeline.errors import ConfigurationError, DataError
from sensors_sim.fleet import to_us

Cell = int | float | str | bool | None

NULL_WORDS = frozenset({"", "na", "n/a", "nan", "null", "none"})
EPOCH_NAMES = frozenset({"ts", "time", "timestamp", "epoch", "unixtime", "datetime", "event_time", "eventtime"})
# 1973 in seconds: below it are years, hours, row numbers and dates without hyphens.
EPOCH_LEAST = 1e8
SEPARATORS = ",;\t|"
_SAMPLE = 200


@dataclass(frozen=True, slots=True)
class Table:
    """A file's rows, in the file's order. Cells of `mixed` columns are numbers where they look like one."""

    path: Path
    frame: pl.DataFrame
    mixed: frozenset[str]

    def cell(self, column: str, raw: object) -> Cell:
        """A cell as JSON can carry it; NaN and the infinities are null."""
        match raw:
            case str():
                return _number(raw) if column in self.mixed else raw
            case float():
                return raw if raw - raw == 0 else None
            case None | bool() | int():
                return raw
            case Decimal():
                return float(raw)
            case datetime() | date() | time():
                return raw.isoformat()
            case _:
                return str(raw)


def read_table(path: Path) -> Table:
    """Read a file by its ending: `.parquet` or anything else as CSV with a header.

    A column of numbers is numbers even where they are quoted and padded; `NULL_WORDS` and blanks are null.
    Where the header is one column short, the first column is a row name and is left out.

    Raises:
        ConfigurationError: no such file.
        DataError: it is not what its ending says.
    """
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such file")
    try:
        if path.suffix.lower() in {".parquet", ".pq"}:
            table = _typed_table(path, pl.read_parquet(path))
        else:
            table = _typed_table(path, _read_csv(path))
    except (pl.exceptions.PolarsError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table: {str(error).splitlines()[0]}") from error
    if table.frame.is_empty():
        raise DataError(f"{path}: it has no rows")
    return table


def _typed_table(path: Path, frame: pl.DataFrame) -> Table:
    columns = [_typed(column) if column.dtype == pl.String else column for column in frame.get_columns()]
    mixed = frozenset(column.name for column in columns if column.dtype == pl.String and _mostly_numbers(column))
    return Table(path, pl.DataFrame(columns), mixed)


def _read_csv(path: Path) -> pl.DataFrame:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head = [line for line in (file.readline() for _ in range(2)) if line]
    if len(head) < 2:
        raise DataError(f"{path}: a header and at least one row are needed, there are {len(head)} lines")
    separator = max(SEPARATORS, key=head[0].count)
    header, first = (
        [cell.strip() for cell in row] for row in csv.reader(io.StringIO("".join(head)), delimiter=separator)
    )
    row_name = len(first) == len(header) + 1
    names = ["row name", *header] if row_name else header
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise DataError(f"{path}: the header names {', '.join(sorted(twice))} more than once")
    frame = pl.read_csv(path, has_header=False, skip_rows=1, new_columns=names, separator=separator, infer_schema=False)
    if frame.width != len(names):
        raise DataError(f"{path}: the header names {len(header)} columns, the first row has {len(first)}")
    return frame.drop("row name") if row_name else frame


def _typed(column: pl.Series) -> pl.Series:
    frame = column.str.strip_chars().to_frame("cell")
    blank = pl.col("cell").str.to_lowercase().is_in(list(NULL_WORDS))
    text = frame.select(pl.when(~blank).then(pl.col("cell"))).to_series().alias(column.name)
    if _holds_codes(text):
        return text
    for kind in (pl.Int64(), pl.Float64()):
        numbers = text.cast(kind, strict=False)
        if numbers.null_count() == text.null_count():
            return numbers
    return text


def _holds_codes(text: pl.Series) -> bool:
    """0042 is a name, which it would lose as a number."""
    return bool(text.str.contains(r"^[+-]?0\d").any())


def _mostly_numbers(text: pl.Series) -> bool:
    """A few words among numbers (`T` for a trace of rain) do not make the numbers words."""
    if _holds_codes(text):
        return False
    return text.cast(pl.Float64, strict=False).count() * 2 > text.count()


def _number(text: str) -> int | float | str:
    kinds: tuple[Callable[[str], int | float], ...] = (int, float)
    for kind in kinds:
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def time_column(table: Table, wanted: str | None) -> str:
    """The column that says when: `wanted`, or the only one that can be it.

    Raises:
        ConfigurationError: there is no such column, none that fits, or more than one (they are listed).
    """
    columns = table.frame.columns
    if wanted is not None:
        if wanted not in columns:
            raise ConfigurationError.unknown_value(f"{table.path}: time column", wanted, columns)
        return wanted
    fit = [name for name in columns if _tells_time(table.frame.get_column(name))]
    if len(fit) == 1:
        return fit[0]
    problem = f"several columns can be the time: {', '.join(fit)}" if fit else "no column looks like a time"
    raise ConfigurationError(
        f"{table.path}: {problem}. Name it with --time-column; the columns are: {', '.join(columns)}"
    )


def _tells_time(column: pl.Series) -> bool:
    sample = column.drop_nulls().head(_SAMPLE).to_list()
    if not sample:
        return False
    if column.dtype.is_numeric():
        return column.name.strip().lower() in EPOCH_NAMES and all(abs(value) >= EPOCH_LEAST for value in sample)
    try:
        return all(isinstance(parse_time(value), datetime) for value in sample)
    except ValueError:
        return False


def parse_time(value: object) -> datetime:
    """A time from a cell, naive where the cell tells no offset. Raises ValueError for what is no time.

    Texts are ISO 8601 (also `2013/01/31 10:00`); numbers count from 1970 UTC in s, ms, µs or ns by their size.
    """
    match value:
        case datetime():
            return value
        case date():
            return datetime.combine(value, time())
        case int() | float() if not isinstance(value, bool):
            size = abs(value)
            if size < EPOCH_LEAST:
                raise ValueError(f"{value!r} is too small to count from 1970")
            scale = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9
            return datetime.fromtimestamp(value / scale, tz=ZoneInfo("UTC"))
        case str():
            text = value.strip()
            return datetime.fromisoformat(text.replace("/", "-") if re.match(r"\d{4}/", text) else text)
        case _:
            raise ValueError(f"{value!r} is no time")


def instants(table: Table, column: str, zone: ZoneInfo, keys: Sequence[str]) -> list[int]:
    """Microseconds since the epoch for each row; naive times are local times of `zone`.

    Where clocks were set back, an hour of local times comes twice. A row that would not be later than the row
    before it with the same key (its device) belongs to the second time.

    Raises:
        DataError: a row has no time that can be read.
    """
    latest: dict[str, int] = {}
    found: list[int] = []
    for number, (value, key) in enumerate(zip(table.frame.get_column(column), keys, strict=True), start=1):
        try:
            moment = parse_time(value)
        except (ValueError, OverflowError, OSError) as error:
            raise DataError(
                f"{table.path}: row {number}, column {column!r}: {value!r} is no time ({error}); nothing was sent"
            ) from error
        if moment.tzinfo is None:
            first, second = (to_us(moment.replace(tzinfo=zone, fold=fold)) for fold in (0, 1))
            at_us = second if first < second and first <= latest.get(key, first - 1) else first
        else:
            at_us = to_us(moment)
        latest[key] = at_us
        found.append(at_us)
    return found
