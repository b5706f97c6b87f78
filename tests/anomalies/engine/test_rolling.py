"""Rolling statistics: right, and the same however a range was cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.engine import rolling


@pytest.mark.parametrize("window", [1, 2, 3, 7, 16, 50])
@pytest.mark.parametrize("origin", [0, 1, 5, 20])
def test_sums_and_maxima_are_those_of_the_window(window: int, origin: int) -> None:
    values = np.random.default_rng(0).normal(size=(3, 40))
    for column in range(40):
        part = values[:, max(column - window + 1, 0) : column + 1]
        np.testing.assert_allclose(rolling.rolling_sum(values, window, origin)[:, column], part.sum(axis=1))
        np.testing.assert_array_equal(rolling.rolling_max(values, window, origin)[:, column], part.max(axis=1))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 20), st.integers(0, 1000), st.integers(0, 30))
def test_a_cut_changes_no_digit(window: int, origin: int, cut: int) -> None:
    values = np.random.default_rng(origin).normal(0, 1e6, size=(2, 80)).astype(np.float32)
    whole = rolling.rolling_mean(values, window, origin)
    part = rolling.rolling_mean(values[:, cut:], window, origin + cut)
    np.testing.assert_array_equal(part[:, window:], whole[:, cut + window :])


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 20), st.integers(0, 1000), st.integers(0, 60), st.booleans())
def test_the_last_columns_alone_are_those_of_all(window: int, origin: int, begin: int, by_column: bool) -> None:
    rng = np.random.default_rng(origin)
    values = rng.normal(0, 1e6, size=(3, 61)).astype(np.float32)
    values = np.asfortranarray(values) if by_column else values
    values[rng.random(values.shape) < 0.1] = np.nan
    whole = rolling.rolling_mean(values, window, origin, least=window // 2)
    np.testing.assert_array_equal(
        rolling.rolling_mean(values, window, origin, least=window // 2, begin=begin), whole[:, begin:]
    )
    true = rng.random(values.shape) < 0.8
    np.testing.assert_array_equal(rolling.run_length(true, begin=begin), rolling.run_length(true)[:, begin:])


def test_missing_cells_do_not_count() -> None:
    values = np.array([[1.0, np.nan, 3.0, np.nan, np.nan]])
    np.testing.assert_array_equal(rolling.rolling_mean(values, 2, 0), [[1.0, 1.0, 3.0, 3.0, np.nan]])


def test_holes_are_bridged_so_far_and_no_further() -> None:
    values = np.array([[1.0, np.nan, np.nan, np.nan, 5.0]])
    np.testing.assert_array_equal(rolling.forward_filled(values, 2), [[1.0, 1.0, 1.0, np.nan, 5.0]])


def test_quantiles_of_rows_leave_out_what_is_missing() -> None:
    values = np.array([[3.0, np.nan, 1.0, 2.0], [np.nan] * 4])
    np.testing.assert_array_equal(rolling.median(values), [[2.0], [np.nan]])


def test_run_lengths_count_up_to_the_cell() -> None:
    assert rolling.run_length(np.array([[True, True, False, True]])).tolist() == [[1, 2, 0, 1]]
