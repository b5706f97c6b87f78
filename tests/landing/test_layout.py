from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.clock import MINUTE
from iot_pipeline.errors import DataError
from iot_pipeline.files import write_parquet
from iot_pipeline.landing.layout import (
    batch_of,
    landed_files,
    landed_minutes,
    landing_file,
    minute_of,
    read_minute,
    torn_files,
)
from iot_pipeline.landing.message import LANDING_SCHEMA, Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.paths import DataPaths

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def land(paths: DataPaths, at: datetime, collector: str = "c") -> None:
    BatchWriter(paths, collector, intake_delay=timedelta(), now=lambda: at).write([Message(at, "mqtt", "t", b"1")])


def test_a_minute_without_files_has_all_columns_and_no_rows(data_paths: DataPaths) -> None:
    assert landed_files(data_paths, NOON) == []
    assert landed_minutes(data_paths, None) == []
    assert dict(read_minute(data_paths, NOON).schema) == LANDING_SCHEMA


def test_minutes_are_listed_in_order_from_an_instant_on(data_paths: DataPaths) -> None:
    days = [NOON + timedelta(days=1), NOON, NOON + MINUTE, NOON - timedelta(days=1)]
    for at in days:
        land(data_paths, at)
    assert landed_minutes(data_paths, None) == sorted(days)
    assert landed_minutes(data_paths, NOON + timedelta(seconds=59)) == [NOON, NOON + MINUTE, NOON + timedelta(days=1)]


def test_all_collectors_of_a_minute_are_read(data_paths: DataPaths) -> None:
    land(data_paths, NOON, "b")
    land(data_paths, NOON, "a")
    assert read_minute(data_paths, NOON)["collector"].to_list() == ["a", "b"]


def test_what_is_not_a_landed_file_is_not_seen(data_paths: DataPaths) -> None:
    folder = landing_file(data_paths, NOON, "c", 1).parent
    folder.mkdir(parents=True)
    (folder / "c-1.parquet.abc.tmp").write_bytes(b"half")
    (data_paths.landing / "dt=nonsense" / "hm=12").mkdir(parents=True)
    (data_paths.landing / "dt=nonsense" / "hm=12" / "x.parquet").write_bytes(b"")
    assert landed_minutes(data_paths, None) == []
    assert read_minute(data_paths, NOON).is_empty()


@pytest.mark.parametrize("content", [b"", b"no parquet", b"PAR1", b"PAR1 and then nothing", bytes(100)])
def test_a_torn_file_is_left_out_and_the_rest_of_its_minute_is_read(data_paths: DataPaths, content: bytes) -> None:
    torn, whole = (landing_file(data_paths, NOON, "c", number) for number in (1, 2))
    write_parquet(pl.DataFrame(schema=LANDING_SCHEMA), whole)
    torn.write_bytes(content)
    assert read_minute(data_paths, NOON).schema == LANDING_SCHEMA
    assert torn_files(data_paths, [NOON]) == [torn]
    assert torn.read_bytes() == content


def test_a_file_with_other_columns_is_named_and_left(data_paths: DataPaths) -> None:
    path = landing_file(data_paths, NOON, "c", 1)
    write_parquet(pl.DataFrame({"payload": [b"of whom?"]}), path)
    with pytest.raises(DataError, match=r"c-1\.parquet"):
        read_minute(data_paths, NOON)
    assert path.exists()


def test_names_are_read_back() -> None:
    assert batch_of(Path("line-7.parquet"), "line") == 7
    assert batch_of(Path("line-7-8.parquet"), "line") is None
    assert batch_of(Path("line-7.tmp"), "line") is None
    assert minute_of(Path("dt=2026-11-22/hm=1200")) == NOON
    assert minute_of(Path("dt=2026-11-22/hm=day")) is None
