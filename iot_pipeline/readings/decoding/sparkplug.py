"""Sparkplug B messages: from bytes to rows, by one mapping, for one topic, with the births in force.

Templates of such a mapping know `{group}`, `{node}`, `{device}`, `{type}` and `{edge}`
(`group/node` or `group/node/device`); any other name is a metric of the birth, and `{@name}` a
property of the metric itself. A property `Quality` is the quality of the reading. Deaths and commands
hold no readings; births and deaths tell the state of a device.
"""

from collections.abc import Callable

from iot_pipeline.protocols.sparkplug_b import (
    COMPOSITE,
    DataType,
    Metric,
    Payload,
    SparkplugError,
    SparkplugTopic,
    decode_payload,
    parse_topic,
    typed_value,
)
from iot_pipeline.readings.decoding.binding import (
    LONGEST_NAME,
    Captures,
    Limits,
    bind_attributes,
    bind_text,
    resolve,
    unit_finder,
    used_paths,
)
from iot_pipeline.readings.decoding.births import Birth, BirthBook, known_type
from iot_pipeline.readings.decoding.sink import DeviceState, Sink
from iot_pipeline.readings.language.fields import Json
from iot_pipeline.readings.language.formats import Reject
from iot_pipeline.readings.language.globs import compile_globs
from iot_pipeline.readings.language.model import LeafRule, Mapping
from iot_pipeline.readings.language.values import BadValue, Coerced, TextRule, compile_coerce
from iot_pipeline.readings.schema import Quality, QuarantineReason

_GOOD = Quality.GOOD.value
_TEXTS = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})
QUALITY_PROPERTY = "Quality"
_OPC_DA = {0b11: Quality.GOOD, 0b01: Quality.UNCERTAIN}


class SparkplugDecoder:
    """Decodes the payloads of one Sparkplug topic by one mapping."""

    def __init__(
        self,
        mapping: Mapping,
        topic: str,
        captures: Captures,
        limits: Limits,
        births: BirthBook,
        *,
        decoder_of: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Bind a mapping to a topic; `decoder_of` gives what decodes another one, such as a device of this node."""
        self._births = births
        self._decoder_of = decoder_of
        self._limits = limits.for_mapping(mapping)
        self._topic = parse_topic(topic)
        known = {**captures, **_names(self._topic)}
        self._fleet = mapping.fleet
        self._device = resolve(bind_text(mapping.device_id, known), {}, {}, None)
        self._received_allowed = mapping.timestamp.fallback == "received"
        self._attribute_names, self._attributes = bind_attributes(mapping, known)
        self._unit_of = unit_finder(mapping, known)
        rule = mapping.leaves or LeafRule()
        self._coerce = compile_coerce(mapping.words, numeric_text=mapping.numeric_text, text_rule=rule.text)
        self._reads_text = rule.text is TextRule.READING
        include, exclude = compile_globs(rule.include), compile_globs(rule.exclude)
        used = frozenset(used_paths(mapping))
        self._include, self._exclude, self._used = include, exclude, used
        self._metric_template, self._known = mapping.metric, known
        self._metrics: dict[str, str | None] = {}  # name in the payload -> name of the metric, None: not wanted

    def __call__(self, payload: bytes, received_us: int, sink: Sink) -> None:
        """Decode one payload into `sink`. Raises Reject when nothing of it can be read."""
        topic = self._topic
        if topic is None:
            raise Reject(QuarantineReason.WRONG_SHAPE, "not a topic of Sparkplug B")
        kind = topic.message_type
        if not (kind.is_birth or kind.is_data or kind.is_death):
            return
        try:
            message = decode_payload(payload)
        except SparkplugError as error:
            raise Reject(QuarantineReason.BAD_PROTOBUF, str(error)) from error
        if kind.is_death:
            self._end(topic, message, received_us, sink)
            return
        if kind.is_birth:
            birth: Birth | None = self._births.remember(topic, message)
        else:
            birth = self._births.in_force(topic) if message.metrics else None
        if self._device is None or len(self._device) > LONGEST_NAME:
            raise Reject(QuarantineReason.NO_DEVICE, "no usable device id")
        if birth is not None and kind.is_birth and self._attributes is not None:
            values = self._attributes(birth.fields, birth.fields, None)
            sink.describe(self._device, self._fleet, self._attribute_names, values)
        for metric in message.metrics:
            self._metric(metric, message, birth, received_us, sink)
        if birth is not None and kind.is_birth:
            self.tell(birth, DeviceState.ONLINE, self._sent(message, received_us), sink)

    def tell(self, birth: Birth, state: DeviceState, since_us: int, sink: Sink) -> None:
        """Note the state of the device, or node, that was born so. One that measures nothing is no device."""
        if self._device is not None and len(self._device) <= LONGEST_NAME and self._measures(birth):
            sink.tell_state(self._device, self._fleet, state, since_us)

    def _end(self, topic: SparkplugTopic, message: Payload, received_us: int, sink: Sink) -> None:
        # A node's death was written when it connected: only the host knows when it died.
        of_device = topic.device is not None
        since_us = self._sent(message, received_us) if of_device else received_us
        for born, birth in self._births.end(topic, message).items():
            decoder = self if (born.device is not None) is of_device else self._decoder_of(str(born))
            if isinstance(decoder, SparkplugDecoder):
                decoder.tell(birth, DeviceState.OFFLINE, since_us, sink)

    def _sent(self, message: Payload, received_us: int) -> int:
        """When a message was sent, as far as its clock can be believed."""
        sent_us = None if message.timestamp_ms is None else message.timestamp_ms * 1000
        return received_us if sent_us is None or self._limits.refuse(sent_us, received_us) else sent_us

    def _measures(self, birth: Birth) -> bool:
        unread = COMPOSITE if self._reads_text else COMPOSITE | _TEXTS
        return any(self._wanted(name) and metric.datatype not in unread for name, metric in birth.by_name.items())

    def _metric(self, metric: Metric, message: Payload, birth: Birth | None, received_us: int, sink: Sink) -> None:
        known = known_type(metric, birth)
        if known is None:
            what = "neither name nor alias" if metric.alias is None else f"alias {metric.alias} without a birth"
            sink.reject(f"alias {metric.alias}", QuarantineReason.UNKNOWN_ALIAS, what)
            return
        name, datatype = known
        wanted = self._wanted(name)
        if wanted is None:
            return
        if metric.is_null:
            sink.nulls += 1
            return
        try:
            event_us = self._event_time(metric, message, received_us)
            coerced = self._value(metric, datatype)
        except Reject as reject:
            sink.reject(name, reject.reason, reject.detail)
            return
        if coerced is not None and self._device is not None:
            unit = self._unit(name, birth)
            quality = _quality(metric) if metric.properties else _GOOD
            sink.rows.append((sink.message, event_us, self._device, wanted, *coerced, unit, quality))

    def _event_time(self, metric: Metric, message: Payload, received_us: int) -> int:
        event_ms = metric.timestamp_ms if metric.timestamp_ms is not None else message.timestamp_ms
        if event_ms is None and not self._received_allowed:
            raise Reject(QuarantineReason.NO_TIMESTAMP, "neither the metric nor the payload has a timestamp")
        event_us = received_us if event_ms is None else event_ms * 1000
        refused = self._limits.refuse(event_us, received_us)
        if refused is not None:
            raise Reject(QuarantineReason.CLOCK, refused)
        return event_us

    def _value(self, metric: Metric, datatype: DataType) -> Coerced | None:
        value = metric.value if metric.datatype is not DataType.UNKNOWN else typed_value(metric.value, datatype)
        if datatype in COMPOSITE or isinstance(value, bytes):
            raise Reject(QuarantineReason.UNSUPPORTED_TYPE, f"{datatype.name} is no single value")
        if value is None:
            raise Reject(QuarantineReason.BAD_VALUE, f"no value that {datatype.name} can hold")
        try:
            return self._coerce(value)
        except BadValue as error:
            raise Reject(QuarantineReason.BAD_VALUE, str(error)) from error

    def _wanted(self, name: str) -> str | None:
        try:
            return self._metrics[name]
        except KeyError:
            known = {**self._known, "path": name, "leaf": name}
            chosen = self._include(name) and not self._exclude(name) and name not in self._used
            metric = resolve(bind_text(self._metric_template, known), {}, {}, None) if chosen else None
            if metric is not None and len(metric) > LONGEST_NAME:
                metric = None
            if len(self._metrics) < 10_000:
                self._metrics[name] = metric
            return metric

    def _unit(self, name: str, birth: Birth | None) -> str | None:
        if birth is None:
            return resolve(self._unit_of(name), {}, {}, None)
        if name not in birth.units:
            born = birth.by_name.get(name)
            fields: dict[str, Json] = dict(birth.fields)
            if born is not None:
                fields |= {f"@{key}": value for key, value in born.properties.items() if not isinstance(value, bytes)}
            birth.units[name] = resolve(self._unit_of(name), fields, fields, None)
        return birth.units[name]


def _quality(metric: Metric) -> str:
    """192 good, 0 bad, 500 stale: a stale value is the last one known, so it is uncertain.

    Codes between are those of OPC Data Access, which some nodes send; their upper bits tell the kind.
    """
    code = metric.properties.get(QUALITY_PROPERTY)
    if type(code) is not int:
        return _GOOD
    if code > 0xFF:
        return Quality.UNCERTAIN.value
    return Quality.BAD.value if code < 0 else _OPC_DA.get(code >> 6, Quality.BAD).value


def _names(topic: SparkplugTopic | None) -> dict[str, str]:
    if topic is None:
        return {}
    levels = [topic.group, topic.node, *([topic.device] if topic.device else [])]
    names = {"group": topic.group, "node": topic.node, "type": topic.message_type.value, "edge": "/".join(levels)}
    return {**names, "device": topic.device} if topic.device else names
