"""Payload formats: bytes to records, without any knowledge of mappings.

A format either yields documents of plain values (`PARSERS`) or, like Sparkplug B, needs a decoder
of its own (`decoding/sparkplug.py`). To add one of the first kind: a name in `PayloadFormat`, a parser here.
"""

from collections.abc import Callable, Iterator
from enum import StrEnum

import msgspec

from iot_pipeline.protocols.line_protocol import LineProtocolError, parse_line
from iot_pipeline.protocols.senml import SenmlError, resolve
from iot_pipeline.readings.language.fields import Json
from iot_pipeline.readings.schema import QuarantineReason

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_decode_json = msgspec.json.Decoder().decode


class PayloadFormat(StrEnum):
    """How the bytes of a message are built."""

    JSON = "json"  # one JSON document; a top-level array is a list of records
    NDJSON = "ndjson"  # one JSON document a line
    SCALAR = "scalar"  # one value as text; everything else is in the topic
    INFLUX = "influx"  # InfluxDB line protocol: {measurement, tags, fields, timestamp} a line
    SENML = "senml"  # RFC 8428 in JSON: one resolved record a measurement, see `protocols/senml.py`
    SPARKPLUG_B = "sparkplug_b"


class Reject(Exception):  # what happens to the message, not what is wrong with the program
    """A message, or one document of it, goes to quarantine."""

    def __init__(self, reason: QuarantineReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


# (label of the document or None when the message has only one, document or why it cannot be read)
Document = tuple[str | None, Json | Reject]
# (payload, time of receipt in µs since 1970 UTC, which only times relative to now need)
Parser = Callable[[bytes, int], Iterator[Document]]


def parse_json(data: bytes) -> Json:
    """One JSON document. Raises Reject with the reason."""
    try:
        document: Json = _decode_json(data)
    except UnicodeDecodeError as error:
        raise Reject(QuarantineReason.BAD_ENCODING, f"not UTF-8: {error.reason} at byte {error.start}") from error
    except msgspec.DecodeError as error:
        if data.startswith(_BYTE_ORDER_MARK):
            return parse_json(data[len(_BYTE_ORDER_MARK) :])
        raise _why_not_json(data, error) from error
    except RecursionError as error:
        raise Reject(QuarantineReason.BAD_JSON, "nested too deep to be read") from error
    return document


def _why_not_json(data: bytes, error: msgspec.DecodeError) -> Reject:
    try:
        data.decode()
    except UnicodeDecodeError as problem:
        return Reject(QuarantineReason.BAD_ENCODING, f"not UTF-8: {problem.reason} at byte {problem.start}")
    return Reject(QuarantineReason.BAD_JSON, str(error))


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Reject(QuarantineReason.BAD_ENCODING, f"not UTF-8: {error.reason} at byte {error.start}") from error


def _documents_json(data: bytes, _received_us: int) -> Iterator[Document]:
    yield None, parse_json(data)


def _documents_ndjson(data: bytes, _received_us: int) -> Iterator[Document]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield f"line {number}", parse_json(line)
        except Reject as reject:
            yield f"line {number}", reject


def _documents_scalar(data: bytes, _received_us: int) -> Iterator[Document]:
    yield None, _text(data).strip("\x00")


def _documents_influx(data: bytes, _received_us: int) -> Iterator[Document]:
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            point = parse_line(_text(line))
        except Reject as reject:
            yield f"line {number}", reject
            continue
        except LineProtocolError as error:
            yield f"line {number}", Reject(QuarantineReason.BAD_LINE, str(error))
            continue
        if point is None:
            continue
        record: dict[str, Json] = {"measurement": point.measurement, "tags": {**point.tags}, "fields": {**point.fields}}
        if point.timestamp_ns is not None:
            record["timestamp"] = point.timestamp_ns
        yield f"line {number}", record


def _documents_senml(data: bytes, received_us: int) -> Iterator[Document]:
    pack = parse_json(data)
    try:
        for index, record in resolve(pack, received_us):
            where = f"record {index}"
            if isinstance(record, SenmlError):
                yield where, Reject(QuarantineReason.WRONG_SHAPE, str(record))
            else:
                yield where, {**record}
    except SenmlError as error:
        raise Reject(QuarantineReason.WRONG_SHAPE, str(error)) from error


PARSERS: dict[PayloadFormat, Parser] = {
    PayloadFormat.JSON: _documents_json,
    PayloadFormat.NDJSON: _documents_ndjson,
    PayloadFormat.SCALAR: _documents_scalar,
    PayloadFormat.INFLUX: _documents_influx,
    PayloadFormat.SENML: _documents_senml,
}
