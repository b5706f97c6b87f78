"""The account of a landing minute: what became of each message, exact by construction.

Every message gets exactly one outcome from what is known of it: readings stored, readings found,
problems noted. So messages = decoded + duplicates + no reading by rule + quarantined, always.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec
import polars as pl

from iot_pipeline.errors import DataError
from iot_pipeline.readings.schema import INTAKE_SCHEMA


@dataclass(frozen=True, slots=True)
class IntakeMinute:
    """One row of the intake tree; see `INTAKE_SCHEMA` for what each figure means."""

    minute: datetime
    messages: int
    decoded: int
    duplicates: int
    no_reading: int
    quarantined: int
    readings: int
    reading_duplicates: int
    quarantined_fields: int
    null_fields: int
    lag_max_seconds: float | None
    lag_p95_seconds: float | None
    built_at: datetime
    mapping_versions: Mapping[str, str]
    touched_minutes: tuple[datetime, ...] = ()
    touched_days: tuple[date, ...] = ()

    def __post_init__(self) -> None:
        accounted = self.decoded + self.duplicates + self.no_reading + self.quarantined
        if accounted != self.messages:
            raise DataError(f"{self.minute:%Y-%m-%dT%H:%M}: {self.messages} messages landed, {accounted} accounted for")

    def frame(self) -> pl.DataFrame:
        """As one row of `INTAKE_SCHEMA`."""
        row: dict[str, object] = {name: getattr(self, name) for name in INTAKE_SCHEMA}
        row["mapping_versions"] = msgspec.json.encode(dict(sorted(self.mapping_versions.items()))).decode()
        row["touched_minutes"] = list(self.touched_minutes)
        row["touched_days"] = list(self.touched_days)
        return pl.DataFrame([row], schema=INTAKE_SCHEMA)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """How many messages ended how."""

    decoded: int
    duplicates: int
    no_reading: int
    quarantined: int


def outcomes(messages: int, *, stored: Sequence[int], found: Sequence[int], problems: Sequence[int]) -> Outcomes:
    """Give each of the messages 0..messages-1 its one outcome.

    Args:
        messages: how many there are.
        stored: messages of the readings that were stored (repetitions allowed).
        found: messages of all readings, duplicates included.
        problems: messages of which something could not be read.
    """
    decoded = set(stored)
    duplicates = set(found) - decoded
    quarantined = set(problems) - decoded - duplicates
    rest = messages - len(decoded) - len(duplicates) - len(quarantined)
    return Outcomes(len(decoded), len(duplicates), rest, len(quarantined))
