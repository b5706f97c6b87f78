"""Datatypes of Sparkplug B and the meaning of a wire value under each of them.

Nothing here knows protobuf: a wire value is the Python value that some field carried.
"""

from enum import IntEnum

MetricValue = bool | int | float | str | bytes


class DataType(IntEnum):
    """Datatype codes of the specification. Arrays are carried as their packed bytes."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


_SIGNED_BITS = {DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64}
_UNSIGNED_BITS = {DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64}
_UNSIGNED_BITS[DataType.DATETIME] = 64
_TEXTS = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})
_BLOBS = frozenset({DataType.BYTES, DataType.FILE, *(kind for kind in DataType if kind >= DataType.INT8_ARRAY)})
# What holds more than one value, or none that is a number, a truth or a text.
COMPOSITE = _BLOBS | {DataType.DATASET, DataType.TEMPLATE, DataType.PROPERTY_SET, DataType.PROPERTY_SET_LIST}


def typed_value(value: MetricValue | None, datatype: DataType) -> MetricValue | None:
    """The meaning of a wire value under `datatype`; None when it does not fit.

    Signed integers travel in two's complement inside unsigned fields; publishers extend the sign
    to the field's width or stop at the type's own, and both are understood.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return _typed_integer(value, datatype)
    if datatype in (DataType.FLOAT, DataType.DOUBLE):
        return value if isinstance(value, float) else None
    if datatype is DataType.BOOLEAN:
        return value if isinstance(value, bool) else None
    if datatype in _TEXTS:
        return value if isinstance(value, str) else None
    if datatype in _BLOBS:
        return value if isinstance(value, bytes) else None
    return value if datatype is DataType.UNKNOWN else None


def _typed_integer(value: int, datatype: DataType) -> MetricValue | None:
    if datatype in _SIGNED_BITS:
        bits = _SIGNED_BITS[datatype]
        half = 1 << (bits - 1)
        for width in (bits, 32, 64):
            if width >= bits and (1 << width) - half <= value < 1 << width:
                return value - (1 << width)
        return value if -half <= value < half else None
    if datatype in _UNSIGNED_BITS:
        return value if 0 <= value < 1 << _UNSIGNED_BITS[datatype] else None
    if datatype in (DataType.FLOAT, DataType.DOUBLE):
        return float(value)
    if datatype is DataType.BOOLEAN:
        return bool(value) if value in (0, 1) else None
    return value if datatype is DataType.UNKNOWN and 0 <= value < 1 << 64 else None
