import tempfile
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE, landing_minute
from iot_pipeline.errors import StorageUnavailable
from iot_pipeline.landing.layout import landed_files, landed_minutes, read_minute
from iot_pipeline.landing.ledger import LedgerCursor, LedgerLine, ledger_folder, read_since
from iot_pipeline.landing.message import LANDING_SCHEMA, Message, message_id
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.paths import DataPaths

DELAY = timedelta(seconds=10)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
COLLECTOR = "collector-1"


def message(seconds: float, payload: bytes = b"1") -> Message:
    return Message(NOON + timedelta(seconds=seconds), "mqtt", "plant/a", payload, qos=1)


def writer(paths: DataPaths, now: datetime = NOON, collector: str = COLLECTOR) -> BatchWriter:
    return BatchWriter(paths, collector, intake_delay=DELAY, now=lambda: now)


def lines(paths: DataPaths) -> list[LedgerLine]:
    return read_since(paths, LedgerCursor())[0]


def test_a_batch_spanning_two_landing_minutes_becomes_two_files(data_paths: DataPaths) -> None:
    batch = writer(data_paths).write([message(8.0, b"a"), message(9.999999, b"bb"), message(10.0, b"ccc")])
    before, after = NOON - MINUTE, NOON
    assert landed_minutes(data_paths, None) == [before, after]
    assert [path.name for path in landed_files(data_paths, before)] == [f"{COLLECTOR}-{batch.number}.parquet"]
    assert read_minute(data_paths, before)["payload"].to_list() == [b"a", b"bb"]
    assert read_minute(data_paths, after)["payload"].to_list() == [b"ccc"]
    # Rows count over the whole batch, so that message ids are unique over its files.
    assert read_minute(data_paths, after)["row"].to_list() == [2]
    assert [(line.minute, line.rows, line.bytes) for line in lines(data_paths)] == [(before, 2, 3), (after, 1, 3)]
    assert lines(data_paths)[0].file == f"dt=2026-11-22/hm=1159/{COLLECTOR}-{batch.number}.parquet"
    assert lines(data_paths)[0].received_last == NOON + timedelta(seconds=9.999999)


def test_columns_are_the_contract_s(data_paths: DataPaths) -> None:
    batch = writer(data_paths).write([Message(NOON, "mqtt", "ü/☃", b"\x00\xff", qos=1, retain=True)])
    minute = landing_minute(NOON, DELAY)
    assert read_minute(data_paths, minute).row(0) == (
        NOON,
        "mqtt",
        "ü/☃",
        b"\x00\xff",
        1,
        True,
        COLLECTOR,
        batch.number,
        0,
    )
    assert pl.read_parquet_schema(landed_files(data_paths, minute)[0]) == LANDING_SCHEMA
    assert message_id(COLLECTOR, 17, 4) == "collector-1-17-4"


def test_numbers_strictly_increase_while_the_clock_stands_or_goes_back(data_paths: DataPaths) -> None:
    clock = iter([NOON, NOON, NOON - timedelta(hours=1)])
    first = BatchWriter(data_paths, COLLECTOR, intake_delay=DELAY, now=lambda: next(clock))
    numbers = [first.prepare([message(0)]).number for _ in range(3)]
    assert all(earlier < later for earlier, later in pairwise(numbers))


def test_numbers_strictly_increase_over_a_restart_with_the_clock_set_back(data_paths: DataPaths) -> None:
    earlier = writer(data_paths).write([message(0)]).number
    assert writer(data_paths, now=NOON - timedelta(days=400)).write([message(0)]).number > earlier


def test_a_number_is_not_used_again_when_the_ledger_is_lost(data_paths: DataPaths) -> None:
    earlier = writer(data_paths).write([message(0)]).number
    for journal in ledger_folder(data_paths, COLLECTOR).iterdir():
        journal.unlink()
    assert writer(data_paths, now=NOON - timedelta(days=400)).write([message(0)]).number > earlier
    assert len(lines(data_paths)) == 2


def test_a_file_without_a_ledger_line_is_entered_at_the_next_start(data_paths: DataPaths) -> None:
    writer(data_paths).write([message(0)])
    written = writer(data_paths, now=NOON + MINUTE).write([message(60, b"abc")])
    journal = ledger_folder(data_paths, COLLECTOR) / "2026-11-22.jsonl"
    whole = journal.read_bytes()
    torn = whole.splitlines(keepends=True)[1]
    journal.write_bytes(whole[: -len(torn) // 2])

    writer(data_paths, now=NOON + 2 * MINUTE)
    assert [(line.minute, line.rows, line.bytes) for line in lines(data_paths)] == [(NOON - MINUTE, 1, 1), (NOON, 1, 3)]
    assert str(written.number) in lines(data_paths)[1].file
    writer(data_paths, now=NOON + 3 * MINUTE)
    assert len(lines(data_paths)) == 2


def test_files_of_a_collector_with_a_longer_name_are_not_claimed(data_paths: DataPaths) -> None:
    writer(data_paths, collector="line-7").write([message(0)])
    for journal in ledger_folder(data_paths, "line-7").iterdir():
        journal.unlink()
    writer(data_paths, collector="line")
    assert lines(data_paths) == []


def test_landing_goes_on_where_storage_failed(data_paths: DataPaths) -> None:
    landing = writer(data_paths)
    batch = landing.prepare([message(0, b"a"), message(60, b"b")])
    obstacle = data_paths.landing / "dt=2026-11-22" / "hm=1200"
    obstacle.parent.mkdir(parents=True)
    obstacle.write_text("a file where the second minute's folder has to be")
    for _ in range(2):
        with pytest.raises(StorageUnavailable, match="hm=1200"):
            landing.land(batch)
    obstacle.unlink()
    landing.land(batch)
    assert [line.rows for line in lines(data_paths)] == [1, 1]
    assert landed_minutes(data_paths, None) == [NOON - MINUTE, NOON]


@given(
    seconds=st.lists(st.integers(0, 150_000_000), min_size=1, max_size=40),
    cuts=st.sets(st.integers(0, 40)),
)
def test_any_split_into_batches_lands_the_same_rows_in_the_same_order(seconds: list[int], cuts: set[int]) -> None:
    messages = [message(offset / 1e6, b"%d" % index) for index, offset in enumerate(sorted(seconds))]
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < len(messages)), len(messages)]
    with tempfile.TemporaryDirectory() as folder:
        paths = DataPaths(Path(folder))
        landing = writer(paths)
        for first, last in pairwise(bounds):
            landing.write(messages[first:last])
        frames = {minute: read_minute(paths, minute) for minute in landed_minutes(paths, None)}
        entered = lines(paths)
    back = pl.concat(frames.values())
    assert back["payload"].to_list() == [one.payload for one in messages]
    assert back["received_at"].to_list() == [one.received_at for one in messages]
    assert back.select("collector", "batch", "row").is_unique().all()
    for minute, frame in frames.items():
        assert {landing_minute(at, DELAY) for at in frame["received_at"]} == {minute}
    assert sum(line.rows for line in entered) == len(messages)
