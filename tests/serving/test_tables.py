"""Results as text: exact, complete and in UTC."""

import io
import json
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
    back = pl.read_csv(io.StringIO(written(Format.csv)), infer_schema=False)
    assert back.columns == FRAME.columns
    assert back["minute"][0] == "2026-11-22T10:42:00Z"
    assert back["text"][0] == 'a "quoted", [bold]°C'
    assert back["count"].to_list() == [str(2**60), None]


def test_table() -> None:
    text = written(Format.table)
    assert "2026-11-22T10:42:00Z" in text
    assert "[bold]°C" in text
    assert text.rstrip().endswith("2 rows")


@pytest.mark.parametrize("style", Format)
def test_no_rows(style: Format) -> None:
    assert written(style, FRAME.clear()).strip()
