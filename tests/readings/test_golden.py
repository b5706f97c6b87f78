"""Golden cases: what a message says, written so that people can read and add them (golden/*.yaml).

A file without `mapping` uses the built-in ones. A case has `topic` and `payload` (an object becomes
JSON) or `raw` (text as it is) or `sparkplug`, or several of them under `messages`. `readings` are
[device, metric, value or text, unit, time]; `rejected` are [reason, field]. Received: `received`.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
import yaml

from iot_pipeline.protocols.sparkplug_b import DataType, Metric, Payload, encode_payload
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.language.times import EPOCH, MICROSECOND
from tests.readings.landed import BUILT_IN, NOW, Sent, decode, mappings_of

GOLDEN = Path(__file__).parent / "golden"


class Message(msgspec.Struct, forbid_unknown_fields=True):
    topic: str
    payload: object = msgspec.UNSET
    raw: str | None = None
    sparkplug: dict[str, object] | None = None
    received: datetime = NOW


class Case(msgspec.Struct, forbid_unknown_fields=True):
    case: str
    readings: list[list[object]] = []
    rejected: list[list[str | None]] = []
    attributes: dict[str, dict[str, object]] = {}
    nulls: int = 0
    messages: list[Message] = []
    topic: str | None = None
    payload: object = msgspec.UNSET
    raw: str | None = None
    sparkplug: dict[str, object] | None = None
    received: datetime = NOW

    def sent(self) -> list[Sent]:
        own = [Message(self.topic, self.payload, self.raw, self.sparkplug, self.received)] if self.topic else []
        return [(message.received, message.topic, _bytes(message)) for message in [*self.messages, *own]]


class GoldenFile(msgspec.Struct, forbid_unknown_fields=True):
    cases: list[Case]
    mapping: dict[str, object] | None = None


def _bytes(message: Message) -> bytes:
    if message.raw is not None:
        return message.raw.encode()
    if message.sparkplug is None:
        return msgspec.json.encode(message.payload)
    return encode_payload(_sparkplug(message.sparkplug))


class Certificate(msgspec.Struct, forbid_unknown_fields=True):
    timestamp_ms: int | None = None
    seq: int | None = None
    metrics: list[dict[str, object]] = []


def _sparkplug(content: dict[str, object]) -> Payload:
    certificate = msgspec.convert(content, Certificate)
    metrics = []
    for metric in certificate.metrics:
        datatype = DataType[str(metric.get("datatype", "UNKNOWN"))]
        metrics.append(Metric(**{**metric, "datatype": datatype}))  # type: ignore[arg-type]
    return Payload(certificate.timestamp_ms, certificate.seq, metrics)


def _cases() -> Iterator[object]:
    for path in sorted(GOLDEN.glob("*.yaml")):
        file = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), GoldenFile)
        mapping = None if file.mapping is None else yaml.safe_dump(file.mapping)
        for case in file.cases:
            yield pytest.param(mapping, case, id=f"{path.stem}: {case.case}")


def _readings(sink: Sink) -> list[list[object]]:
    found: list[list[object]] = []
    for _, event_us, device, metric, value, text, unit, quality in sink.rows:
        at = (EPOCH + event_us * MICROSECOND).isoformat().replace("+00:00", "Z")
        reading: list[object] = [device, metric, value if text is None else text, unit, at]
        found.append(reading if quality == "good" else [*reading, quality])
    return found


@pytest.mark.parametrize(("mapping", "case"), list(_cases()))
def test_golden(mapping: str | None, case: Case) -> None:
    sink = decode(BUILT_IN if mapping is None else mappings_of(mapping), case.sent())
    assert _readings(sink) == [_expected(reading) for reading in case.readings]
    assert [[problem.reason.value, problem.field] for problem in sink.problems] == case.rejected
    assert sink.nulls == case.nulls
    for device, attributes in case.attributes.items():
        assert sink.devices[device].attributes == attributes


def _expected(reading: list[object]) -> list[object]:
    """A time may be written without its day, which is then the day of NOW."""
    at = str(reading[4])
    full = at if "T" in at else f"{NOW.astimezone(UTC):%Y-%m-%d}T{at}Z"
    return [*reading[:4], full, *reading[5:]]
