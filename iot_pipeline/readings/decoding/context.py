"""One record that is being decoded: what all its values share, and how each of them becomes a row.

Which records a document has and where their values are is `records.py`.
"""

from dataclasses import dataclass

from iot_pipeline.readings.decoding.binding import LONGEST_NAME, Limits, resolve
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.decoding.targets import Target
from iot_pipeline.readings.language.fields import Json, Key
from iot_pipeline.readings.language.values import BadValue, NoValue, split_unit
from iot_pipeline.readings.schema import QuarantineReason

UNKNOWN_TIME = -(1 << 62)
"""Event time of a record whose values may have times of their own."""


@dataclass(slots=True)
class RecordContext:
    """What all values of one record share."""

    record: Json
    root: Json
    key: Key
    where: str | None  # name of the record when the message holds several
    device: str
    event_us: int
    quality: str
    sink: Sink
    received_us: int
    limits: Limits

    def emit(self, target: Target, value: Json) -> None:
        """Turn one value, which may be null, into a row, a problem or nothing."""
        sink = self.sink
        if value is None:
            sink.nulls += 1
            return
        metric = target.metric
        name = metric if type(metric) is str else resolve(metric, self.record, self.root, self.key)
        if not name or len(name) > LONGEST_NAME:
            what = f"metric name of {len(name)} characters" if name else "no name for the metric"
            sink.reject(self._field(target.path), QuarantineReason.BAD_VALUE, what)
            return
        if target.special:
            self._emit_special(target, name, value)
            return
        if type(value) is float and target.direct:
            number: float | None = value
            text: str | None = None
        else:
            try:
                coerced = target.coerce(value)
            except BadValue as error:
                sink.reject(self._field(target.path), QuarantineReason.BAD_VALUE, str(error))
                return
            except NoValue:
                sink.nulls += 1
                return
            if coerced is None:
                return
            number, text = coerced
        unit = target.unit
        if unit is not None and type(unit) is not str:
            unit = resolve(unit, self.record, self.root, self.key)
        sink.rows.append((sink.message, self.event_us, self.device, name, number, text, unit, self.quality))

    def _emit_special(self, target: Target, name: str, value: Json) -> None:
        """A value with a time, a quality or a unit of its own, or a metric that decides its scale."""
        sink, at = self.sink, (self.record, self.root, self.key)
        own_unit = None
        if target.unit_in_text and type(value) is str:
            value, own_unit = split_unit(value)
        try:
            coerced = target.coerce_for(name)(value)
        except BadValue as error:
            sink.reject(self._field(target.path), QuarantineReason.BAD_VALUE, str(error))
            return
        except NoValue:
            sink.nulls += 1
            return
        if coerced is None:
            return
        event_us = None if target.time is None else target.time(*at)
        if event_us is not None:
            refused = self.limits.refuse(event_us, self.received_us)
            if refused is not None:
                sink.reject(self._field(target.path), QuarantineReason.CLOCK, refused)
                return
        elif self.event_us == UNKNOWN_TIME:
            sink.reject(self._field(target.path), QuarantineReason.NO_TIMESTAMP, "no usable event time")
            return
        else:
            event_us = self.event_us
        unit = resolve(target.unit, *at) or own_unit
        quality = self.quality if target.quality is None else target.quality(*at)
        sink.rows.append((sink.message, event_us, self.device, name, *coerced, unit, quality))

    def _field(self, path: str) -> str:
        return path if self.where is None else f"{self.where}.{path}" if path else self.where
