"""Sample messages and what is expected of them: JSON lines in, checked structures out.

How they are decoded is in `trial.py`, how the two are compared in `compare.py`.
"""

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.readings.language.times import microseconds

SampleId = str | int
_Line = TypeVar("_Line", bound=msgspec.Struct)


class SampleError(ConfigurationError):
    """A line of a file of samples cannot be used. The message names file and line."""


@dataclass(slots=True, frozen=True)
class Sample:
    """One message to try. `received_us`: µs since 1970 UTC, None when the line does not tell it."""

    id: SampleId
    topic: str
    payload: bytes
    received_us: int | None


class ExpectedReading(msgspec.Struct):
    """A reading that must come out. `ts`: ISO with an offset or Z, or RECEIVED. `unit` is compared where it is told."""

    device_id: str
    metric: str
    ts: str
    value: bool | int | float | str
    unit: str | msgspec.UnsetType | None = msgspec.UNSET


class Expectation(msgspec.Struct):
    """What must come out of a message; further keys, such as `why`, are for readers.

    `fresh_state`: the message is decoded as if it were the first one; `after`: as if only these had
    come before. `optional`: readings that may be there as well, or true when all of `readings` may be missing.
    """

    id: SampleId
    readings: list[ExpectedReading]
    after: list[SampleId] = []
    fresh_state: bool = False
    optional: bool | list[ExpectedReading] = False

    @property
    def alone(self) -> bool:
        """Whether the message is not decoded in the course of the file."""
        return self.fresh_state or bool(self.after)


class _MessageLine(msgspec.Struct):
    topic: str
    id: SampleId | None = None
    payload: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    payload_base64: str | None = None
    retain: bool | int = False  # mosquitto_sub writes 0 and 1
    received_at: str | None = None


def read_samples(path: Path) -> Iterator[Sample]:
    """The messages of a file, one after the other; a line without `id` is called by its number.

    Raises:
        SampleError: a line cannot be used, or the file cannot be read.
    """
    for number, line in _lines(path):
        message = _decode(path, number, line, _MessageLine)
        received_us = None if message.received_at is None else instant(message.received_at)
        if message.received_at is not None and received_us is None:
            raise _unusable(
                path, number, f"received_at: {message.received_at[:40]!r} is no ISO time with an offset or Z"
            )
        sample_id = number if message.id is None else message.id
        yield Sample(sample_id, message.topic, _payload(path, number, message), received_us)


def read_expectations(path: Path) -> dict[SampleId, Expectation]:
    """What is expected, by the id of the message. Raises SampleError."""
    found: dict[SampleId, Expectation] = {}
    for number, line in _lines(path):
        expectation = _decode(path, number, line, Expectation)
        optional = expectation.optional if isinstance(expectation.optional, list) else []
        for reading in (*expectation.readings, *optional):
            if reading.ts != RECEIVED and instant(reading.ts) is None:
                raise _unusable(path, number, f"ts: {reading.ts[:40]!r} is neither RECEIVED nor an ISO time with Z")
        if expectation.id in found:
            raise _unusable(path, number, f"id {expectation.id!r} was there before")
        found[expectation.id] = expectation
    return found


RECEIVED = "RECEIVED"


def instant(text: str) -> int | None:
    """µs since 1970 UTC of an ISO time with an offset or Z; more than six digits are cut. None for anything else."""
    try:
        found = datetime.fromisoformat(text)
        return None if found.tzinfo is None else microseconds(found)
    except (ValueError, OverflowError):
        return None


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except OSError as error:
        raise SampleError(f"{path} cannot be read: {error.strerror or error}") from error


def _decode(path: Path, number: int, line: bytes, kind: type[_Line]) -> _Line:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _unusable(path, number, str(error)) from error


def _payload(path: Path, number: int, message: _MessageLine) -> bytes:
    if (message.payload is msgspec.UNSET) == (message.payload_base64 is None):
        raise _unusable(path, number, "expected either `payload` or `payload_base64`")
    if message.payload_base64 is not None:
        try:
            return base64.b64decode(message.payload_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise _unusable(path, number, f"payload_base64: {error}") from error
    raw = bytes(message.payload) if isinstance(message.payload, msgspec.Raw) else b""
    # A text is the payload itself; any other JSON value is sent as it is written here, digit by digit.
    return msgspec.json.decode(raw, type=str).encode() if raw.startswith(b'"') else raw


def _unusable(path: Path, number: int, why: str) -> SampleError:
    return SampleError(
        f"{path}:{number}: {why}; a line is one message as {{id, topic, payload | payload_base64, received_at?}} "
        "or one expectation as {id, readings: [{device_id, metric, ts, value, unit?}]}"
    )
