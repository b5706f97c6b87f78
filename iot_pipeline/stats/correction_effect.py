"""Which readings a correction touches, and telling those who build: a journal that the sensors for late data follow.

What a correction is and where it is kept belongs to `corrections/`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import msgspec
import structlog

from iot_pipeline.clock import day_key, floor_minute, minute_key, utc_now
from iot_pipeline.files import append_line
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings
from iot_pipeline.stats.corrections.correction import Correction
from iot_pipeline.stats.corrections.store import announced, locked, put_in_force, store, unannounced
from iot_pipeline.stats.inputs import DayInput, day_input_files, readings_sql
from iot_pipeline.stats.lateness import corrections_journal
from iot_pipeline.stats.published import days_with_readings
from iot_pipeline.stats.session import engine

log = structlog.get_logger(__name__)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a correction touches at present.

    Attributes:
        readings: readings of its device, metric and unit in its range.
        minutes: event minutes (UTC) that hold them.
    """

    readings: int
    minutes: tuple[datetime, ...]

    @property
    def days(self) -> tuple[date, ...]:
        """Days that hold them."""
        return tuple(sorted({minute.date() for minute in self.minutes}))


def effect_of(settings: Settings, correction: Correction) -> Effect:
    """Look what `correction` touches; changes nothing. Days whose readings retention removed are not looked at."""
    found: dict[datetime, int] = {}
    with engine(settings.paths) as connection:
        for one in _inputs(settings.paths, correction):
            rows = connection.execute(
                f"""
                select date_trunc('minute', event_ts) as minute, count(*) as readings
                from ({readings_sql([one])})
                where device_id = $device and metric = $metric
                    and ($unit is null or coalesce(unit, '') = $unit)
                    and event_ts >= $from and event_ts < $to
                    and (value is not null or not $numbers)
                group by minute""",
                {
                    "device": correction.device_id,
                    "metric": correction.metric,
                    "unit": correction.unit,
                    "from": correction.from_ts,
                    "to": correction.to_ts,
                    "numbers": correction.numbers_only,
                },
            ).fetchall()
            found |= {floor_minute(minute): readings for minute, readings in rows}
    return Effect(sum(found.values()), tuple(sorted(found)))


def record(settings: Settings, correction: Correction) -> Effect:
    """Record a correction, or its removal, and have built again what it touches.

    Raises:
        StorageUnavailable: nothing is recorded; or it is, and the sensors tell it with their next look.
    """
    store(settings.paths, correction)
    return announce_waiting(settings).get(correction.id) or effect_of(settings, correction)


def announce_waiting(settings: Settings) -> dict[str, Effect]:
    """Tell of every change that was recorded and not told yet, as a crash can leave it; returns effects by id."""
    paths = settings.paths
    if not any(paths.corrections.glob("*.unannounced")):
        return {}
    effects: dict[str, Effect] = {}
    with locked(paths):
        waiting = unannounced(paths)
        put_in_force(paths)
        for correction in waiting:
            effect = effects[correction.id] = effect_of(settings, correction)
            if effect.minutes:
                append_line(corrections_journal(paths), _line(effect, settings.first_minute))
            announced(paths, correction)
            log.info("correction_announced", id=correction.id, readings=effect.readings, days=len(effect.days))
    return effects


def _inputs(paths: DataPaths, correction: Correction) -> Iterator[DayInput]:
    last = (correction.to_ts - MICROSECOND).date()
    for day in days_with_readings(paths):
        if correction.from_ts.date() <= day <= last:
            yield day_input_files(paths, day)


def _line(effect: Effect, first_minute: datetime) -> str:
    return msgspec.json.encode(
        {
            "minute": minute_key(utc_now()),
            "built_at": utc_now(),
            "touched_minutes": [minute_key(minute) for minute in effect.minutes if minute >= first_minute],
            # Older than the minute window: there are no partitions of minutes.
            "touched_days": [day_key(day) for day in effect.days if day < first_minute.date()],
        }
    ).decode()
