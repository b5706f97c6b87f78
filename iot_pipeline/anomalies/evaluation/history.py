"""A file with somebody's own history: CSV or Parquet, long or wide, with or without labels.

What is read is told in sentences; what cannot be read is refused with the columns that were found.
"""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from iot_pipeline.anomalies.evaluation.stamps import read_stamps
from iot_pipeline.errors import ConfigurationError

MOST_ROWS = 20_000_000
"""Rows that a file may have: a million take some 600 MB while they are scored."""

EXPECTED = "expected columns: series, ts, value (long form), or series, ts and one column a channel (wide form); label"

_PARQUET = b"PAR1"
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
    told = [f"{table.height} rows of {table['series'].n_unique()} series"]
    numbers, notes = _channels(path, table, channels, found)
    stamps = read_stamps(table["ts"], ts_unit)
    label = _labels(path, table["label"]) if "label" in table.columns else None
    frame = table.select("series", "ts").with_columns(numbers)
    form = "long form" if len(numbers) == 1 else f"wide form, {len(numbers)} channels"
    told += [f"{form}: {', '.join(one.name for one in numbers)}", f"ts: {stamps.told}", *notes]
    instants = stamps.us.cast(pl.Datetime("us")).dt.replace_time_zone("UTC").alias("ts")
    return History(frame, tuple(one.name for one in numbers), instants, label, tuple(told))


def _table(path: Path) -> pl.DataFrame:
    try:
        with path.open("rb") as handle:
            head = handle.read(4)
        if not head:
            raise ConfigurationError(f"{path}: the file is empty; {EXPECTED}")
        rows = pl.scan_parquet(path) if head == _PARQUET else _scan_csv(path)
        if head == _PARQUET and rows.select(pl.len()).collect().item() > MOST_ROWS:
            raise _too_long(path)
        table = rows.head(MOST_ROWS + 1).collect()
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror or error}") from error
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(f"{path}: neither CSV nor Parquet that can be read ({error})") from error
    if table.height > MOST_ROWS:
        raise _too_long(path)
    return table


def _too_long(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path}: more than {MOST_ROWS} rows; cut the file by series, each of which is scored by itself"
    )


def _scan_csv(path: Path) -> pl.LazyFrame:
    """Separated by comma, semicolon or tab, whichever the header has most of; what is no number there stays text."""
    first = pl.scan_csv(path, has_header=False, separator="\x01", quote_char=None, n_rows=1, encoding="utf8-lossy")
    header = str(first.collect().item() or "")
    separator = max((",", ";", "\t"), key=header.count)
    return pl.scan_csv(
        path, separator=separator, infer_schema_length=None, encoding="utf8-lossy", truncate_ragged_lines=False
    )


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
        chosen = asked
    else:
        chosen = ["value"] if "value" in others else others
    numbers = []
    for name in chosen:
        column = table[name]
        number = column.cast(pl.Float64, strict=False) if _is_readable(column) else None
        known = column.len() - column.null_count()
        lost = number.null_count() - column.null_count() if number is not None else known
        if number is None or (known and lost > known / 2):
            if asked is not None or name == "value":
                raise ConfigurationError(
                    f"{path}: column {name} holds {column.dtype} such as {column.drop_nulls().first()!r}, no numbers; "
                    f"{found}"
                )
            notes.append(f"{name}: no numbers, not looked at")
            continue
        if lost:
            notes.append(f"{name}: {lost} values are no numbers and count as missing")
        numbers.append(number.alias(name))
    if not numbers:
        raise ConfigurationError(f"{path}: no column with numbers beside series and ts; {found}; {EXPECTED}")
    ignored = [name for name in others if name not in chosen]
    if ignored:
        notes.append(f"not looked at: {', '.join(ignored)} (--channels chooses)")
    return numbers, notes


def _is_readable(column: pl.Series) -> bool:
    return column.dtype.is_numeric() or column.dtype in {pl.String, pl.Boolean, pl.Null}


def _labels(path: Path, column: pl.Series) -> pl.Series:
    """Labels as Boolean; missing ones are false."""
    if column.dtype == pl.Boolean:
        return column.fill_null(value=False)
    texts = column.cast(pl.String).str.strip_chars().str.to_lowercase()
    wrong = texts.filter(~texts.is_in([*_TRUE, *_FALSE, ""]).fill_null(value=True))
    if wrong.len():
        raise ConfigurationError(f"{path}: label {wrong[0]!r}; expected 0 or 1, or true or false, or nothing for false")
    return texts.is_in(_TRUE).fill_null(value=False).alias("label")
