"""Turning a result into text: a table for people, CSV and JSON for programs, CSV for spreadsheets.

Times are UTC and ISO 8601 in all of them; no query is made here.
"""

import json
import math
import re
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import TextIO

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text


class Format(StrEnum):
    """How a result is written."""

    table = "table"
    csv = "csv"
    json = "json"
    spreadsheet = "spreadsheet"


# = + - @, and the same in full width.
_RUN = r"[=+\-@\uff1d\uff0b\uff0d\uff20]"
FORMULA = re.compile(rf"^(?=\s*{_RUN}|[\t\r])|(?<=[,;\t\r\n])(?={_RUN})")
"""Where a spreadsheet program would run a text as a formula: at the begin of a cell, and behind anything at which some
locale would begin another one (OWASP, "CSV Injection")."""


def write_result(frame: pl.DataFrame, style: Format, out: TextIO) -> None:
    """Write `frame` to `out`. A table shows every row and never cuts a column name away.

    JSON is one array of objects; CSV has a header line and RFC 4180 quoting. For spreadsheets texts that they would run
    as formulas get an apostrophe, which keeps them from it; numbers stay numbers, and a byte order mark says that it is
    UTF-8. Programs want neither.
    """
    if style in {Format.csv, Format.spreadsheet}:
        cell = _cell if style is Format.spreadsheet else _text
        flat = pl.DataFrame(
            {name: [cell(value) if value is not None else None for value in frame[name]] for name in frame.columns},
            schema=dict.fromkeys(frame.columns, pl.String),
        )
        out.write(flat.write_csv(include_bom=style is Format.spreadsheet))
    elif style is Format.json:
        json.dump(plain_rows(frame), out, ensure_ascii=False, indent=1, allow_nan=False)
        out.write("\n")
    else:
        _print_table(frame, out)


def plain_rows(frame: pl.DataFrame) -> list[dict[str, object]]:
    """The rows as JSON values: instants as ISO 8601 text, NaN and infinities as null."""
    return [{name: _plain(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def _print_table(frame: pl.DataFrame, out: TextIO) -> None:
    table = Table(show_edge=False, pad_edge=False)
    for name, kind in frame.schema.items():
        table.add_column(Text(name), justify="right" if kind.is_numeric() else "left", overflow="fold")
    for row in frame.iter_rows():
        table.add_row(*[Text("" if value is None else _text(value)) for value in row])
    console = Console(file=out, highlight=False, soft_wrap=False)
    if not console.is_terminal:
        # Nobody's window is known: cut nothing.
        console.width = 10_000
    console.print(table)
    console.print(Text(f"{frame.height} row{'' if frame.height == 1 else 's'}"), style="dim")


def _plain(value: object) -> object:
    """A JSON value: numbers stay numbers, NaN and infinities become null."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case None | bool() | int() | float() | str():
            return value
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | pl.Series():
            return [_plain(item) for item in value]
        case _:
            return _text(value)


def _cell(value: object) -> str:
    """Numbers may begin with a minus."""
    text = _text(value)
    return text if isinstance(value, (int, float, Decimal, timedelta)) else FORMULA.sub("'", text)


def _text(value: object) -> str:
    text: str
    match value:
        case datetime():
            text = value.isoformat().replace("+00:00", "Z")
        case date():
            text = value.isoformat()
        case timedelta():
            text = f"{value.total_seconds()} s"
        case bytes():
            text = value.decode("utf-8", errors="backslashreplace")
        case Decimal():
            text = format(value, "f")
        case dict() | list() | tuple() | pl.Series():
            text = json.dumps(_plain(value), ensure_ascii=False)
        case _:
            text = str(value)
    return text
