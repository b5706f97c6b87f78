"""Decoding sample messages one by one: what each becomes, and why not.

A message is judged by itself: repetitions of a reading are left out within a message, as storage does
everywhere, and shown from one message to the next, so that equal receive times hide nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields

import msgspec

from iot_pipeline.readings.decoding.binding import Limits
from iot_pipeline.readings.decoding.births import BirthBook
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Row, Sink
from iot_pipeline.readings.language.mapping import MappingSet
from iot_pipeline.readings.language.model import Mapping as MappingModel
from iot_pipeline.readings.language.times import EPOCH, MICROSECOND
from iot_pipeline.readings.schema import Quality
from iot_pipeline.readings.tryout.samples import Expectation, Sample, SampleId
from iot_pipeline.settings import Settings

_YEAR_1_US = -62_135_596_800_000_000


@dataclass(frozen=True, slots=True)
class _AnyPast(Limits):
    """Limits of a message of which nobody knows when it was received: it may be old, but not of the future."""

    def for_mapping(self, mapping: MappingModel) -> Limits:  # noqa: ARG002
        """The same for every mapping."""
        return self

    def refuse(self, event_us: int, received_us: int) -> str | None:
        """What comes after now, or before the calendar."""
        if event_us < _YEAR_1_US:
            return "event time is before the year 1"
        return None if event_us <= received_us + self.skew_us else "event time is in the future"


class TriedReading(msgspec.Struct, omit_defaults=True):
    """A reading that a message holds. `value` is a text where the reading is one. `ts`: ISO, UTC."""

    device_id: str
    metric: str
    ts: str
    value: int | float | str
    unit: str | None = None
    quality: str = Quality.GOOD.value


class QuarantinedField(msgspec.Struct):
    """A field, record or line of a message that could not be read."""

    field: str
    reason: str
    detail: str


class Tried(msgspec.Struct, omit_defaults=True):
    """What became of a message: decoded, no_reading or quarantined."""

    id: SampleId
    outcome: str
    received_at: str
    readings: list[TriedReading]
    reason: str | None = None
    detail: str | None = None
    quarantined_fields: list[QuarantinedField] = []


class Trial:
    """Decodes samples by some mappings; what Sparkplug sessions told carries over from sample to sample."""

    def __init__(self, mappings: MappingSet, settings: Settings, received_us: int) -> None:
        """`received_us`: when samples were received that do not tell it, µs since 1970 UTC."""
        self._mappings, self._settings, self._received_us = mappings, settings, received_us
        limits = limits_of(settings)
        births = BirthBook()
        any_past = _AnyPast(**{field.name: getattr(limits, field.name) for field in fields(limits)})
        self._decoder = MessageDecoder(mappings, limits, births)
        self._timeless = MessageDecoder(mappings, any_past, births)

    def fresh(self) -> "Trial":
        """The same mappings, and nothing remembered."""
        return Trial(self._mappings, self._settings, self._received_us)

    def received_us(self, sample: Sample) -> int:
        """When a sample was received."""
        return self._received_us if sample.received_us is None else sample.received_us

    def decode(self, sample: Sample) -> Tried:
        """Decode one sample."""
        sink = Sink()
        sink.begin(0)
        decoder = self._timeless if sample.received_us is None else self._decoder
        received_us = self.received_us(sample)
        decoder.decode(sample.topic, sample.payload, received_us, sink)
        received_at, readings = iso(received_us), _readings(sink.rows)
        fields = [
            QuarantinedField(problem.field, problem.reason.value, problem.detail)
            for problem in sink.problems
            if problem.field is not None
        ]
        if readings or not sink.problems:
            outcome = "decoded" if readings else "no_reading"
            return Tried(sample.id, outcome, received_at, readings, quarantined_fields=fields)
        first = sink.problems[0]
        return Tried(sample.id, "quarantined", received_at, [], first.reason.value, first.detail, fields)


def try_all(
    trial: Trial,
    samples: Iterable[Sample],
    expectations: Mapping[SampleId, Expectation],
    kept: Mapping[SampleId, Sample],
) -> Iterator[tuple[Sample, Tried]]:
    """Decode samples in their order; one whose expectation says so in a state of its own as well.

    Args:
        trial: where to decode; it sees every sample.
        samples: any number of them, taken one by one.
        expectations: by id of a sample.
        kept: the samples that some expectation wants to come `after`.
    """
    for sample in samples:
        tried = trial.decode(sample)
        expectation = expectations.get(sample.id)
        if expectation is not None and expectation.alone:
            own = trial.fresh()
            for earlier in expectation.after:
                own.decode(kept[earlier])
            tried = own.decode(sample)
        yield sample, tried


def keep(samples: Iterable[Sample], wanted: Collection[SampleId]) -> dict[SampleId, Sample]:
    """The samples with these ids."""
    return {sample.id: sample for sample in samples if sample.id in wanted}


def _readings(rows: Iterable[Row]) -> list[TriedReading]:
    found: dict[tuple[str, str, str | None, int], TriedReading] = {}
    for _, event_us, device, metric, value, text, unit, quality in rows:
        reading = TriedReading(device, metric, iso(event_us), _told(value, text), unit, quality)
        found.setdefault((device, metric, unit, event_us), reading)
    return list(found.values())


def _told(value: float | None, text: str | None) -> float | int | str:
    if value is None:
        return text or ""
    # Integers past 2^53 have their exact digits beside the value.
    return int(text) if text is not None and text.lstrip("-").isdigit() else value


def iso(us: int) -> str:
    """µs since 1970 UTC as ISO text with Z; milliseconds or microseconds only where there are any."""
    precision = "seconds" if us % 1_000_000 == 0 else "milliseconds" if us % 1_000 == 0 else "microseconds"
    return (EPOCH + us * MICROSECOND).isoformat(timespec=precision).replace("+00:00", "Z")
