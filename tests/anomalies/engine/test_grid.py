"""Frames of readings become grids, whatever they look like."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.engine import grid_of, grids_of
from tests.anomalies.engine.series import START, STEP

MINUTE = timedelta(minutes=1)


def frame(*rows: tuple[str, datetime | None, float | None]) -> pl.DataFrame:
    schema = pl.Schema({"series": pl.String(), "ts": pl.Datetime("us", "UTC"), "value": pl.Float64()})
    return pl.DataFrame(rows, schema=schema, orient="row")


def test_readings_land_in_the_cell_of_their_time() -> None:
    found = grid_of(
        frame(
            ("a", START, 1.0),
            ("a", START + MINUTE, 2.0),
            ("a", START + 3 * MINUTE, 4.0),
            ("a", START + 4 * MINUTE, 5.0),
        )
    )
    assert found.step == MINUTE
    assert found.start == START
    np.testing.assert_array_equal(found.values, [[1.0, 2.0, np.nan, 4.0, 5.0]])


def test_order_and_exact_duplicates_do_not_matter() -> None:
    rows = [("a", START + n * MINUTE, float(n)) for n in range(5)]
    expected = grid_of(frame(*rows))
    shuffled = grid_of(frame(*(rows[n] for n in (3, 0, 4, 2, 1, 0, 4))))
    np.testing.assert_array_equal(shuffled.values, expected.values)


def test_of_two_readings_at_one_instant_the_first_counts() -> None:
    found = grid_of(frame(("a", START, 1.0), ("a", START, 9.0), ("a", START + MINUTE, 2.0)))
    assert found.values[0, 0] == 1.0


def test_further_readings_within_a_step_are_averaged() -> None:
    rows = [("a", START + n * MINUTE, 0.0) for n in range(6)]
    found = grid_of(frame(*rows, ("a", START + timedelta(seconds=10), 4.0)), step=MINUTE)
    assert found.values[0, 0] == 2.0


def test_jitter_around_the_full_minute_leaves_no_holes() -> None:
    seconds = np.random.default_rng(1).uniform(-3, 3, 50)
    rows = [("a", START + n * MINUTE + timedelta(seconds=float(s)), float(n)) for n, s in enumerate(seconds)]
    found = grid_of(frame(*rows))
    assert found.step == MINUTE
    np.testing.assert_array_equal(found.values[0], np.arange(50.0))


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_missing(value: float | None) -> None:
    found = grid_of(frame(("a", START, 1.0), ("a", START + MINUTE, value), ("a", START + 2 * MINUTE, 3.0)), step=MINUTE)
    np.testing.assert_array_equal(found.values, [[1.0, np.nan, 3.0]])


def test_nothing_gives_an_empty_grid() -> None:
    assert grid_of(frame()).values.shape == (0, 0)
    assert grids_of(frame()) == []


def test_series_without_any_number_keep_their_row() -> None:
    found = grid_of(frame(("a", START, None), ("b", START, 1.0), ("b", START + MINUTE, 2.0)))
    assert found.series["series"].to_list() == ["a", "b"]
    assert np.isnan(found.values[0]).all()


def test_a_single_reading_is_a_grid_of_one_cell() -> None:
    assert grid_of(frame(("a", START, 5.0))).values.tolist() == [[5.0]]


def test_one_reading_of_another_century_does_not_blow_up_the_grid() -> None:
    rows = [("a", START + n * MINUTE, float(n)) for n in range(100)]
    found = grid_of(frame(*rows, ("a", datetime(1970, 1, 1, tzinfo=UTC), 1.0)))
    assert found.width <= 101 * 9


def test_series_of_other_intervals_or_times_get_grids_of_their_own() -> None:
    fast = [("fast", START + n * MINUTE, 1.0) for n in range(10)]
    slow = [("slow", START + n * STEP, 1.0) for n in range(10)]
    later = [("later", START + timedelta(days=900) + n * MINUTE, 1.0) for n in range(10)]
    found = {grid.series["series"][0]: grid for grid in grids_of(frame(*fast, *slow, *later))}
    assert {name: (grid.step, grid.width) for name, grid in found.items()} == {
        "fast": (MINUTE, 10),
        "slow": (STEP, 10),
        "later": (MINUTE, 10),
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.one_of(st.none(), st.datetimes(datetime(1990, 1, 1), datetime(2040, 1, 1))),  # noqa: DTZ001 -- naive is UTC
            st.one_of(st.none(), st.floats(width=64)),
        ),
        max_size=12,
    )
)
def test_any_readings_become_grids_of_bounded_size(rows: list[tuple[str, datetime | None, float | None]]) -> None:
    schema = pl.Schema({"series": pl.String(), "ts": pl.Datetime("us"), "value": pl.Float64()})
    found = grid_of(pl.DataFrame(rows, schema=schema, orient="row"))
    assert found.width <= 9 * max(len(rows), 1) + 9
    assert len(found.series) == len({row[0] for row in rows})
