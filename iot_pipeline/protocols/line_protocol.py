r"""InfluxDB line protocol v2, one line at a time: text to plain dataclasses.

    measurement[,tag=value...] field=value[,field=value...] [timestamp in ns]

Splitting a payload into lines is for the callers, so that one bad line never costs another. In names
a backslash escapes a comma, an equals sign or a space, in texts a quote or a backslash; before
anything else it is itself. A repeated tag or field is refused: which of the two was meant?
Source: https://docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol/
"""

import re
from dataclasses import dataclass

from iot_pipeline.errors import IotError

FieldValue = bool | int | float | str

# Possessive quantifiers (++, *+, ?+): a hostile line costs time in proportion to its length and no more.
_MEASUREMENT = re.compile(r"((?:[^, \\]++|\\[, ]?+)++)")
_TAG = re.compile(r",((?:[^,= \\]++|\\[,= ]?+)++)=((?:[^,= \\]++|\\[,= ]?+)++)")
_SPACES = re.compile(r" ++")
_FIELD = re.compile(r'((?:[^,= \\]++|\\[,= ]?+)++)=(?:"((?:[^"\\]++|\\.?+)*+)"|([^", ]++))', re.DOTALL)
_TIMESTAMP = re.compile(r"-?\d{1,19}", re.ASCII)
_FLOAT = re.compile(r"-?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?", re.ASCII)
_INTEGER = re.compile(r"-?\d{1,20}", re.ASCII)
_BOOLEANS = {
    **dict.fromkeys(("t", "T", "true", "True", "TRUE"), True),
    **dict.fromkeys(("f", "F", "false", "False", "FALSE"), False),
}
_ESCAPED_IN_NAME = re.compile(r"\\([,= ])")
_ESCAPED_IN_MEASUREMENT = re.compile(r"\\([, ])")
_ESCAPED_IN_TEXT = re.compile(r'\\(["\\])')
_INT64 = range(-(1 << 63), 1 << 63)
_UINT64 = range(1 << 64)
_LONGEST_FLOAT = 400  # characters


class LineProtocolError(IotError):
    """A line that is no line protocol. Its text says at which column, and what was expected there."""


@dataclass(slots=True)
class Point:
    """One line. `timestamp_ns` counts nanoseconds since 1970 UTC; None when the line tells none."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, FieldValue]
    timestamp_ns: int | None = None


def parse_line(line: str) -> Point | None:
    """Read one line; None for a comment and for a blank line. Raises LineProtocolError."""
    line = line.strip(" \t\r\n")
    if not line or line[0] == "#":
        return None
    found = _MEASUREMENT.match(line)
    if found is None:
        raise _expected(line, 0, "a measurement")
    tags, position = _tags(line, found.end())
    gap = _SPACES.match(line, position)
    if gap is None:
        raise _expected(line, position, "a tag as key=value" if line[position : position + 1] == "," else "fields")
    fields, position = _fields(line, gap.end())
    return Point(_unescape(found[1], _ESCAPED_IN_MEASUREMENT), tags, fields, _timestamp(line, position))


def _tags(line: str, position: int) -> tuple[dict[str, str], int]:
    tags: dict[str, str] = {}
    while found := _TAG.match(line, position):
        key = _unescape(found[1], _ESCAPED_IN_NAME)
        if key in tags:
            raise _expected(line, position + 1, f"another tag than {key[:40]!r}, which was told already")
        tags[key] = _unescape(found[2], _ESCAPED_IN_NAME)
        position = found.end()
    return tags, position


def _fields(line: str, position: int) -> tuple[dict[str, FieldValue], int]:
    fields: dict[str, FieldValue] = {}
    while True:
        found = _FIELD.match(line, position)
        if found is None:
            raise _expected(line, position, "a field as key=value, texts in double quotes")
        key, text, plain = found.groups()
        if "\\" in key:
            key = _ESCAPED_IN_NAME.sub(r"\1", key)
        if key in fields:
            raise _expected(line, position, f"another field than {key[:40]!r}, which was told already")
        if plain is None:
            fields[key] = _unescape(text, _ESCAPED_IN_TEXT)
        else:
            value = _plain(plain)
            if value is None:
                raise _expected(line, found.start(3), "a number, an integer as 1i or 1u, true, false or a quoted text")
            fields[key] = value
        position = found.end()
        if line[position : position + 1] != ",":
            return fields, position
        position += 1


def _plain(text: str) -> FieldValue | None:
    """The value of a field that is not quoted; None when it is none."""
    last = text[-1]
    if last in "iu":
        if _INTEGER.fullmatch(text, 0, len(text) - 1) is None:
            return None
        number = int(text[:-1])
        return number if number in (_INT64 if last == "i" else _UINT64) else None
    if _FLOAT.fullmatch(text) is None or len(text) > _LONGEST_FLOAT:
        return _BOOLEANS.get(text)
    value = float(text)
    return value if -float("inf") < value < float("inf") else None


def _timestamp(line: str, position: int) -> int | None:
    if position == len(line):
        return None
    gap = _SPACES.match(line, position)
    if gap is None:
        raise _expected(line, position, "a comma, a space or the end of the line")
    found = _TIMESTAMP.fullmatch(line, gap.end())
    if found is None or int(found[0]) not in _INT64:
        raise _expected(line, gap.end(), "a timestamp, nanoseconds since 1970 as an integer of 64 bits")
    return int(found[0])


def _unescape(text: str, escaped: re.Pattern[str]) -> str:
    return escaped.sub(r"\1", text) if "\\" in text else text


def _expected(line: str, position: int, what: str) -> LineProtocolError:
    shown = repr(line[position : position + 40]) if position < len(line) else "the end of the line"
    return LineProtocolError(f"column {position + 1}: expected {what}, found {shown}")
