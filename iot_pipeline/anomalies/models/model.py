"""What is learned for the minute tier, as plain tables that people can read in DuckDB; and its name, a hash of them.

How it is learned is `fitting.py`, where it lies `store.py`.
"""

import hashlib
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

import msgspec
import polars as pl

from iot_pipeline.anomalies.models.machines import MachineTables, nothing_learned
from iot_pipeline.anomalies.models.members import LEARNED, THRESHOLDS
from iot_pipeline.trees import Schema

REVISION = 3
"""Of the code that learns and scores: one more whenever the same readings give another model or other flags."""


class SeriesState(StrEnum):
    """What a series' own past is good for."""

    READY = "ready"
    LEARNING = "learning"  # scored with what its class has learned, if that has
    COUNTER = "counter"  # only ever rises: a running total, which has no level


_NUMBERS: Schema = {name: pl.Float64() for name in (*LEARNED, *THRESHOLDS)}

SERIES_SCHEMA: Schema = {
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    "class": pl.String(),
    "state": pl.String(),
    "minutes": pl.Int64(),  # in which something was read
    **_NUMBERS,
}
"""One row a series. What was learned is in the unit of the series (level, spread, resolution, low, high), or in
spreads; thresholds are those of the detector's own score. Null for a counter."""

CLASS_SCHEMA: Schema = {
    "class": pl.String(),
    "series": pl.Int64(),
    "ready": pl.Int64(),
    **_NUMBERS,
}
"""One row a class with what its ready series have in common, for those that have no past of their own."""


@dataclass(frozen=True, slots=True)
class MinuteModel:
    """All that was learned for one day.

    Attributes:
        series: SERIES_SCHEMA, sorted by series.
        classes: CLASS_SCHEMA, sorted.
        inputs: quantiles of the values of each class, see `inputs.py`.
        channels: what the channels of machines let expect of one another, CHANNEL_SCHEMA of `channels.py`.
        machines: what was learned of machines that tell their state and of valves, see `machines.py`.
    """

    series: pl.DataFrame
    classes: pl.DataFrame
    inputs: pl.DataFrame
    channels: pl.DataFrame
    machines: MachineTables = field(default_factory=nothing_learned)

    def tables(self) -> dict[str, pl.DataFrame]:
        """By name, as they are stored."""
        return {
            "series": self.series,
            "classes": self.classes,
            "inputs": self.inputs,
            "channels": self.channels,
            **self.machines.tables(),
        }


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a model is, beside its tables.

    Attributes:
        day: the first day (UTC) that it may score.
        version: name of the model, made of its contents.
        revision: of the code that made it.
        first: first day that it learned from.
        last: last one.
        minutes: rows of `device_minute` that it learned from.
        left_out: of these, in events that people confirmed.
        series: number of series.
        ready: that have enough past of their own.
        learning: that have not.
        classes: number of classes.
        budget: false alerts a device-day that its thresholds were made for.
        tables: SHA-256 of each table.
    """

    day: date
    version: str
    revision: int
    first: date
    last: date
    minutes: int
    left_out: int
    series: int
    ready: int
    learning: int
    classes: int
    budget: float
    tables: dict[str, str]


def digests(model: MinuteModel) -> dict[str, str]:
    """SHA-256 of what each table says, independent of file formats and their versions."""
    return {name: digest_of(table) for name, table in model.tables().items()}


def version_from(tables: dict[str, str], **facts: object) -> str:
    """`1-0f3a…`: revision of the code, and a digest of tables, data span and parameters."""
    text = msgspec.json.encode({"tables": tables, **facts}, order="sorted")
    return f"{REVISION}-{hashlib.sha256(text).hexdigest()[:12]}"


def digest_of(table: pl.DataFrame) -> str:
    """SHA-256 of what a table says: names and types of its columns, and its rows in their order."""
    found = hashlib.sha256(",".join(f"{name}:{kind}" for name, kind in table.schema.items()).encode())
    lists = pl.selectors.by_dtype(pl.List(pl.Float64))
    table = table.with_columns(lists.cast(pl.List(pl.String)).list.join(" "))
    for part in table.iter_slices(100_000):
        # Text with all digits of each number.
        found.update(part.write_csv(include_header=False, null_value="\\N").encode())
    return found.hexdigest()
