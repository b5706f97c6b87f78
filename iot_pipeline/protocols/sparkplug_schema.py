"""The protobuf messages of Sparkplug B, built at run time from the specification's field numbers.

Chapter 6 of the Sparkplug 3.0 specification defines them. Building the descriptor here needs
neither protoc nor generated code and parses at the speed of the C library. What holds no single value
(DataSet, Template, nested PropertySet) is declared as bytes, which it is on the wire, and not taken apart.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "iot_pipeline.sparkplug_b"
_Field = descriptor_pb2.FieldDescriptorProto

# (name, field number, protobuf type) of scalar fields.
_PAYLOAD_FIELDS = (
    ("timestamp", 1, _Field.TYPE_UINT64),
    ("seq", 3, _Field.TYPE_UINT64),
    ("uuid", 4, _Field.TYPE_STRING),
    ("body", 5, _Field.TYPE_BYTES),
)
_METRIC_FIELDS = (
    ("name", 1, _Field.TYPE_STRING),
    ("alias", 2, _Field.TYPE_UINT64),
    ("timestamp", 3, _Field.TYPE_UINT64),
    ("datatype", 4, _Field.TYPE_UINT32),
    ("is_historical", 5, _Field.TYPE_BOOL),
    ("is_transient", 6, _Field.TYPE_BOOL),
    ("is_null", 7, _Field.TYPE_BOOL),
)
_METRIC_VALUES = (
    ("int_value", 10, _Field.TYPE_UINT32),
    ("long_value", 11, _Field.TYPE_UINT64),
    ("float_value", 12, _Field.TYPE_FLOAT),
    ("double_value", 13, _Field.TYPE_DOUBLE),
    ("boolean_value", 14, _Field.TYPE_BOOL),
    ("string_value", 15, _Field.TYPE_STRING),
    ("bytes_value", 16, _Field.TYPE_BYTES),
    ("dataset_value", 17, _Field.TYPE_BYTES),
    ("template_value", 18, _Field.TYPE_BYTES),
    ("extension_value", 19, _Field.TYPE_BYTES),
)
_PROPERTY_FIELDS = (("type", 1, _Field.TYPE_UINT32), ("is_null", 2, _Field.TYPE_BOOL))
_PROPERTY_VALUES = (
    ("int_value", 3, _Field.TYPE_UINT32),
    ("long_value", 4, _Field.TYPE_UINT64),
    ("float_value", 5, _Field.TYPE_FLOAT),
    ("double_value", 6, _Field.TYPE_DOUBLE),
    ("boolean_value", 7, _Field.TYPE_BOOL),
    ("string_value", 8, _Field.TYPE_STRING),
    ("propertyset_value", 9, _Field.TYPE_BYTES),
    ("propertysets_value", 10, _Field.TYPE_BYTES),
    ("extension_value", 11, _Field.TYPE_BYTES),
)
_Fields = tuple[tuple[str, int, "_Field.Type.ValueType"], ...]


def _add_scalars(message: descriptor_pb2.DescriptorProto, fields: _Fields, *, oneof: str | None = None) -> None:
    if oneof is not None:
        message.oneof_decl.add(name=oneof)
    for name, number, kind in fields:
        field = message.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
        if oneof is not None:
            field.oneof_index = 0


def _add_message(
    message: descriptor_pb2.DescriptorProto, name: str, number: int, type_name: str, *, repeated: bool = False
) -> None:
    label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
    type_name = f".{_PACKAGE}.Payload.{type_name}"
    message.field.add(name=name, number=number, type=_Field.TYPE_MESSAGE, label=label, type_name=type_name)


def _payload_class() -> Any:  # protobuf makes the class at run time: no static type exists
    file = descriptor_pb2.FileDescriptorProto(name="iot_pipeline/sparkplug_b.proto", package=_PACKAGE, syntax="proto2")
    payload = file.message_type.add(name="Payload")
    _add_scalars(payload, _PAYLOAD_FIELDS)
    _add_message(payload, "metrics", 2, "Metric", repeated=True)

    metric = payload.nested_type.add(name="Metric")
    _add_scalars(metric, _METRIC_FIELDS)
    _add_scalars(metric, _METRIC_VALUES, oneof="value")
    _add_message(metric, "properties", 9, "PropertySet")

    properties = payload.nested_type.add(name="PropertySet")
    properties.field.add(name="keys", number=1, type=_Field.TYPE_STRING, label=_Field.LABEL_REPEATED)
    _add_message(properties, "values", 2, "PropertyValue", repeated=True)

    value = payload.nested_type.add(name="PropertyValue")
    _add_scalars(value, _PROPERTY_FIELDS)
    _add_scalars(value, _PROPERTY_VALUES, oneof="value")

    # A pool of our own: other libraries may bring a descriptor of the same messages.
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


PayloadMessage = _payload_class()
