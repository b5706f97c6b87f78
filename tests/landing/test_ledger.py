from datetime import UTC, datetime, timedelta

import msgspec
import structlog.testing

from iot_pipeline.landing.ledger import LedgerCursor, LedgerLine, append, ledger_folder, read_since
from iot_pipeline.paths import DataPaths

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def line(name: str, at: datetime = NOON) -> LedgerLine:
    return LedgerLine(
        file=f"dt=2026-11-22/hm=1159/{name}.parquet",
        minute=datetime(2026, 11, 22, 11, 59, tzinfo=UTC),
        rows=3,
        bytes=100,
        received_first=at - timedelta(seconds=1, microseconds=1),
        received_last=at,
        landed_at=at,
    )


def enter(paths: DataPaths, *names: str, at: datetime = NOON, collector: str = "c") -> None:
    for name in names:
        append(paths, collector, int(at.timestamp() * 1_000_000), line(name, at))


def test_a_line_is_as_the_contract_writes_it(data_paths: DataPaths) -> None:
    enter(data_paths, "a")
    journal = ledger_folder(data_paths, "c") / "2026-11-22.jsonl"
    assert msgspec.json.decode(journal.read_bytes()) == {
        "file": "dt=2026-11-22/hm=1159/a.parquet",
        "minute": "2026-11-22T11:59",
        "rows": 3,
        "bytes": 100,
        "received_first": "2026-11-22T11:59:58.999999Z",
        "received_last": "2026-11-22T12:00:00Z",
        "landed_at": "2026-11-22T12:00:00Z",
    }


def test_each_line_is_read_once_over_days_and_collectors(data_paths: DataPaths) -> None:
    assert read_since(data_paths, LedgerCursor()) == ([], LedgerCursor())
    enter(data_paths, "a", "b")
    enter(data_paths, "x", collector="d")
    found, cursor = read_since(data_paths, LedgerCursor())
    assert found == [line("a"), line("b"), line("x")]
    assert read_since(data_paths, cursor) == ([], cursor)

    enter(data_paths, "c")
    enter(data_paths, "e", at=NOON + timedelta(days=1))
    enter(data_paths, "f", at=NOON + timedelta(days=3))
    found, cursor = read_since(data_paths, cursor)
    assert [one.file[-9] for one in found] == ["c", "e", "f"]
    assert read_since(data_paths, cursor) == ([], cursor)


def test_a_cursor_survives_json(data_paths: DataPaths) -> None:
    enter(data_paths, "a")
    _, cursor = read_since(data_paths, LedgerCursor())
    assert msgspec.json.decode(msgspec.json.encode(cursor), type=LedgerCursor) == cursor


def test_a_torn_line_is_skipped_and_the_next_one_is_read(data_paths: DataPaths) -> None:
    enter(data_paths, "a")
    journal = ledger_folder(data_paths, "c") / "2026-11-22.jsonl"
    with journal.open("ab") as handle:
        handle.write(b'{"file": "dt=2026')
    found, cursor = read_since(data_paths, LedgerCursor())
    assert found == [line("a")]

    enter(data_paths, "b")
    with structlog.testing.capture_logs() as logs:
        found, cursor = read_since(data_paths, cursor)
    assert found == [line("b")]
    assert [entry["event"] for entry in logs] == ["ledger_line_skipped"]
    assert read_since(data_paths, cursor) == ([], cursor)


def test_a_line_that_is_being_written_is_left_for_the_next_time(data_paths: DataPaths) -> None:
    enter(data_paths, "a", "b")
    journal = ledger_folder(data_paths, "c") / "2026-11-22.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-10])
    found, cursor = read_since(data_paths, LedgerCursor())
    assert found == [line("a")]
    journal.write_bytes(whole)
    assert read_since(data_paths, cursor)[0] == [line("b")]


def test_a_removed_journal_is_passed_over(data_paths: DataPaths) -> None:
    enter(data_paths, "a")
    _, cursor = read_since(data_paths, LedgerCursor())
    (ledger_folder(data_paths, "c") / "2026-11-22.jsonl").unlink()
    enter(data_paths, "b", at=NOON + timedelta(days=1))
    assert [one.file[-9] for one in read_since(data_paths, cursor)[0]] == ["b"]
