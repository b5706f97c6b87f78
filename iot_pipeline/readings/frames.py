"""From landed messages to columns: what they say, which readings count and in which order they are stored.

Pure: messages and a decoder in, frames out, equal for equal messages. Nothing is written here.
"""

import contextlib
import gc
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from operator import itemgetter

import polars as pl

from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.readings.decoding.bulk_columns import ROW_SCHEMA, Columns, read_group
from iot_pipeline.readings.decoding.decoder import MessageDecoder
from iot_pipeline.readings.decoding.sink import Description, Row, Sink
from iot_pipeline.readings.schema import BIRTH_SCHEMA, PAYLOAD_KEPT, QUARANTINE_SCHEMA, READING_SCHEMA

ARRIVAL = ("received_at", "collector", "batch", "row")
# Of readings in files. Without repetitions it is a strict order, so equal readings are stored alike.
_ROW_ORDER = ("device_id", "metric", "event_us", "unit")
# Messages are decoded in portions of this size, so that what is between bytes and columns stays small.
PORTION_BYTES = 32_000_000
PORTION_MESSAGES = 50_000
SLICE_ROWS = 500_000  # readings that are made whole at once

_NO_ROWS = pl.DataFrame(schema=ROW_SCHEMA)
_NO_MESSAGES = pl.DataFrame(schema={**LANDING_SCHEMA, "message_id": pl.String()})


@dataclass(frozen=True)
class Decoded:
    """What the messages of some landed rows say.

    Attributes:
        messages: the landed rows in order of arrival, with `message_id`.
        rows: readings as decoders give them (ROW_SCHEMA), repetitions too; `message` is a row of `messages`.
        order: rows that count, which are the first copies, in the order in which readings are stored.
        sink: problems, devices and counts. Its own rows are in `rows`.
    """

    messages: pl.DataFrame
    rows: pl.DataFrame
    order: pl.Series
    sink: Sink

    @property
    def found(self) -> pl.Series:
        """The message of each reading, repetitions too."""
        return self.rows["message"]

    @cached_property
    def readings(self) -> pl.DataFrame:
        """READING_SCHEMA and `message`, first copies only, by arrival. Large: `slices` gives it bit by bit."""
        by_arrival = pl.DataFrame({"row": self.order, "message": self.found[self.order]}).sort("message", "row")
        return self.readings_of(by_arrival["row"]).with_columns(by_arrival["message"])

    def readings_of(self, rows: pl.Series) -> pl.DataFrame:
        """READING_SCHEMA for some of `rows`, in the order given."""
        told = self.rows[rows]
        around = self.messages.select("received_at", "source", "message_id")[told["message"]]
        both = pl.concat([told, around], how="horizontal")
        return both.with_columns(event_ts=pl.col("event_us").cast(READING_SCHEMA["event_ts"])).select(
            list(READING_SCHEMA)
        )

    def slices(self, rows: pl.Series) -> Iterator[pl.DataFrame]:
        """The same in frames of at most SLICE_ROWS readings, one after the other; one when there are none."""
        for start in range(0, max(len(rows), 1), SLICE_ROWS):
            yield self.readings_of(rows.slice(start, SLICE_ROWS))

    def heard(self) -> pl.DataFrame:
        """By device of which a reading counts: first and last time, number, told again, last message."""
        stored = self.rows.lazy().select("device_id", "event_us", "message").select(pl.all().gather(self.order))
        received = pl.lit(self.messages["received_at"])
        return (
            stored.group_by("device_id")
            .agg(
                first_event_ts=pl.col("event_us").min().cast(READING_SCHEMA["event_ts"]),
                last_event_ts=pl.col("event_us").max().cast(READING_SCHEMA["event_ts"]),
                reading_count=pl.len().cast(pl.Int64),
                message=pl.col("message").max(),
            )
            .with_columns(last_received_at=received.gather(pl.col("message")))
            .join(self._told(), on="device_id", how="left")
            .with_columns(
                reading_duplicates=pl.col("told").fill_null(pl.col("reading_count")) - pl.col("reading_count")
            )
            .drop("told")
            .collect()
        )

    def _told(self) -> pl.LazyFrame:
        """Readings by device, repetitions too; nothing where none was told again, which is nearly always."""
        rows = self.rows.lazy() if self.rows.height > len(self.order) else self.rows.clear().lazy()
        return rows.group_by("device_id").agg(told=pl.len().cast(pl.Int64))


def decode_frame(landed: pl.DataFrame, decoder: MessageDecoder) -> Decoded:
    """Decode landed rows (LANDING_SCHEMA, any order) in their order of arrival; first copies win."""
    sink = Sink()
    if landed.is_empty():
        return Decoded(_NO_MESSAGES, _NO_ROWS, pl.Series(dtype=pl.UInt32), sink)
    messages = landed.sort(ARRIVAL).with_columns(
        message_id=pl.format("{}-{}-{}", "collector", "batch", "row"),
    )
    rows = decode_rows(messages, decoder, sink)
    return Decoded(messages, rows, _stored_order(rows), sink)


def decode_rows(messages: pl.DataFrame, decoder: MessageDecoder, sink: Sink) -> pl.DataFrame:
    """All readings of messages in order of arrival (ROW_SCHEMA); everything else goes into `sink`."""
    with no_cycles():
        parts = [part for portion in _portions(messages) for part in _decode_portion(*portion, decoder, sink)]
    return pl.concat([_NO_ROWS, *parts])


@contextlib.contextmanager
def no_cycles() -> Iterator[None]:
    """Let the garbage collector rest: decoding makes millions of objects and no cycles, and it would look at each.

    Whoever drops what was decoded before the end of the block is spared the look at what is left of it too.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _portions(messages: pl.DataFrame) -> Iterator[tuple[int, pl.DataFrame]]:
    """Topic, payload and time of receipt (µs) of messages, some at a time, with the number of the first."""
    told = messages.select("topic", "payload", received_us=pl.col("received_at").dt.epoch("us"))
    sizes = told["payload"].bin.size().cum_sum()
    first = 0
    while first < told.height:
        before = int(sizes[first - 1]) if first else 0
        end = int(sizes.search_sorted(before + PORTION_BYTES, side="right"))
        end = min(max(end, first + 1), first + PORTION_MESSAGES)
        yield first, told.slice(first, end - first)
        first = end


def _decode_portion(first: int, portion: pl.DataFrame, decoder: MessageDecoder, sink: Sink) -> Iterator[pl.DataFrame]:
    """Rows of a portion. What is told at once is read first; what it tells of devices waits for its turn."""
    columns = (portion["topic"].to_list(), portion["payload"].to_list(), portion["received_us"].to_list())
    messages = list(zip(*columns, strict=True))
    read = [read_group(group) for group in decoder.groups(first, messages)]
    yield from (columns.rows for columns in read)
    sink.nulls += sum(columns.nulls for columns in read)
    left: set[int] = set(range(first, first + len(messages))).difference(*(columns.read for columns in read))
    described, descriptions = _in_order(read)
    position = 0
    for number in sorted(left):
        until = bisect_left(described, number, position)
        sink.describe_all(islice(descriptions, until - position))
        position = until
        sink.begin(number)
        topic, payload, received_us = messages[number - first]
        decoder.decode(topic, payload, received_us, sink)
    sink.describe_all(descriptions)
    if sink.rows:
        yield _rows(sink.rows)
        sink.rows.clear()


def _in_order(read: Sequence[Columns]) -> tuple[list[int], Iterator[Description]]:
    """What is told of devices by the messages of all groups, and the number of the message of each."""
    if len(read) == 1:
        return read[0].described, read[0].descriptions
    by_message = itemgetter(0)
    told = sorted(chain.from_iterable(columns.descriptions for columns in read), key=by_message)
    return list(map(by_message, told)), iter(told)


def _rows(rows: list[Row]) -> pl.DataFrame:
    columns: Sequence[Sequence[object]] = list(zip(*rows, strict=True))
    return pl.DataFrame(
        [pl.Series(name, column, kind) for (name, kind), column in zip(ROW_SCHEMA.items(), columns, strict=True)]
    )


def _stored_order(rows: pl.DataFrame) -> pl.Series:
    """Positions of the first copy of each reading, in the order of storing."""
    order = rows.select(pl.arg_sort_by(*_ROW_ORDER, "message", maintain_order=True)).to_series().cast(pl.UInt32)
    kept = []
    for start in range(0, len(order), SLICE_ROWS):
        # One row more in front, to compare the first one with.
        slice_rows = order.slice(max(start - 1, 0), SLICE_ROWS + min(start, 1))
        identities = rows.select(_ROW_ORDER)[slice_rows]
        repeated = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _ROW_ORDER)
        first = identities.select(~repeated | (pl.int_range(pl.len()) == 0)).to_series()
        keep = slice_rows.filter(first)
        kept.append(keep.slice(1) if start else keep)
    return pl.concat(kept) if kept else order


def quarantine_frame(decoded: Decoded, decoder: MessageDecoder) -> pl.DataFrame:
    """What could not be read, in order of arrival (QUARANTINE_SCHEMA)."""
    problems = decoded.sink.problems
    if not problems:
        return pl.DataFrame(schema=QUARANTINE_SCHEMA)
    messages = decoded.messages[[problem.message for problem in problems]]
    mappings = [decoder.mapping_of(topic) for topic in messages["topic"]]
    return messages.select(
        "received_at",
        "source",
        "topic",
        pl.col("payload").bin.slice(0, PAYLOAD_KEPT),
        payload_size=pl.col("payload").bin.size().cast(pl.Int64),
        reason=pl.Series([problem.reason.value for problem in problems], dtype=pl.String),
        detail=pl.Series([problem.detail for problem in problems], dtype=pl.String),
        mapping=pl.Series([mapping and mapping.name for mapping in mappings], dtype=pl.String),
        mapping_version=pl.Series([mapping and mapping.version for mapping in mappings], dtype=pl.String),
        message_id="message_id",
        field=pl.Series([problem.field for problem in problems], dtype=pl.String),
        device_id=_devices_of(messages["topic"], decoded, decoder),
    ).select(list(QUARANTINE_SCHEMA))


def _devices_of(topics: pl.Series, decoded: Decoded, decoder: MessageDecoder) -> pl.Series:
    """Whose messages of these topics are: as the mapping tells by the topic, else the only device heard on it."""
    wanted = {topic: decoder.device_of(topic) for topic in topics.unique()}
    unknown = pl.Series([topic for topic, device in wanted.items() if device is None], dtype=pl.String)
    if len(unknown):
        asked = (
            decoded.messages.select("topic").with_row_index("message").filter(pl.col("topic").is_in(unknown.implode()))
        )
        heard = (
            decoded.rows.select("message", "device_id")
            .join(asked.cast({"message": decoded.rows.schema["message"]}), on="message")
            .group_by("topic")
            .agg(device_id=pl.col("device_id").first(), devices=pl.col("device_id").n_unique())
            .filter(pl.col("devices") == 1)
        )
        wanted |= dict(heard.select("topic", "device_id").iter_rows())
    return topics.replace_strict(list(wanted), list(wanted.values()), return_dtype=pl.String)


def birth_frame(decoded: Decoded, is_birth: pl.Series) -> pl.DataFrame:
    """The Sparkplug births among the messages, in order of arrival (BIRTH_SCHEMA)."""
    return decoded.messages.filter(is_birth).select(list(BIRTH_SCHEMA))
