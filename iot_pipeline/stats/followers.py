"""Days that have to be built again because a day before them now closes with other registers than it did.

Usage of a day begins with what its meters showed last before it. Most late readings lie between others and change
that for nobody. The journal is read by the sensor of late days; building is `build.py`.
"""

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import msgspec

from iot_pipeline.clock import DAY, day_key, minute_key, utc_now
from iot_pipeline.files import append_line
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.inputs import file_list
from iot_pipeline.stats.relations import published_file
from iot_pipeline.stats.run_sources import OPENING_DAYS

_CLOSINGS = "day, device_id, unit, closing_register, closing_at"


def followers_journal(paths: DataPaths) -> Path:
    """The journal of days that follow a day whose registers changed; its lines are those of the other journals."""
    return paths.ledger / "followers.jsonl"


def announce_followers(
    connection: duckdb.DuckDBPyConnection, paths: DataPaths, days: Sequence[date], *, last: date
) -> list[date]:
    """Tell of published days after `last` whose usage begins with a register that this run changes.

    Called before the run publishes: after a crash in between, a day is built again for nothing, and never too seldom.

    Args:
        connection: the database of the run, with `marts.meter_day` of `days`.
        paths: where the published days are.
        days: days that the run publishes.
        last: last day that is built in any case.

    Raises:
        StorageUnavailable: nothing was told.
    """
    later = _present(paths, [last + index * DAY for index in range(1, OPENING_DAYS + 1)])
    if not later:
        return []
    before = _present(paths, days)
    published = f"read_parquet({file_list(before)}, hive_partitioning = false)" if before else "built where false"
    known = f"select {_CLOSINGS} from {published}"
    found = connection.execute(
        f"""
        with built as (select {_CLOSINGS} from marts.meter_day),
        changed as (
            (from built except from ({known}))
            union
            (from ({known}) except from built)
        ),
        next_days as (
            select min(later.day) as day
            from read_parquet({file_list(later)}, hive_partitioning = false) as later
            inner join changed
                on later.device_id = changed.device_id and later.unit is not distinct from changed.unit
            group by later.device_id, later.unit
        )
        select distinct day from next_days order by day"""
    ).fetchall()
    following: list[date] = [day for (day,) in found]
    if following:
        line = {
            "minute": minute_key(utc_now()),
            "built_at": utc_now(),
            "touched_minutes": [],
            "touched_days": [day_key(day) for day in following],
        }
        append_line(followers_journal(paths), msgspec.json.encode(line).decode())
    return following


def _present(paths: DataPaths, days: Sequence[date]) -> list[Path]:
    return [path for day in days if (path := published_file(paths, "meter_day", day)).exists()]
