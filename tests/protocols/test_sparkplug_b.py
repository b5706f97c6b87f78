import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iot_pipeline.protocols.sparkplug_b import (
    DataType,
    MessageType,
    Metric,
    MetricValue,
    Payload,
    SparkplugError,
    SparkplugTopic,
    decode_payload,
    encode_payload,
    parse_topic,
    typed_value,
)

UINT64 = st.integers(0, 2**64 - 1)
VALUES: dict[DataType, st.SearchStrategy[MetricValue]] = {
    DataType.INT8: st.integers(-(2**7), 2**7 - 1),
    DataType.INT16: st.integers(-(2**15), 2**15 - 1),
    DataType.INT32: st.integers(-(2**31), 2**31 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.UINT8: st.integers(0, 2**8 - 1),
    DataType.UINT16: st.integers(0, 2**16 - 1),
    DataType.UINT32: st.integers(0, 2**32 - 1),
    DataType.UINT64: UINT64,
    DataType.DATETIME: UINT64,
    DataType.FLOAT: st.floats(width=32, allow_nan=False),
    DataType.DOUBLE: st.floats(allow_nan=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: st.text(),
    DataType.BYTES: st.binary(),
}
PROPERTIES = st.dictionaries(
    st.text(min_size=1), st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1)), max_size=2
)


@st.composite
def metrics(draw: st.DrawFn) -> Metric:
    datatype = draw(st.sampled_from(sorted(VALUES)))
    is_null = draw(st.booleans())
    return Metric(
        draw(st.text()),
        draw(st.none() | UINT64),
        draw(st.none() | UINT64),
        datatype,
        None if is_null else draw(VALUES[datatype]),
        is_null,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(PROPERTIES),
    )


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.builds(Payload, UINT64, st.none() | st.integers(0, 255), st.lists(metrics(), max_size=4)))
def test_what_is_encoded_is_decoded(payload: Payload) -> None:
    assert decode_payload(encode_payload(payload)) == payload


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_the_one_error(data: bytes) -> None:
    try:
        decode_payload(data)
    except SparkplugError:
        return


@given(st.data())
def test_a_damaged_payload_is_a_payload_or_the_one_error(data: st.DataObject) -> None:
    damaged = bytearray(encode_payload(Payload(1, 2, [Metric("temperature", 3, 4, DataType.STRING, "ünïcode")])))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        decode_payload(bytes(damaged))
    except SparkplugError:
        return


def test_the_wire_is_the_one_of_the_specification() -> None:
    encoded = encode_payload(Payload(5, 1, [Metric("t", 7, 6, DataType.DOUBLE, 21.5)]))
    metric = b"\x0a\x01t\x10\x07\x18\x06\x20\x0a\x69" + struct.pack("<d", 21.5)
    assert encoded == b"\x08\x05\x12" + bytes([len(metric)]) + metric + b"\x18\x01"


@pytest.mark.parametrize(
    ("wire", "datatype", "meaning"),
    [
        (0xFF, DataType.INT8, -1),
        (0xFFFF_FFFF, DataType.INT8, -1),
        (0xFFFF_FFFF_FFFF_FFFF, DataType.INT64, -1),
        (0x8000, DataType.INT16, -32768),
        (300, DataType.INT8, None),
        (300, DataType.UINT8, None),
        (2**64 - 1, DataType.UINT64, 2**64 - 1),
        (1, DataType.BOOLEAN, True),
        (3, DataType.DOUBLE, 3.0),
        ("x", DataType.DOUBLE, None),
    ],
)
def test_a_wire_value_means_what_its_datatype_says(
    wire: MetricValue, datatype: DataType, meaning: MetricValue | None
) -> None:
    assert typed_value(wire, datatype) == meaning


@pytest.mark.parametrize(
    "metric",
    [
        Metric("x", datatype=DataType.INT8, value=200),
        Metric("x", datatype=DataType.UINT8, value=-1),
        Metric("x", datatype=DataType.DOUBLE, value="warm"),
        Metric("x", alias=-1),
    ],
)
def test_a_value_that_does_not_fit_is_refused(metric: Metric) -> None:
    with pytest.raises(SparkplugError):
        encode_payload(Payload(1, 1, [metric]))


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("spBv1.0/g/NBIRTH/n", SparkplugTopic("g", MessageType.NBIRTH, "n")),
        ("spBv1.0/g/DDATA/n/d", SparkplugTopic("g", MessageType.DDATA, "n", "d")),
        ("spBv1.0/g/DDATA/n", None),
        ("spBv1.0/g/NDATA/n/d", None),
        ("spBv1.0/STATE/host", None),
        ("spBv1.0/g/XDATA/n", None),
        ("spBv1.0//NDATA/n", None),
        ("spAv1.0/g/NDATA/n", None),
    ],
)
def test_topics_are_taken_apart(topic: str, expected: SparkplugTopic | None) -> None:
    assert parse_topic(topic) == expected
    if expected is not None:
        assert str(expected) == topic
