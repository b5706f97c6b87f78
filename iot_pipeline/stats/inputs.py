"""Which files hold the readings of a stretch of event time, and the query that gives each once.

Pure functions over listings; sealing (`sealing.py`) and dbt runs (`build.py`) read through them.
The views that people query are in `views.py`: they choose files by pattern, these by name.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

import msgspec

from iot_pipeline.clock import DAY, MINUTE, day_start, minutes_between
from iot_pipeline.files import Stamp, stamp
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.readings.schema import IDENTITY, READING_SCHEMA
from iot_pipeline.readings.store import LANDED_FORMAT, event_day_files, event_minute_files, landed_of, open_root
from iot_pipeline.stats.relations import sealed_readings

# Beside the sealed readings of a day: what they were made of, and the copies that were left out. A copy counts
# again when the landing minute that told it first is decoded anew and tells it no more.
INPUTS_FILE = "inputs.json"
COPIES_FILE = "copies.parquet"

SORTED_READINGS = "device_id, metric, event_ts, unit"
COLUMNS = ", ".join(READING_SCHEMA)
# In sealed files: the landing minute that a reading came by. It is kept and not worked out from the time of receipt,
# because the setting that decides it can change.
LANDING_MINUTE = "landing_minute"
# Two landing minutes never hold the same receive time, and within one each identity is unique.
COPY_NUMBER = f"row_number() over (partition by {', '.join(IDENTITY)} order by received_at, message_id)"
FIRST_COPY = f"{COPY_NUMBER} = 1"


@dataclass(frozen=True, slots=True)
class DayInput:
    """Files with the readings of one event day, or of the part [start, end) of it (UTC).

    Attributes:
        start: begin of the part.
        end: end of the part, not included.
        open: open files that the sealed version does not hold as they are now.
        sealed: files of the sealed version.
        copies: repeated readings that the sealed version left out.
    """

    start: datetime
    end: datetime
    open: Sequence[Path]
    sealed: Sequence[Path]
    copies: Sequence[Path] = ()

    @property
    def settled(self) -> bool:
        """Whether the sealed version is all there is: each row once, sorted."""
        return not self.open


def day_input_files(paths: DataPaths, day: date) -> DayInput:
    """The files of a whole event day, sealed or not, with what came after it was sealed."""
    version = sealed_readings(paths).current(day)
    return _input(day_start(day), day_start(day) + DAY, version, event_day_files(paths, day))


def minute_input_files(paths: DataPaths, first: datetime, last: datetime) -> list[DayInput]:
    """The files of the event minutes `first` to `last`, both included, one input a day."""
    inputs = []
    for day in _days(first, last):
        start = max(first, day_start(day))
        end = min(last + MINUTE, day_start(day) + DAY)
        # The version before the open files: what is deleted in between is in that version.
        version = sealed_readings(paths).current(day)
        # Readings that were older than the minute window when they came are filed by day.
        by_day = sorted((day_folder(open_root(paths), day) / "hm=day").glob("landed-*.parquet"))
        by_minute = event_minute_files(paths, minutes_between(start, end - MINUTE))
        inputs.append(_input(start, end, version, [*by_minute, *by_day]))
    return inputs


def _input(start: datetime, end: datetime, version: Path | None, opened: Iterable[Path]) -> DayInput:
    """Leave out open files that the sealed version holds as they are: they wait for deletion only."""
    if version is None:
        return DayInput(start, end, list(opened), [])
    known = sealed_inputs(version)
    fresh = [path for path in opened if (seen := stamp(path)) is not None and seen != known.get(input_name(path))]
    copies = [path] if (path := version / COPIES_FILE).exists() else []
    return DayInput(start, end, fresh, sorted(version.glob("part-*.parquet")), copies)


def readings_sql(inputs: Iterable[DayInput], *, copies: bool = False) -> str:
    """A query for the readings of `inputs` as they were told (READING_SCHEMA), each identity once.

    With `copies`, what was told several times may be there several times; the first one counts (see FIRST_COPY).

    Corrections are not in it (see `corrections/applying.py`): this is also what sealing keeps. An open file holds all
    that its landing minute has to say about its event minute, so it replaces what the sealed version has of
    both; one without rows (a tombstone) removes it.
    """
    parts = [_day_sql(found, copies=copies) for found in inputs]
    return "\nunion all\n".join(part for part in parts if part) or _nothing()


def input_name(path: Path) -> str:
    """Name of an open file within its day: `hm=HHMM/landed-...parquet`."""
    return f"{path.parent.name}/{path.name}"


def sealed_inputs(version: Path) -> dict[str, Stamp]:
    """The open files that the sealed version in folder `version` was made of, as they were then."""
    path = version / INPUTS_FILE
    return msgspec.json.decode(path.read_bytes(), type=dict[str, Stamp]) if path.exists() else {}


def file_list(files: Iterable[Path]) -> str:
    """SQL list of file names."""
    return "[" + ", ".join(quoted(str(path)) for path in files) + "]"


def quoted(text: str) -> str:
    """SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def instant(value: datetime) -> str:
    """SQL literal of an instant, in UTC."""
    return f"timestamptz {quoted(value.isoformat())}"


def all_copies_sql(found: DayInput) -> str:
    """A query for the readings of a day as they were told, each time they were told, with LANDING_MINUTE."""
    opened = _open_sql(found.open, found)
    if not found.sealed:
        return opened
    replaced = ", ".join(
        f"({quoted(path.parent.name.removeprefix('hm='))}, {instant(landed_of(path))})" for path in found.open
    )
    sealed = _files_sql([*found.sealed, *found.copies], found, f"{COLUMNS}, {LANDING_MINUTE}")
    return f"""
        with replaced (hm, landed) as (values {replaced})
        {opened} union all
        select {COLUMNS}, {LANDING_MINUTE} from ({sealed}) as of_day
        anti join replaced as by_minute
            on by_minute.landed = {LANDING_MINUTE} and by_minute.hm = strftime(event_ts, '%H%M')
        anti join replaced as by_day on by_day.landed = {LANDING_MINUTE} and by_day.hm = 'day'"""


def _day_sql(found: DayInput, *, copies: bool) -> str:
    if found.open and copies:
        return f"(select {COLUMNS} from ({all_copies_sql(found)}))"
    if found.open:
        return f"(select {COLUMNS} from ({all_copies_sql(found)}) qualify {FIRST_COPY})"
    return f"({_files_sql(found.sealed, found, COLUMNS)})" if found.sealed else ""


def _open_sql(files: Iterable[Path], within: DayInput) -> str:
    """Readings of open files; the name of each tells its landing minute."""
    stamp_of = "regexp_extract(filename, 'landed-([0-9]{8}T[0-9]{4})[.]parquet$', 1)"
    landed = f"cast(strptime({stamp_of}, '{LANDED_FORMAT}') as timestamptz) as {LANDING_MINUTE}"
    return _files_sql(files, within, f"{COLUMNS}, {landed}", ", filename = true")


def _files_sql(files: Iterable[Path], within: DayInput, columns: str, options: str = "") -> str:
    return (
        f"select {columns} from read_parquet({file_list(files)}, hive_partitioning = false{options}) "
        f"where event_ts >= {instant(within.start)} and event_ts < {instant(within.end)}"
    )


def _nothing() -> str:
    types = {"event_ts": "timestamptz", "received_at": "timestamptz", "value": "double"}
    columns = ", ".join(f"cast(null as {types.get(name, 'varchar')}) as {name}" for name in READING_SCHEMA)
    return f"(select {columns} where false)"


def _days(first: datetime, last: datetime) -> list[date]:
    return [first.date() + index * DAY for index in range((last.date() - first.date()).days + 1)]
