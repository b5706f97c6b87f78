"""Applying corrections: SQL that turns readings as they were told into readings as they count.

The one place where that is done, for statistics, flags and the view that people query. What the corrections are
is `store.py`. Where none is in force for a window, its readings are read as if there were no such thing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.stats.corrections.store import pieces_between
from iot_pipeline.stats.inputs import DayInput, readings_sql

# Ids of the corrections that made a reading what it is; null for one that nobody corrected.
CORRECTED_BY = "corrected_by"


def corrected_sql(readings: str, pieces: str, *, also: str = "") -> str:
    """A query for corrected readings: READING_SCHEMA and `corrected_by`.

    A number that was corrected loses its `text`, the exact digits of what was told. Readings of text can be
    dropped, never scaled or replaced.

    Args:
        readings: a query or relation with READING_SCHEMA, each reading once.
        pieces: a query or relation with PIECE_SCHEMA.
        also: a further column of `readings` to pass through.
    """
    changed = "readings.value is not null and (pieces.replacement is not null or pieces.factor is not null)"
    columns = {
        "value": f"""case
            when {changed}
                then coalesce(pieces.replacement, readings.value * pieces.factor + pieces.addend)
            else readings.value
        end""",
        "text": f"case when {changed} then null else readings.text end",
    }
    selected = ", ".join(f"{columns.get(name, f'readings.{name}')} as {name}" for name in READING_SCHEMA)
    corrected_by = f"case when {changed} then pieces.corrected_by end as {CORRECTED_BY}"
    passed = f", readings.{also}" if also else ""
    return f"""
        select {selected}, {corrected_by}{passed}
        from {readings} as readings
        left join {pieces} as pieces
            on readings.device_id = pieces.device_id
            and readings.metric = pieces.metric
            and readings.event_ts >= pieces.from_ts
            and readings.event_ts < pieces.to_ts
            and case
                when pieces.unit is null then not list_contains(pieces.other_than, coalesce(readings.unit, ''))
                else coalesce(readings.unit, '') = pieces.unit
            end
        where not coalesce(pieces.dropped, false)"""


@dataclass(frozen=True, slots=True)
class CurrentReadings:
    """Readings as they count now.

    Attributes:
        query: a query for READING_SCHEMA and `corrected_by`, each reading once.
        corrections: ids of the corrections in force somewhere in the window.
    """

    query: str
    corrections: frozenset[str]


def current_readings(
    connection: duckdb.DuckDBPyConnection, paths: DataPaths, inputs: Sequence[DayInput], *, copies: bool = False
) -> CurrentReadings:
    """The readings of `inputs`, corrected. The query is good on `connection`, which holds the pieces in force.

    With `copies`, as of `readings_sql`: all copies of a reading are corrected alike.
    """
    told = readings_sql(inputs, copies=copies)
    nobody = f"select *, cast(null as varchar[]) as {CORRECTED_BY} from ({told})"
    if not inputs:
        return CurrentReadings(nobody, frozenset())
    pieces = pieces_between(paths, min(one.start for one in inputs), max(one.end for one in inputs))
    if pieces.is_empty():
        return CurrentReadings(nobody, frozenset())
    connection.register("pieces_in_force", pieces.to_arrow())
    ids = frozenset(pieces["corrected_by"].explode())
    return CurrentReadings(corrected_sql(f"({told})", "pieces_in_force"), ids)
