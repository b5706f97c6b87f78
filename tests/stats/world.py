"""Readings and devices as the readings stage files them, for tests of what comes after it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.clock import floor_minute, landing_minute
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import minute_folder
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.settings import Settings
from iot_pipeline.stats.sealing import days_between, seal_day


@dataclass(frozen=True)
class Row:
    """One reading; `received_at` defaults to half a second after the event."""

    event_ts: datetime
    value: float | None = 1.0
    device_id: str = "pump"
    metric: str = "pressure"
    unit: str | None = "bar"
    quality: str = "good"
    text: str | None = None
    received_at: datetime | None = None
    message_id: str = "collector-1-0"

    def late(self, delay: timedelta) -> "Row":
        return replace(self, received_at=self.event_ts + delay)

    @property
    def received(self) -> datetime:
        return self.received_at or self.event_ts + timedelta(milliseconds=500)


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "event_ts": row.event_ts,
                "received_at": row.received,
                "source": "mqtt",
                "device_id": row.device_id,
                "metric": row.metric,
                "value": row.value,
                "text": row.text,
                "unit": row.unit,
                "quality": row.quality,
                "message_id": row.message_id,
            }
            for row in rows
        ],
        schema=READING_SCHEMA,
    ).sort("device_id", "metric", "event_ts")


def file_readings(settings: Settings, rows: Sequence[Row], *, by_day: bool = False) -> None:
    """File `rows` under event and landing minute; replaces what these landing minutes filed there before."""
    places: dict[tuple[datetime, datetime], list[Row]] = {}
    for row in rows:
        key = (floor_minute(row.event_ts), landing_minute(row.received, settings.intake_delay))
        places.setdefault(key, []).append(row)
    grouped: dict[tuple[str, datetime], list[Row]] = {}
    for (event, landed), found in places.items():
        folder = minute_folder(open_root(settings.paths), event)
        grouped.setdefault((str(folder.parent / "hm=day" if by_day else folder), landed), []).extend(found)
    for (place, landed), found in grouped.items():
        write_parquet(frame(found), Path(place) / landed_name(landed))


def seal_days(settings: Settings, first: date, last: date) -> None:
    """Seal the days from `first` to `last`, both included."""
    for day in days_between(first, last):
        seal_day(settings, day)
