"""Files as people have them: long, wide, CSV, Parquet; and messages for those that cannot be used."""

from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.anomalies.evaluation.history import read_history
from iot_pipeline.errors import ConfigurationError


def csv(folder: Path, text: str, name: str = "history.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


LONG = "series,ts,value,label\na,2026-01-01T00:00:00Z,1.5,0\nb,2026-01-01T00:00:00Z,2,1\na,2026-01-01T00:01:00Z,,\n"


def test_long_form(tmp_path: Path) -> None:
    history = read_history(csv(tmp_path, LONG))
    assert history.channels == ("value",)
    assert history.frame["value"].to_list() == [1.5, 2.0, None]
    assert history.frame["ts"].to_list()[0] == "2026-01-01T00:00:00Z"
    assert history.label is not None
    assert history.label.to_list() == [False, True, False]
    assert history.told[0] == "3 rows of 2 series"


def test_wide_form_takes_every_column_of_numbers(tmp_path: Path) -> None:
    rows = ("series,ts,current,flow,place", "p,1700000000,1,2.5,x", "p,1700000001,n/a,3,x", "p,1700000002,2,3,x", "")
    text = "\n".join(rows)
    history = read_history(csv(tmp_path, text))
    assert history.channels == ("current", "flow")
    assert history.frame["current"].to_list() == [1.0, None, 2.0]
    assert history.label is None
    assert "current: 1 values are no numbers and count as missing" in history.told
    assert "place: no numbers, not looked at" in history.told


def test_a_file_with_a_value_is_long_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    text = "series,ts,value,raw\na,1700000000,1,2\n"
    assert read_history(csv(tmp_path, text)).channels == ("value",)
    assert "not looked at: raw (--channels chooses)" in read_history(csv(tmp_path, text)).told
    assert read_history(csv(tmp_path, text), channels=["raw", "value"]).channels == ("raw", "value")


def test_parquet_keeps_its_types(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"series": [1, 2], "ts": [1_700_000_000, 1_700_000_060], "value": [1, 2], "label": [True, None]}
    )
    frame.write_parquet(tmp_path / "history.bin")
    history = read_history(tmp_path / "history.bin")
    assert history.frame.schema["series"] == pl.Int64
    assert history.label is not None
    assert history.label.to_list() == [True, False]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_are_told_from_the_header(tmp_path: Path, separator: str) -> None:
    assert read_history(csv(tmp_path, LONG.replace(",", separator))).frame.height == 3


@pytest.mark.parametrize("separator", [";", "\t"])
def test_numbers_may_have_a_decimal_comma_where_commas_separate_nothing(tmp_path: Path, separator: str) -> None:
    rows = ["series,ts,current,place,flow", "1_5,22.11.2026 10:42,-1_5,a_b,2", "1_5,22.11.2026 10:43,3,a_c,0_25e-1", ""]
    history = read_history(csv(tmp_path, "\n".join(rows).replace(",", separator).replace("_", ",")))
    assert history.channels == ("current", "flow")
    assert history.frame["current"].to_list() == [-1.5, 3.0]
    assert history.frame["flow"].to_list() == [2.0, 0.025]
    assert history.frame["series"].to_list() == ["1,5", "1,5"]


def test_names_are_names(tmp_path: Path) -> None:
    text = 'series,ts,"=cmd|\' /C calc\'!A0",us\n"=1+1",1700000000,1,2\n'
    history = read_history(csv(tmp_path, text))
    assert history.channels == ("=cmd|' /C calc'!A0", "us")
    assert history.frame["series"].to_list() == ["=1+1"]


@pytest.mark.parametrize("label", ["0", "1", "true", "FALSE", "1.0", ""])
def test_labels_of_all_usual_forms(tmp_path: Path, label: str) -> None:
    history = read_history(csv(tmp_path, f"series,ts,value,label\na,1700000000,1,{label}\n"))
    assert history.label is not None
    assert history.label.to_list() == [label.lower() in {"1", "true", "1.0"}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "the file is empty"),
        ("time,value\n1,2\n", "no column series and ts; found: time, value"),
        ("series,ts\na,1700000000\n", "no column with numbers beside series and ts; found: series, ts"),
        ("series,ts,value\na,1700000000,high\n", "column value holds String such as 'high'"),
        ("series,ts,value\na,soon,1\n", "texts such as 'soon'"),
        ("series,ts,value,label\na,1700000000,1,maybe\n", "label 'maybe'; expected 0 or 1"),
        ("series,ts,value\na,1700000000,1,2,3\n", "neither CSV nor Parquet"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        read_history(csv(tmp_path, text))


def test_channels_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no channel flow; found: series, ts, value, label"):
        read_history(csv(tmp_path, LONG), channels=["flow"])


def test_a_file_that_is_not_there_and_a_torn_one_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        read_history(tmp_path / "none.csv")
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ConfigurationError, match="neither CSV nor Parquet"):
        read_history(torn)


def test_a_header_alone_is_a_history_without_rows(tmp_path: Path) -> None:
    assert read_history(csv(tmp_path, "series,ts,value\n")).frame.is_empty()


def test_names_of_digits_stay_as_they_were_written(tmp_path: Path) -> None:
    text = "series,ts,value\n007,1700000000,1\n7,1700000000,2\n"
    assert read_history(csv(tmp_path, text)).frame["series"].to_list() == ["007", "7"]
    assert read_history(csv(tmp_path, text.replace("007", "8"))).frame["series"].to_list() == [8, 7]


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-8-sig"])
def test_names_in_other_encodings_stay_apart(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes("series,ts,value\nK\u00fchl,1700000000,1\nK\u00f6hl,1700000000,2\n".encode(encoding))
    assert read_history(path).frame["series"].to_list() == ["K\u00fchl", "K\u00f6hl"]


def test_blanks_around_names_of_columns_and_numbers_do_not_matter(tmp_path: Path) -> None:
    history = read_history(csv(tmp_path, "series, ts, value\na, 2026-01-01T00:00:00Z, 1.5\n"))
    assert history.frame["value"].to_list() == [1.5]


def test_rows_and_values_that_do_not_count_are_told(tmp_path: Path) -> None:
    rows = ("series,ts,value", "a,1700000000,1", "a,1700000000,2", "a,,3", "a,1700000001,inf", "a,1700000002,1e300", "")
    assert set(read_history(csv(tmp_path, "\n".join(rows))).told) >= {
        "1 rows have no time that can be read: they are not scored",
        "1 rows have the series and time of another one: the first one counts, all get its score",
        "value: 1 values are infinite and count as missing",
        "value: 1 values are beyond 1e+18 and count as that",
    }


def test_a_channel_named_twice_is_one(tmp_path: Path) -> None:
    assert read_history(csv(tmp_path, LONG), channels=["value", "value"]).channels == ("value",)


def test_a_missing_label_may_be_nan(tmp_path: Path) -> None:
    frame = pl.DataFrame({"series": ["a", "a"], "ts": [1, 2], "value": [1.0, 2.0], "label": [1.0, float("nan")]})
    frame.write_parquet(tmp_path / "history.parquet")
    history = read_history(tmp_path / "history.parquet")
    assert history.label is not None
    assert history.label.to_list() == [True, False]


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    lists = tmp_path / "lists.parquet"
    pl.DataFrame({"series": [["a"]], "ts": [1], "value": [1.0]}).write_parquet(lists)
    with pytest.raises(ConfigurationError, match="neither names nor numbers"):
        read_history(lists)
    noise = tmp_path / "noise.csv"
    noise.write_bytes(bytes(range(256)) * 20)
    with pytest.raises(ConfigurationError, match=r"noise\.csv"):
        read_history(noise)
