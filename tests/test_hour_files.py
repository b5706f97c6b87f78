"""Copies of closed hours: whatever was written, sealed or deleted when, each row is read once and none is stale."""

import os
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline import hour_files
from iot_pipeline.clock import MINUTE, utc_now
from iot_pipeline.hour_files import FEWEST_MINUTES, GRACE
from iot_pipeline.trees import UTC_MICROSECONDS, MinuteTree

SCHEMA = {"minute": UTC_MICROSECONDS, "value": pl.Int64()}
DAY = date(2026, 11, 20)
TEN = datetime(2026, 11, 20, 10, tzinfo=UTC)
# The last minutes of one hour and the first of the next one.
START, MINUTES = TEN - 4 * MINUTE, 8
LAST = START + (MINUTES - 1) * MINUTE


def rows(minute: datetime, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"minute": [minute] * len(values), "value": values}, schema=SCHEMA)


def tree_at(folder: Path) -> MinuteTree:
    tree = MinuteTree(folder / "tree", SCHEMA)
    tree.prepare()
    return tree


def filled(folder: Path, minutes: int = 60) -> MinuteTree:
    tree = tree_at(folder)
    tree.write_many({TEN + index * MINUTE: rows(TEN + index * MINUTE, index) for index in range(minutes)})
    return tree


def copies(tree: MinuteTree) -> list[Path]:
    return sorted(tree.open.glob("dt=*/hours/*"))


def by_parts(tree: MinuteTree, first: datetime, last: datetime) -> pl.DataFrame:
    """What a reader gets that takes the files as they are named."""
    found = [tree.empty()]
    for part in tree.open_parts(first, last):
        for path in part.files:
            if path.exists():
                read = pl.read_parquet(path, hive_partitioning=False).select(list(SCHEMA))
                found.append(read.filter(pl.col("minute").is_between(part.first, part.last)))
    return pl.concat(found)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sets(st.integers(0, MINUTES - 1), min_size=1), st.integers(0, 9)),
        st.sampled_from([("seal", set[int](), 0), ("clean", set[int](), 0)]),
    ),
    max_size=12,
)


@given(steps=steps)
@settings(max_examples=25, deadline=None)
def test_each_row_is_read_once_whatever_happened(
    steps: list[tuple[str, set[int], int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = tree_at(tmp_path_factory.mktemp("law"))
    model: dict[datetime, list[int]] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hour_files, "FEWEST_MINUTES", 2)
        for step, offsets, value in steps:
            if step == "write":
                changed = {START + offset * MINUTE: [value + offset] * (value % 3) for offset in offsets}
                tree.write_many({minute: rows(minute, *values) for minute, values in changed.items()})
                model |= changed
            elif step == "seal":
                tree.seal(DAY)
            else:
                tree.remove_superseded(utc_now() + timedelta(days=1), timedelta(0))
            for first in (START, START + 2 * MINUTE):
                expected = [rows(minute, *model[minute]) for minute in sorted(model) if minute >= first]
                assert_frame_equal(tree.read(first, LAST), pl.concat([tree.empty(), *expected]))
                if tree.sealed.current(DAY) is None:
                    assert_frame_equal(by_parts(tree, first, LAST), pl.concat([tree.empty(), *expected]))


def test_a_closed_hour_is_one_file_to_who_reads_many_of_its_minutes(tmp_path: Path) -> None:
    tree = filled(tmp_path)
    (part,) = tree.open_parts(TEN, TEN + 59 * MINUTE)
    assert part.is_hour
    assert list(part.files) == copies(tree)
    (few,) = tree.open_parts(TEN, TEN + (FEWEST_MINUTES - 2) * MINUTE)
    assert not few.is_hour


def test_the_running_hour_is_not_copied(tmp_path: Path) -> None:
    tree = tree_at(tmp_path)
    now = utc_now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    tree.write_many({hour + index * MINUTE: rows(hour + index * MINUTE, 1) for index in range(60)})
    assert [path for path in copies(tree) if path.name.startswith(f"{hour:%H}-")] == []


def test_a_replaced_minute_makes_its_copy_count_no_more(tmp_path: Path) -> None:
    tree = filled(tmp_path)
    (old,) = copies(tree)
    # As a writer does who was killed before it came to the copy.
    late = tree_at(tmp_path / "other")
    late.write(TEN, rows(TEN, 77))
    late.file(TEN).replace(tree.file(TEN))
    assert not any(part.is_hour for part in tree.open_parts(TEN, TEN + 59 * MINUTE))
    assert by_parts(tree, TEN, TEN + 59 * MINUTE)["value"].to_list() == [77, *range(1, 60)]
    # Whoever writes next makes a new one; the old one stays for those who have found it.
    tree.write(TEN + MINUTE, rows(TEN + MINUTE, 88))
    assert old in copies(tree)
    assert by_parts(tree, TEN, TEN + 59 * MINUTE)["value"].to_list() == [77, 88, *range(2, 60)]
    os.utime(old, (0, (utc_now() - 2 * GRACE).timestamp()))
    tree.write(TEN + MINUTE, rows(TEN + MINUTE, 99))
    assert old not in copies(tree)


def test_an_hour_that_cannot_be_copied_is_read_by_its_minutes(tmp_path: Path) -> None:
    tree = filled(tmp_path, minutes=FEWEST_MINUTES)
    torn = tree.file(TEN)
    torn.write_bytes(b"PAR1 torn")
    tree.write(TEN + 10 * MINUTE, rows(TEN + 10 * MINUTE, 5))
    assert tree.read(TEN + 10 * MINUTE, TEN + 10 * MINUTE)["value"].to_list() == [5]
    assert not any(part.is_hour for part in tree.open_parts(TEN, TEN + 59 * MINUTE))


def test_a_large_hour_is_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hour_files, "MOST_BYTES", 1_000)
    assert copies(filled(tmp_path)) == []


def test_copies_go_with_the_open_day(tmp_path: Path) -> None:
    tree = filled(tmp_path)
    tree.seal(DAY)
    tree.remove_superseded(utc_now() + timedelta(days=1), timedelta(0))
    assert copies(tree) == []


def test_a_reader_beside_a_writer_sees_each_minute_once_and_whole(tmp_path: Path) -> None:
    tree = filled(tmp_path)
    done = threading.Event()

    def write() -> None:
        for turn in range(30):
            minute = TEN + (turn % 60) * MINUTE
            tree.write(minute, rows(minute, 1000 + turn, 1000 + turn))
        done.set()

    writing = threading.Thread(target=write)
    writing.start()
    seen = 0
    while not done.is_set() or not seen:
        found = (
            tree.read(TEN, TEN + 59 * MINUTE).group_by("minute").agg(pl.len(), pl.col("value").n_unique().alias("n"))
        )
        assert found.height == 60
        assert found["n"].unique().to_list() == [1]
        seen += 1
    writing.join()
