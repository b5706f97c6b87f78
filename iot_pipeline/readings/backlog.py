"""Landing minutes that nobody decoded: those that grew older than the minute window before a run took them.

They have no partition any more. Their readings are older than the window, so decoding files them under their days,
and what is made of the days follows by itself. Minutes of the window are found by `operations/schedules.py`.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime

import polars as pl
import structlog

from iot_pipeline.clock import day_start, parse_day
from iot_pipeline.errors import DataError
from iot_pipeline.landing.layout import landed_files, minute_of
from iot_pipeline.paths import DataPaths, day_folder
from iot_pipeline.readings.build import IntakeMinute, build_minutes, intake_tree
from iot_pipeline.readings.language.mapping import MappingSet
from iot_pipeline.settings import Settings
from iot_pipeline.trees import PARTITION_MINUTE

# Minutes decoded together: bounds memory, and each part is done for good when it is done.
MINUTES_AT_ONCE = 60
_log = structlog.get_logger(__name__)


def undecoded(paths: DataPaths, *, before: datetime) -> list[datetime]:
    """Landing minutes before `before` (UTC) that have messages and no account, oldest first.

    Costs a listing of the landing folder and a column of the accounts.
    """
    days = sorted(path.name.removeprefix("dt=") for path in paths.landing.glob("dt=*"))
    wanted = (parse_day(name) for name in days if day_start(parse_day(name)) < before)
    return [minute for day in wanted for minute in _of_day(paths, day) if minute < before]


def decode_backlog(
    settings: Settings, mappings: MappingSet, minutes: Sequence[datetime]
) -> Iterator[list[IntakeMinute]]:
    """Decode landing minutes that have no partition, part by part, oldest first; yields what became of each part.

    A minute that cannot be read does not stop the others: it is told of at the end, and waits.

    Raises:
        DataError: landed files cannot be read; all other minutes are done.
        StorageUnavailable: the parts before are done, and those after wait.
    """
    ordered = sorted(minutes)
    unreadable: list[DataError] = []
    for start in range(0, len(ordered), MINUTES_AT_ONCE):
        part = ordered[start : start + MINUTES_AT_ONCE]
        try:
            built = build_minutes(settings, mappings, part)
        except DataError:
            built = [one for minute in part for one in _alone(settings, mappings, minute, unreadable)]
        _log.info("backlog_decoded", minutes=len(built), through=f"{part[-1]:%Y-%m-%dT%H:%M}", of=len(ordered))
        if built:
            yield built
    if unreadable:
        raise DataError(
            f"{len(unreadable)} of {len(ordered)} minutes were not decoded, the others are done: {unreadable[0]}"
        )


def _alone(
    settings: Settings, mappings: MappingSet, minute: datetime, unreadable: list[DataError]
) -> list[IntakeMinute]:
    try:
        return build_minutes(settings, mappings, [minute])
    except DataError as error:
        unreadable.append(error)
        return []


def _of_day(paths: DataPaths, day: date) -> list[datetime]:
    folders = day_folder(paths.landing, day).glob("hm=*")
    landed = {minute for folder in folders if (minute := minute_of(folder)) is not None}
    waiting = landed - _decoded(paths, day)
    return sorted(minute for minute in waiting if landed_files(paths, minute))


def _decoded(paths: DataPaths, day: date) -> set[datetime]:
    tree = intake_tree(paths)
    if sealed := tree.sealed.files(day):
        minutes = pl.scan_parquet(sealed, hive_partitioning=False).select(PARTITION_MINUTE).collect().to_series()
        return {minute.astimezone(UTC) for minute in minutes}
    names = day_folder(tree.open, day).glob("hm=*/part.parquet")
    return {minute for path in names if (minute := minute_of(path.parent)) is not None}
