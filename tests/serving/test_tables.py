"""Results as text: exact, complete and in UTC."""

import io
import json
import re
from datetime import UTC, date, datetime
from decimal import Decimal

import polars as pl
import pytest

from iot_pipeline.serving.tables import Format, write_result

FRAME = pl.DataFrame(
    {
        "minute": [datetime(2026, 11, 22, 10, 42, tzinfo=UTC), None],
        "day": [date(2026, 11, 22), None],
        "value": [1.5, float("nan")],
        "count": [2**60, None],
        "text": ['a "quoted", [bold]°C', None],
        "list": [[1, 2], None],
        "raw": [b"\xffok", None],
        "exact": [Decimal("1.10"), None],
    },
    schema_overrides={"minute": pl.Datetime("us", "UTC")},
)


def written(style: Format, frame: pl.DataFrame = FRAME) -> str:
    out = io.StringIO()
    write_result(frame, style, out)
    return out.getvalue()


def back(style: Format, frame: pl.DataFrame = FRAME) -> pl.DataFrame:
    return pl.read_csv(io.StringIO(written(style, frame)), infer_schema=False)


def test_json() -> None:
    first, second = json.loads(written(Format.json))
    assert first == {
        "minute": "2026-11-22T10:42:00Z",
        "day": "2026-11-22",
        "value": 1.5,
        "count": 2**60,
        "text": 'a "quoted", [bold]°C',
        "list": [1, 2],
        "raw": "\\xffok",
        "exact": "1.10",
    }
    assert set(second.values()) == {None}


def test_csv() -> None:
    read = back(Format.csv)
    assert read.columns == FRAME.columns
    assert read["minute"][0] == "2026-11-22T10:42:00Z"
    assert read["text"][0] == 'a "quoted", [bold]°C'
    assert read["count"].to_list() == [str(2**60), None]


@pytest.mark.parametrize(
    "name",
    [
        "=HYPERLINK(A1)",
        "+1",
        "  =1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\uff1d1",
        "line;=cmd|' /C calc'!A0",
        "a\n=1",
        "a,@b",
        "a\t-1",
    ],
)
def test_no_text_is_a_formula_in_a_spreadsheet(name: str) -> None:
    cells = re.split(r"[,;\t\r\n]", back(Format.spreadsheet, pl.DataFrame({"device": [name]}))["device"][0])
    assert not [cell for cell in cells if cell.lstrip()[:1] in {*"=+-@\uff1d"}]


@pytest.mark.parametrize("name", ["pump-1", "a=b", "°C", "m³/h", "x@y", "3 + 4", "", "'quoted'"])
def test_a_spreadsheet_gets_other_texts_as_they_are(name: str) -> None:
    assert back(Format.spreadsheet, pl.DataFrame({"device": [name, "x"]}))["device"].to_list() == [name, "x"]


def test_a_spreadsheet_gets_negative_numbers_as_numbers() -> None:
    frame = pl.DataFrame({"a": [-1.5], "b": [-2], "c": [Decimal("-1.10")], "d": ["°C"]})
    assert written(Format.spreadsheet, frame) == "\ufeffa,b,c,d\n-1.5,-2,-1.10,°C\n"


def test_programs_get_every_text_as_it_is() -> None:
    assert back(Format.csv, pl.DataFrame({"device": ["=1", "-x"]}))["device"].to_list() == ["=1", "-x"]


def test_table() -> None:
    text = written(Format.table)
    assert "2026-11-22T10:42:00Z" in text
    assert "[bold]°C" in text
    assert text.rstrip().endswith("2 rows")


@pytest.mark.parametrize("style", Format)
def test_no_rows(style: Format) -> None:
    assert written(style, FRAME.clear()).strip()
