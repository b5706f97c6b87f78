import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.clock import MINUTE
from iot_pipeline.trees import UTC_MICROSECONDS, MinuteTree

SCHEMA = {"minute": UTC_MICROSECONDS, "value": pl.Int64()}
DAY = date(2026, 11, 20)
START = datetime(2026, 11, 20, tzinfo=UTC)
NO_GRACE = timedelta(0)


def rows(minute: datetime, *values: int) -> pl.DataFrame:
    return pl.DataFrame({"minute": [minute] * len(values), "value": values}, schema=SCHEMA)


def tree_at(folder: Path) -> MinuteTree:
    tree = MinuteTree(folder / "tree", SCHEMA)
    tree.prepare()
    return tree


# A step writes values to a minute, seals the day or deletes what is superseded.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 3), st.lists(st.integers(0, 9), max_size=3)),
        st.sampled_from([("seal", 0, []), ("clean", 0, [])]),
    ),
    max_size=12,
)


@given(steps=steps)
@settings(max_examples=40, deadline=None)
def test_each_row_is_seen_once_whatever_was_sealed_when(
    steps: list[tuple[str, int, list[int]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    tree = tree_at(tmp_path_factory.mktemp("law"))
    model: dict[datetime, list[int]] = {}
    for step, offset, values in steps:
        minute = START + offset * MINUTE
        if step == "write":
            tree.write(minute, rows(minute, *values))
            model[minute] = values
        elif step == "seal":
            assert (tree.seal(DAY) is not None) == bool(model)
        else:
            tree.remove_superseded(datetime.now(UTC) + timedelta(days=1), NO_GRACE)
        expected = pl.concat([tree.empty(), *(rows(minute, *model[minute]) for minute in sorted(model))])
        assert_frame_equal(tree.read(START, START + 3 * MINUTE), expected)


def test_late_minutes_of_a_sealed_day_make_one_new_version(tmp_path: Path) -> None:
    tree = tree_at(tmp_path)
    tree.write_many({START: rows(START, 1), START + MINUTE: rows(START + MINUTE, 2)})
    first = tree.seal(DAY)
    tree.write_many({START: rows(START, 7), START + MINUTE: tree.empty()})
    assert tree.read(START, START + MINUTE)["value"].to_list() == [7]
    versions = tree.sealed.versions(DAY)
    assert len(versions) == 2
    assert versions[0] == first


def test_files_are_kept_for_the_grace_period(tmp_path: Path) -> None:
    tree = tree_at(tmp_path)
    tree.write(START, rows(START, 1))
    tree.seal(DAY)
    now = datetime.now(UTC)
    assert tree.remove_superseded(now, timedelta(minutes=15)) == []
    assert tree.file(START).exists()
    assert tree.remove_superseded(now + timedelta(minutes=16), timedelta(minutes=15)) != []
    assert not tree.file(START).exists()
    assert tree.read(START, START)["value"].to_list() == [1]


def test_a_version_is_newer_than_the_one_before_even_if_the_clock_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = tree_at(tmp_path)
    tree.write(START, rows(START, 1))
    tree.seal(DAY)
    monkeypatch.setattr("iot_pipeline.sealed_days.utc_now", lambda: START - timedelta(days=300))
    tree.write(START, rows(START, 2))
    assert tree.read(START, START)["value"].to_list() == [2]


def test_a_failed_seal_changes_nothing(tmp_path: Path) -> None:
    tree = tree_at(tmp_path)
    tree.write(START, rows(START, 1))
    with pytest.raises(ZeroDivisionError), tree.sealed.publishing(DAY):
        raise ZeroDivisionError
    assert tree.sealed.current(DAY) is None
    assert not list(tree.sealed.root.glob(f"dt={DAY}/*"))


def test_writers_of_a_sealed_day_take_turns(tmp_path: Path) -> None:
    tree = tree_at(tmp_path)
    tree.write(START, rows(START, 0))
    tree.seal(DAY)
    minutes = [START + index * MINUTE for index in range(12)]
    threads = [threading.Thread(target=tree.write, args=(minute, rows(minute, 1))) for minute in minutes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert tree.read(minutes[0], minutes[-1])["value"].to_list() == [1] * 12


def test_columns_that_are_missing_or_cannot_be_cast_are_refused(tmp_path: Path) -> None:
    tree = tree_at(tmp_path)
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        tree.write(START, pl.DataFrame({"value": [1]}))
    with pytest.raises(pl.exceptions.InvalidOperationError):
        tree.write(START, pl.DataFrame({"minute": [START], "value": ["x"]}))


def test_files_of_a_release_with_fewer_columns_are_read_sealed_and_rewritten(tmp_path: Path) -> None:
    earlier = MinuteTree(tmp_path / "tree", {"minute": UTC_MICROSECONDS})
    for number in range(3):
        minute = START + number * MINUTE
        earlier.write(minute, rows(minute, 1).drop("value"))
    tree = tree_at(tmp_path)
    tree.write(START + MINUTE, rows(START + MINUTE, 2))
    expected = [(START, None), (START + MINUTE, 2), (START + 2 * MINUTE, None)]
    assert tree.read(START, START + 2 * MINUTE).rows() == expected
    assert tree.seal(DAY) is not None
    assert tree.read(START, START + 2 * MINUTE).rows() == expected


def test_a_day_sealed_with_fewer_columns_takes_late_minutes(tmp_path: Path) -> None:
    earlier = MinuteTree(tmp_path / "tree", {"minute": UTC_MICROSECONDS})
    earlier.write(START, rows(START, 1).drop("value"))
    earlier.seal(DAY)
    tree = tree_at(tmp_path)
    assert tree.read(START, START).rows() == [(START, None)]
    tree.write(START + MINUTE, rows(START + MINUTE, 2))
    assert tree.read(START, START + MINUTE).rows() == [(START, None), (START + MINUTE, 2)]
