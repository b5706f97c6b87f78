"""Line protocol: what is written can be read, errors say where, nothing but its own error comes out."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.protocols.line_protocol import FieldValue, LineProtocolError, Point, parse_line

# A name that ends in a backslash cannot be written, as the specification says; `#` would begin a comment.
names = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\t"), min_size=1).filter(
    lambda name: not name.endswith("\\") and not name.startswith("#") and name == name.strip()
)
# `\\` before a quote or a backslash in a text is ambiguous only when it is not escaped: all are.
texts = st.text(st.characters(codec="utf-8", exclude_characters="\n"))
values: st.SearchStrategy[tuple[str, FieldValue]] = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False).map(lambda value: (repr(value), value)),
    st.integers(-(1 << 63), (1 << 63) - 1).map(lambda value: (f"{value}i", value)),
    st.integers(0, (1 << 64) - 1).map(lambda value: (f"{value}u", value)),
    st.sampled_from([("t", True), ("TRUE", True), ("f", False), ("False", False)]),
    texts.map(lambda value: ('"' + re.sub(r'(["\\])', r"\\\1", value) + '"', value)),
)


def name(text: str) -> str:
    return re.sub(r"([,= ])", r"\\\1", text)


@given(
    names,
    st.dictionaries(names, names, max_size=3),
    st.dictionaries(names, values, min_size=1, max_size=4),
    st.none() | st.integers(-(1 << 63), (1 << 63) - 1),
)
def test_what_is_written_is_read(
    measurement: str, tags: dict[str, str], fields: dict[str, tuple[str, FieldValue]], timestamp: int | None
) -> None:
    head = re.sub(r"([, ])", r"\\\1", measurement) + "".join(f",{name(key)}={name(tag)}" for key, tag in tags.items())
    body = ",".join(f"{name(key)}={written}" for key, (written, _) in fields.items())
    line = f"{head} {body}" if timestamp is None else f"{head} {body} {timestamp}"
    assert parse_line(line) == Point(measurement, tags, {key: value for key, (_, value) in fields.items()}, timestamp)


@given(st.text(st.sampled_from('mv19iutfe.-+,= "\\#\t\x00é'), max_size=40))
def test_anything_else_is_its_own_error(line: str) -> None:
    try:
        found = parse_line(line)
    except LineProtocolError:
        return
    assert found is None or found.fields


@pytest.mark.parametrize("line", ["", "  \t", "# comment", " # comment, v=1", "\r"])
def test_lines_without_a_point(line: str) -> None:
    assert parse_line(line) is None


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("m", "column 2: expected fields, found the end of the line"),
        (",t=1 v=1", "column 1: expected a measurement, found ',t=1 v=1'"),
        ("m, v=1", "column 2: expected a tag as key=value"),
        ("m,t= v=1", "column 2: expected a tag"),
        ("m,t=1,t=2 v=1", "column 7: expected another tag than 't'"),
        ("m v", "column 3: expected a field as key=value"),
        ("m v=1,", "column 7: expected a field as key=value, texts in double quotes, found the end of the line"),
        ("m v=1,v=2", "column 7: expected another field than 'v'"),
        ('m v="open', "column 3: expected a field"),
        ('m v="x"y', "column 8: expected a comma, a space or the end of the line, found 'y'"),
        ("m v=inf", "column 5: expected a number"),
        ("m v=1e999", "column 5: expected a number"),
        ("m v=-1u", "column 5: expected a number"),
        ("m v=1.5i", "column 5: expected a number"),
        ("m v=1_000", "column 5: expected a number"),
        ("m v=1 1.5", "column 7: expected a timestamp"),
        ("m v=1 9223372036854775808", "column 7: expected a timestamp"),
    ],
)
def test_errors_say_where(line: str, error: str) -> None:
    with pytest.raises(LineProtocolError, match="^" + re.escape(error)):
        parse_line(line)


def test_a_backslash_before_anything_else_is_itself() -> None:
    assert parse_line(r'a\b,t\x=c\\d k\y="e\nf\\g"') == Point(r"a\b", {r"t\x": r"c\\d"}, {r"k\y": r"e\nf\g"})


def test_a_hostile_line_takes_time_in_proportion_to_its_length() -> None:
    for hostile in ("\\" * 300_000, "m," + "a\\" * 150_000, 'm v="' + '\\"' * 150_000, "m v=" + "9" * 300_000):
        with pytest.raises(LineProtocolError):
            parse_line(hostile)
