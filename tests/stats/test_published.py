"""How far statistics go and when they were published, from files alone."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.clock import MINUTE, utc_now
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.schema import INTAKE_SCHEMA
from iot_pipeline.stats.published import (
    days_with_readings,
    front,
    newest_day,
    newest_minute,
    published_day,
    published_minute,
)
from iot_pipeline.stats.relations import (
    DEVICE_MINUTE_SCHEMA,
    device_minute_tree,
    minute_trees,
    prepare_relations,
    published_file,
    sealed_readings,
)

DAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SOME = pl.DataFrame({"minute": [TEN], "device_id": ["pump"]}).select(
    **{name: pl.col(name) if name in ("minute", "device_id") else pl.lit(None) for name in DEVICE_MINUTE_SCHEMA}
)
NONE = SOME.clear()


@pytest.fixture
def paths(tmp_path: Path) -> DataPaths:
    """Trees as a new installation has them: seeds, and no rows."""
    paths = DataPaths(tmp_path)
    prepare_relations(paths)
    return paths


def test_seeds_are_no_data(paths: DataPaths) -> None:
    assert (newest_minute(paths), front(paths), newest_day(paths), days_with_readings(paths)) == (None, None, None, [])
    assert (published_minute(paths, TEN), published_day(paths, DAY)) == (None, None)


def test_nothing_at_all_is_no_data_either(tmp_path: Path) -> None:
    paths = DataPaths(tmp_path)
    assert (newest_minute(paths), front(paths), newest_day(paths), days_with_readings(paths)) == (None, None, None, [])


def test_a_minute_is_as_old_as_its_file(paths: DataPaths) -> None:
    before = utc_now()
    device_minute_tree(paths).write(TEN, SOME)
    published = published_minute(paths, TEN)
    assert published is not None
    assert abs(published - before).total_seconds() < 5
    assert published_minute(paths, TEN + MINUTE) is None


def test_files_of_a_sealed_day_tell_nothing_about_one_minute(paths: DataPaths) -> None:
    """Otherwise building one late minute would make all others of its day look fresh, and they would be lost."""
    tree = device_minute_tree(paths)
    tree.write(TEN, SOME)
    tree.write(TEN + MINUTE, SOME)
    tree.seal(DAY)
    tree.write(TEN, SOME)
    assert published_minute(paths, TEN) is None
    assert published_minute(paths, TEN + MINUTE) is None


def test_the_newest_minute_counts_open_and_sealed(paths: DataPaths) -> None:
    tree = device_minute_tree(paths)
    tree.write(TEN, SOME)
    tree.write(TEN + MINUTE, NONE)
    assert newest_minute(paths) == TEN + MINUTE
    tree.seal(DAY)
    tree.write(TEN + 5 * MINUTE, SOME)
    assert newest_minute(paths) == TEN + 5 * MINUTE


def test_the_newest_minute_is_known_after_housekeeping(paths: DataPaths) -> None:
    tree = device_minute_tree(paths)
    tree.write(TEN, SOME)
    tree.seal(DAY)
    tree.remove_superseded(utc_now(), MINUTE * 0)
    assert not tree.file(TEN).exists()
    assert newest_minute(paths) == TEN


def test_the_front_is_the_last_minute_decoded_even_without_statistics(paths: DataPaths) -> None:
    device_minute_tree(paths).write(TEN, SOME)
    intake = minute_trees(paths)["intake"]
    row = pl.DataFrame({"minute": [TEN]}).select(
        **{name: pl.col("minute") if name == "minute" else pl.lit(None) for name in INTAKE_SCHEMA}
    )
    intake.write(TEN + 3 * MINUTE, row)
    assert front(paths) == TEN + 3 * MINUTE
    intake.seal(DAY)
    intake.write(TEN + 4 * MINUTE, row)
    assert front(paths) == TEN + 4 * MINUTE


def test_days_are_those_with_open_or_sealed_readings(paths: DataPaths) -> None:
    write_parquet(NONE, paths.readings / "open" / "dt=2026-11-21" / "hm=day" / "landed-20261121T0000.parquet")
    with sealed_readings(paths).publishing(DAY) as building:
        write_parquet(NONE, building / "part-000.parquet")
    assert days_with_readings(paths) == [DAY, date(2026, 11, 21)]


def test_the_newest_day(paths: DataPaths) -> None:
    for day in (DAY, date(2013, 1, 5)):
        write_parquet(NONE, published_file(paths, "device_day", day))
    assert newest_day(paths) == DAY
    assert published_day(paths, DAY) is not None
