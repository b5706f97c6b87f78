"""Turning a result into text: a table for people, CSV and JSON for programs.

Times are UTC and ISO 8601 in all three; no query is made here.
"""

import json
import math
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


def write_result(frame: pl.DataFrame, style: Format, out: TextIO) -> None:
    """Write `frame` to `out`. A table shows every row and never cuts a column name away.

    JSON is one array of objects; CSV has a header line and RFC 4180 quoting.
    """
    if style is Format.csv:
        flat = pl.DataFrame(
            {name: [_text(value) if value is not None else None for value in frame[name]] for name in frame.columns},
            schema=dict.fromkeys(frame.columns, pl.String),
        )
        out.write(flat.write_csv())
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
