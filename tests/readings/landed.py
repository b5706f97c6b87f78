"""Helpers of the tests of this stage: landing messages by hand and decoding without files."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.clock import landing_minute
from iot_pipeline.files import write_parquet
from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.paths import minute_folder
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.language.mapping import LoadedMapping, MappingSet, load_mappings, parse_mapping
from iot_pipeline.readings.language.times import microseconds
from iot_pipeline.settings import Settings, load_settings

NOW = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
BUILT_IN = load_mappings(None)
Sent = tuple[datetime, str, bytes]  # received at, topic, payload


def settings_in(folder: Path) -> Settings:
    """Settings whose minute window does not depend on the day the tests run."""
    return load_settings(data=folder, minute_start=date(2026, 11, 15))


def mappings_of(text: str) -> MappingSet:
    """A set of one mapping, written as in its file."""
    return MappingSet((parse_mapping(text, "inline.yaml", default_name="inline"),))


def one_mapping(loaded: LoadedMapping) -> MappingSet:
    """A set of one mapping."""
    return MappingSet((loaded,))


def decode_all(decoder: MessageDecoder, messages: Iterable[tuple[str, bytes, int]], sink: Sink) -> None:
    """Decode (topic, payload, received µs since 1970 UTC) one after the other into `sink`."""
    for index, (topic, payload, received_us) in enumerate(messages):
        sink.begin(index)
        decoder.decode(topic, payload, received_us, sink)


def decode(mappings: MappingSet, messages: Iterable[Sent]) -> Sink:
    """Decode messages one after the other, without any file."""
    sink = Sink()
    decoder = MessageDecoder(mappings, limits_of(load_settings()))
    decode_all(decoder, ((topic, payload, microseconds(at)) for at, topic, payload in messages), sink)
    return sink


def land(settings: Settings, messages: Iterable[Sent], *, collector: str = "c-1", batch: int = 1) -> list[datetime]:
    """Land messages as one batch, split over landing minutes as the collector does. Gives the minutes."""
    rows: dict[datetime, list[tuple[object, ...]]] = {}
    for number, (at, topic, payload) in enumerate(messages):
        minute = landing_minute(at, timedelta(seconds=settings.intake_delay_seconds))
        rows.setdefault(minute, []).append((at, "mqtt", topic, payload, 0, False, collector, batch, number))
    for minute, group in rows.items():
        frame = pl.DataFrame(group, schema=LANDING_SCHEMA, orient="row")
        write_parquet(frame, minute_folder(settings.paths.landing, minute) / f"{collector}-{batch}.parquet")
    return sorted(rows)
