"""Many messages of one mapping made columns at once, by a plan (see `bulk.py`).

Only what is beyond doubt is read here: a message of which anything is missing, odd or refused is left
out whole, to be read by itself, so that reasons and results are those of `records.py` in every case.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC
from itertools import compress, repeat
from typing import Any

import polars as pl

from iot_pipeline.readings.decoding.binding import LONGEST_NAME, Limits
from iot_pipeline.readings.decoding.bulk import Group, Plan, Text
from iot_pipeline.readings.decoding.bulk_records import Records
from iot_pipeline.readings.decoding.sink import Description
from iot_pipeline.readings.language.times import TimeUnit, parse_iso
from iot_pipeline.readings.language.values import EXACT_INTEGERS
from iot_pipeline.readings.schema import Quality

# What decoders append to `Sink.rows`, as columns.
ROW_SCHEMA: dict[str, pl.DataType] = {
    "message": pl.UInt32(),
    "event_us": pl.Int64(),
    "device_id": pl.String(),
    "metric": pl.String(),
    "value": pl.Float64(),
    "text": pl.String(),
    "unit": pl.String(),
    "quality": pl.String(),
}
_LARGEST = 1 << 62  # microseconds; more would leave no room for the sums of the limits
_PER_SECOND = {TimeUnit.SECONDS: 1_000_000, TimeUnit.MILLISECONDS: 1_000, TimeUnit.MICROSECONDS: 1}
# One of the forms of time that `parse_iso` reads, and by far the most frequent one.
_UTC_TEXT = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6})?(Z|\+00:00)$"
_MINUTE_CHARACTERS, _SECONDS_FROM = 16, 17


@dataclass(frozen=True, slots=True)
class Columns:
    """What was read of a group.

    Attributes:
        rows: columns of ROW_SCHEMA; rows that could be copies of each other are in order of arrival.
        read: numbers of the messages that were read, also of those without any row.
        nulls: values that are null.
        described: the message of each record that tells about a device, in order of arrival.
        descriptions: what these records tell. An iterator: nothing is kept of what was told before.
    """

    rows: pl.DataFrame
    read: set[int]
    nulls: int
    described: list[int]
    descriptions: Iterator[Description]


def read_group(group: Group) -> Columns:
    """Read of a group what can be read at once."""
    plan = group.plan
    records = Records(group)
    frame = _frame(records)
    odd = set(frame.filter("odd")["slot"].unique().to_list())
    if odd:
        frame = frame.filter(~pl.col("slot").is_in(sorted(odd)))
    values = [_rows(frame, number) for number in range(len(plan.values))]
    described = frame["message"].to_list() if plan.attributes else []
    return Columns(
        pl.concat(values),
        {group.numbers[slot] for slot in records.read if slot not in odd},
        sum(frame[f"value_{number}"].null_count() for number in range(len(plan.values))),
        described,
        _descriptions(records, described, odd) if described else iter(()),
    )


def _frame(records: Records) -> pl.DataFrame:
    """The records as columns: slot, odd, message, event_us, device_id; and value, metric and unit by number."""
    group, plan = records.group, records.group.plan
    received = _of_message(records, group.received_us, pl.Int64())
    columns: dict[str, pl.Expr] = {
        "message": _of_message(records, group.numbers, pl.UInt32()),
        "event_us": received if plan.time is None else _times(records.told(plan.time[0]), plan.time[1]),
        "received_us": received,
        "device_id": _text(records, plan.device, [one.device for one in group.constants]),
    }
    for number, value in enumerate(plan.values):
        columns[f"value_{number}"] = pl.lit(records.told(value.told))
        columns[f"metric_{number}"] = _text(records, value.metric, [one.metrics[number] for one in group.constants])
        columns[f"unit_{number}"] = _text(records, value.unit, [one.units[number] for one in group.constants])
    return pl.DataFrame({"slot": records.slots}).with_columns(**columns).with_columns(odd=_odd(plan, group.limits))


def _of_message(records: Records, values: Sequence[object], kind: pl.DataType) -> pl.Expr:
    """A column of what the messages hold, repeated for their records."""
    first = values[0] if values else None
    if all(value is first or value == first for value in values):
        return pl.lit(first, kind)
    return pl.lit(pl.Series(values, dtype=kind).gather(records.slots))


def _text(records: Records, text: Text, of_topic: list[str | None]) -> pl.Expr:
    """A column of texts, of which `of_topic` are those that the topics decide; null for an empty one."""
    if text.told is None:
        return _of_message(records, of_topic, pl.String())
    told = pl.lit(records.told(text.told))
    column = pl.when(told != "").then(told)
    return column if text.table is None else column.replace_strict(text.table, default=None, return_dtype=pl.String)


def _odd(plan: Plan, limits: Limits) -> pl.Expr:
    """Whether a record is refused, or is anything but plain: its message is then read by itself."""
    event, received = pl.col("event_us"), pl.col("received_us")
    allowed = event.is_between(
        pl.max_horizontal(received - limits.lateness_us, pl.lit(limits.history_start_us)), received + limits.skew_us
    )
    values = [pl.col(f"value_{number}") for number in range(len(plan.values))]
    names = [pl.col("device_id"), *(pl.col(f"metric_{number}") for number in range(len(plan.values)))]
    return (
        ~allowed.fill_null(value=False)
        | pl.any_horizontal(~(name.str.len_bytes() <= LONGEST_NAME).fill_null(value=False) for name in names)
        | pl.any_horizontal(
            (value.abs() >= EXACT_INTEGERS).fill_null(value=False) & value.is_not_nan() for value in values
        )
        | pl.all_horizontal(value.is_nan().fill_null(value=False) for value in values)
    )


def _rows(frame: pl.DataFrame, number: int) -> pl.DataFrame:
    """The rows of one value of the plan, where it is told and not null."""
    value = pl.col(f"value_{number}")
    rows = frame.select(
        "message",
        "event_us",
        "device_id",
        metric=f"metric_{number}",
        value=value,
        text=pl.lit(None, pl.String),
        unit=f"unit_{number}",
        quality=pl.lit(Quality.GOOD.value),
    )
    return rows.filter(pl.col("value").is_not_nan() & pl.col("value").is_not_null())


def _times(told: pl.Series, unit: TimeUnit) -> pl.Expr:
    """Microseconds since 1970 UTC; null for all that `records.py` should look at."""
    if told.dtype == pl.String:
        return _from_text(told)
    if told.dtype != pl.Int64:
        return pl.lit(None, pl.Int64)
    number = pl.lit(told)
    if unit is TimeUnit.NANOSECONDS:
        return number // 1000
    if unit in _PER_SECOND:
        return _scaled(number, _PER_SECOND[unit])
    size = number.abs()  # as `language/times.py` tells units apart
    return (
        pl.when(size < 10**11)
        .then(number * 1_000_000)
        .when(size < 10**14)
        .then(number * 1000)
        .when(size < 10**17)
        .then(number)
        .otherwise(number // 1000)
    )


def _scaled(number: pl.Expr, factor: int) -> pl.Expr:
    return pl.when(number.abs() <= _LARGEST // factor).then(number * factor)


def _from_text(texts: pl.Series) -> pl.Expr:
    plain = texts.str.contains(_UTC_TEXT)
    minutes = texts.str.slice(0, _MINUTE_CHARACTERS)
    seconds = texts.str.slice(_SECONDS_FROM).str.strip_suffix("Z").str.strip_suffix("+00:00")
    starts = {minute: parse_iso(f"{minute}:00Z", UTC) for minute in minutes.filter(plain).unique()}
    start = pl.lit(minutes).replace_strict(starts, default=None, return_dtype=pl.Int64)
    # Six digits behind the point are far from where a double begins to round.
    micros = (pl.lit(seconds).cast(pl.Float64, strict=False) * 1e6).round().cast(pl.Int64, strict=False)
    return pl.when(pl.lit(plain)).then(start + micros)


def _descriptions(records: Records, described: list[int], odd: set[int]) -> Iterator[Description]:
    """What the records of the messages that are not odd tell about devices."""
    group, plan = records.group, records.group.plan
    slots = records.slots.to_list()
    plain = [slot not in odd for slot in slots] if odd else []

    def told(text: Text, of_topic: Sequence[str | None]) -> Iterator[Any]:
        every = map(of_topic.__getitem__, slots) if text.told is None else iter(records.described[text.told])
        return compress(every, plain) if odd else every

    devices = told(plan.device, [one.device for one in group.constants])
    attributes = [
        told(text, [one.attributes[number] for one in group.constants]) for number, text in enumerate(plan.attributes)
    ]
    fleet, names = repeat(plan.mapping.fleet), repeat(plan.attribute_names)
    return zip(described, devices, fleet, names, zip(*attributes, strict=True), strict=False)
