"""Which files hold the readings of a stretch of event time, and the query that gives each once.

Pure functions over listings; sealing (`sealing.py`) and dbt runs (`build.py`) read through them.
The views that people query are in `views.py`: they choose files by pattern, these by name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec

from iot_pipeline.clock import DAY, MINUTE, day_start, minutes_between
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.readings.schema import IDENTITY, READING_SCHEMA
from iot_pipeline.readings.store import event_day_files, event_minute_files, landed_of, open_root
from iot_pipeline.stats.relations import sealed_readings

INPUTS_FILE = "inputs.json"
Stamp = list[int]

SORTED_READINGS = "device_id, metric, event_ts, unit"
COLUMNS = ", ".join(READING_SCHEMA)
# Two landing minutes never hold the same receive time, and within one each identity is unique.
FIRST_COPY = f"row_number() over (partition by {', '.join(IDENTITY)} order by received_at, message_id) = 1"


@dataclass(frozen=True, slots=True)
class DayInput:
    """Files with the readings of one event day, or of the part [start, end) of it (UTC)."""

    start: datetime
    end: datetime
    open: Sequence[Path]
    sealed: Sequence[Path]

    @property
    def settled(self) -> bool:
        """Whether the sealed version is all there is: each row once, sorted."""
        return not self.open


def day_input_files(paths: DataPaths, day: date) -> DayInput:
    """The files of a whole event day, sealed or not, with what came after it was sealed."""
    start = day_start(day)
    return _without_sealed(
        paths, day, DayInput(start, start + DAY, event_day_files(paths, day), sealed_readings(paths).files(day))
    )


def minute_input_files(paths: DataPaths, first: datetime, last: datetime) -> list[DayInput]:
    """The files of the event minutes `first` to `last`, both included, one input a day."""
    inputs = []
    for day in _days(first, last):
        start = max(first, day_start(day))
        end = min(last + MINUTE, day_start(day) + DAY)
        # Readings that were older than the minute window when they came are filed by day.
        by_day = sorted((day_folder(open_root(paths), day) / "hm=day").glob("landed-*.parquet"))
        by_minute = event_minute_files(paths, minutes_between(start, end - MINUTE))
        found = DayInput(start, end, [*by_minute, *by_day], sealed_readings(paths).files(day))
        inputs.append(_without_sealed(paths, day, found))
    return inputs


def readings_sql(inputs: Iterable[DayInput], intake_delay: timedelta) -> str:
    """A query for the readings of `inputs` (READING_SCHEMA), each identity once.

    An open file holds all that its landing minute has to say about its event minute, so it replaces
    what the sealed version has of both; one without rows (a tombstone) removes it.
    """
    parts = [_day_sql(found, intake_delay) for found in inputs]
    return "\nunion all\n".join(part for part in parts if part) or _nothing()


def stamp(path: Path) -> Stamp | None:
    """What tells one content of an atomically replaced file from the next; None when it is gone."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ino]


def input_name(path: Path) -> str:
    """Name of an open file within its day: `hm=HHMM/landed-...parquet`."""
    return f"{path.parent.name}/{path.name}"


def sealed_inputs(paths: DataPaths, day: date) -> dict[str, Stamp]:
    """The open files that the sealed version of `day` was made of, as they were then."""
    version = sealed_readings(paths).current(day)
    if version is None or not (version / INPUTS_FILE).exists():
        return {}
    return msgspec.json.decode((version / INPUTS_FILE).read_bytes(), type=dict[str, Stamp])


def file_list(files: Iterable[Path]) -> str:
    """SQL list of file names."""
    return "[" + ", ".join(quoted(str(path)) for path in files) + "]"


def quoted(text: str) -> str:
    """SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def instant(value: datetime) -> str:
    """SQL literal of an instant, in UTC."""
    return f"timestamptz {quoted(value.isoformat())}"


def _day_sql(found: DayInput, intake_delay: timedelta) -> str:
    within = f"event_ts >= {instant(found.start)} and event_ts < {instant(found.end)}"
    sealed = f"select {COLUMNS} from read_parquet({file_list(found.sealed)}, hive_partitioning = false) where {within}"
    opened = f"select {COLUMNS} from read_parquet({file_list(found.open)}, hive_partitioning = false) where {within}"
    if not found.open:
        return f"({sealed})" if found.sealed else ""
    if not found.sealed:
        return f"(select * from ({opened}) qualify {FIRST_COPY})"
    replaced = ", ".join(
        f"({quoted(path.parent.name.removeprefix('hm='))}, {instant(landed_of(path))})" for path in found.open
    )
    landed = f"date_trunc('minute', received_at - interval '{intake_delay.total_seconds():.0f} seconds')"
    return f"""(
        with replaced (hm, landed) as (values {replaced}),
        kept as (
            select {COLUMNS} from ({sealed}) as of_day
            anti join replaced as by_minute
                on by_minute.landed = {landed} and by_minute.hm = strftime(event_ts, '%H%M')
            anti join replaced as by_day on by_day.landed = {landed} and by_day.hm = 'day'
        )
        select * from ({opened} union all select * from kept) qualify {FIRST_COPY})"""


def _nothing() -> str:
    types = {"event_ts": "timestamptz", "received_at": "timestamptz", "value": "double"}
    columns = ", ".join(f"cast(null as {types.get(name, 'varchar')}) as {name}" for name in READING_SCHEMA)
    return f"(select {columns} where false)"


def _without_sealed(paths: DataPaths, day: date, found: DayInput) -> DayInput:
    """Leave out open files that the sealed version holds as they are: they wait for deletion only."""
    known = sealed_inputs(paths, day)
    fresh = [path for path in found.open if known.get(input_name(path)) != stamp(path)]
    return DayInput(found.start, found.end, fresh, found.sealed)


def _days(first: datetime, last: datetime) -> list[date]:
    return [first.date() + index * DAY for index in range((last.date() - first.date()).days + 1)]
