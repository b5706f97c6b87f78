"""A file with somebody's own history: CSV or Parquet, long or wide, with or without labels.

What is read is told in sentences; what cannot be read is refused with the columns that were found.
"""

import codecs
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from iot_pipeline.anomalies.evaluation.groups import LARGEST
from iot_pipeline.anomalies.evaluation.stamps import read_stamps
from iot_pipeline.errors import ConfigurationError

MOST_ROWS = 20_000_000
"""Rows that a file may have: a million take some 600 MB while they are scored."""

EXPECTED = "expected columns: series, ts, value (long form), or series, ts and one column a channel (wide form); label"

OTHER_ENCODING = "cp1252"
"""What text that is neither UTF-8 nor UTF-16 is taken for: Windows, western Europe."""

_DECIMAL_COMMA = r"^\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*$"

_PARQUET = b"PAR1"
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_TRUE, _FALSE = ["1", "1.0", "true", "t", "yes", "y"], ["0", "0.0", "false", "f", "no", "n"]


@dataclass(frozen=True, slots=True)
class History:
    """What a file holds.

    Attributes:
        frame: the rows in the order of the file: series and ts as they were, and the channels as numbers.
        channels: names of the columns that are looked at; one in long form.
        instants: the time stamps, understood (UTC).
        label: Boolean, if there are labels.
        told: how it was understood, sentence by sentence.
    """

    frame: pl.DataFrame
    channels: tuple[str, ...]
    instants: pl.Series
    label: pl.Series | None
    told: tuple[str, ...]


def read_history(path: Path, *, channels: list[str] | None = None, ts_unit: str | None = None) -> History:
    """Read a file.

    Args:
        path: CSV (also compressed with gzip or zstd) or Parquet; told apart by content.
        channels: columns to look at instead of those that are found.
        ts_unit: unit of numeric time stamps: s, ms, us or ns.

    Raises:
        ConfigurationError: the file or what it holds cannot be used; says why, and which columns there are.
    """
    table = _table(path)
    found = f"found: {', '.join(table.columns) or 'no columns'}"
    missing = [name for name in ("series", "ts") if name not in table.columns]
    if missing:
        raise ConfigurationError(f"{path}: no column {' and '.join(missing)}; {found}; {EXPECTED}")
    kind = table["series"].dtype
    if kind.is_nested() or kind in {pl.Binary, pl.Object}:
        raise ConfigurationError(f"{path}: column series holds {kind}, neither names nor numbers; {found}")
    told = [f"{table.height} rows of {table['series'].n_unique()} series"]
    numbers, notes = _channels(path, table, channels, found)
    stamps = read_stamps(table["ts"], ts_unit)
    label = _labels(path, table["label"]) if "label" in table.columns else None
    frame = table.select("series", "ts").with_columns(numbers)
    form = "long form" if len(numbers) == 1 else f"wide form, {len(numbers)} channels"
    told += [f"{form}: {', '.join(one.name for one in numbers)}", f"ts: {stamps.told}", *notes]
    told += _odd_rows(table["series"], stamps.us)
    instants = stamps.us.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("ts")
    return History(frame, tuple(one.name for one in numbers), instants, label, tuple(told))


def _table(path: Path) -> pl.DataFrame:
    try:
        with path.open("rb") as handle:
            head = handle.read(4)
        if not head:
            raise ConfigurationError(f"{path}: the file is empty; {EXPECTED}")
        rows = pl.scan_parquet(path) if head == _PARQUET else None
        if rows is not None and rows.select(pl.len()).collect().item() > MOST_ROWS:
            raise _too_long(path)
        table = rows.collect() if rows is not None else _csv(path, head)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except (pl.exceptions.PolarsError, UnicodeError) as error:
        told = str(error).partition("\n")[0]
        raise ConfigurationError(f"{path}: neither CSV nor Parquet that can be read ({told}); {EXPECTED}") from error
    if table.height > MOST_ROWS:
        raise _too_long(path)
    return table


def _too_long(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path}: more than {MOST_ROWS} rows; cut the file by series, each of which is scored by itself"
    )


def _csv(path: Path, head: bytes) -> pl.DataFrame:
    if head[:2] in _UTF16:
        return _parsed(path.read_bytes().decode("utf-16").encode())
    try:
        return _parsed(path)
    except pl.exceptions.ComputeError as error:
        if "utf-8" not in str(error).lower():
            raise
    # To replace what is not UTF-8 would make one series of two whose names differ there.
    return _parsed(path.read_bytes().decode(OTHER_ENCODING).encode())


def _parsed(source: Path | bytes) -> pl.DataFrame:
    """Separated by comma, semicolon or tab, whichever the header has most of; what is no number there stays text."""
    first = pl.scan_csv(source, has_header=False, separator="\x01", quote_char=None, n_rows=1, infer_schema_length=0)
    header = "".join(str(cell) for cell in first.collect().row(0))
    separator = max((",", ";", "\t"), key=header.count)
    names = pl.scan_csv(source, separator=separator, infer_schema_length=0).collect_schema().names()
    rows = pl.scan_csv(
        source,
        separator=separator,
        infer_schema_length=None,
        schema_overrides={name: pl.String for name in names if name.strip() == "series"},
    )
    table = rows.head(MOST_ROWS + 1).collect()
    stripped = [name.strip() for name in names]
    if len(set(stripped)) == len(names):
        table = table.rename(dict(zip(names, stripped, strict=True)))
    if separator != ",":
        table = table.with_columns(
            _with_points(one) for one in table if one.dtype == pl.String and one.name != "series"
        )
    return table.with_columns(_as_written(table["series"])) if "series" in table.columns else table


def _with_points(texts: pl.Series) -> pl.Series:
    """Numbers with a decimal comma, as spreadsheets of many countries have them, with a point; other texts as is."""
    decimal = texts.str.contains(_DECIMAL_COMMA)
    return texts.zip_with(~decimal.fill_null(value=False), texts.str.replace(",", "."))


def _as_written(names: pl.Series) -> pl.Series:
    """Numbers where that loses nothing: 007 and 7 are two series."""
    for kind in (pl.Int64, pl.Float64):
        numbers = names.cast(kind, strict=False)
        if numbers.null_count() < numbers.len() and numbers.cast(pl.String).eq_missing(names).all():
            return numbers
    return names


def _odd_rows(series: pl.Series, us: pl.Series) -> list[str]:
    """What is to be said of rows that do not count."""
    rows = pl.DataFrame({"series": series, "us": us}).drop_nulls("us")
    told = []
    if timeless := us.len() - rows.height:
        told.append(f"{timeless} rows have no time that can be read: they are not scored")
    if repeated := rows.height - rows.unique().height:
        told.append(f"{repeated} rows have the series and time of another one: the first one counts, all get its score")
    return told


def _channels(
    path: Path, table: pl.DataFrame, asked: list[str] | None, found: str
) -> tuple[list[pl.Series], list[str]]:
    """The columns to look at, as numbers, and what there is to say of them."""
    notes = []
    others = [name for name in table.columns if name not in {"series", "ts", "label"}]
    if asked is not None:
        absent = [name for name in asked if name not in others]
        if absent or not asked:
            raise ConfigurationError(f"{path}: no channel {', '.join(absent) or 'was named'}; {found}")
        chosen = list(dict.fromkeys(asked))
    else:
        chosen = ["value"] if "value" in others else others
    numbers = []
    for name in chosen:
        column = table[name]
        bare = column.str.strip_chars() if column.dtype == pl.String else column
        number = bare.cast(pl.Float64, strict=False) if _is_readable(column) else None
        known = column.len() - column.null_count()
        lost = number.null_count() - column.null_count() if number is not None else known
        if number is None or (known and lost > known / 2):
            if asked is not None or name == "value":
                raise ConfigurationError(
                    f"{path}: column {name} holds {column.dtype} such as {column.drop_nulls().first()!r}, no "
                    f"numbers such as 1.5 or 2e-3; {found}"
                )
            notes.append(f"{name}: no numbers, not looked at")
            continue
        notes += _odd_values(number, name, lost)
        numbers.append(number.alias(name))
    if not numbers:
        raise ConfigurationError(f"{path}: no column with numbers beside series and ts; {found}; {EXPECTED}")
    ignored = [name for name in others if name not in chosen]
    if ignored:
        notes.append(f"not looked at: {', '.join(ignored)} (--channels chooses)")
    return numbers, notes


def _odd_values(number: pl.Series, name: str, lost: int) -> list[str]:
    counts = {
        "are no numbers and count as missing": lost,
        "are infinite and count as missing": int(number.is_infinite().sum()),
        f"are beyond {LARGEST:g} and count as that": int((number.is_finite() & (number.abs() > LARGEST)).sum()),
    }
    return [f"{name}: {count} values {told}" for told, count in counts.items() if count]


def _is_readable(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype in {pl.String, pl.Boolean, pl.Null}


def _labels(path: Path, column: pl.Series) -> pl.Series:
    """Labels as Boolean; missing ones are false."""
    if column.dtype == pl.Boolean:
        return column.fill_null(value=False)
    known = column.fill_nan(None) if column.dtype.is_float() else column
    texts = known.cast(pl.String).str.strip_chars().str.to_lowercase()
    wrong = texts.filter(~texts.is_in([*_TRUE, *_FALSE, ""]).fill_null(value=True))
    if wrong.len():
        raise ConfigurationError(f"{path}: label {wrong[0]!r}; expected 0 or 1, or true or false, or nothing for false")
    return texts.is_in(_TRUE).fill_null(value=False).alias("label")
