"""Dense numbers of series: those of a join, whatever order the rows are in."""

from datetime import timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.detectors.numbering import SERIES, series_in, series_numbers
from tests.anomalies.frames import NOW

ROWS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from("abc"), st.sampled_from("xy"), st.sampled_from(["u", None]))
)


@given(rows=ROWS)
def test_numbers_are_those_of_a_join(rows: list[tuple[int, str, str, str | None]]) -> None:
    frame = pl.DataFrame(
        [(NOW + timedelta(minutes=minute), *names) for minute, *names in rows],
        schema={"minute": pl.Datetime("us", "UTC"), **dict.fromkeys(SERIES, pl.String())},
        orient="row",
    )
    known = series_in(frame)
    assert_frame_equal(known, frame.select(SERIES).unique(maintain_order=True))
    some = known[::2]
    expected = [some.rows().index(row) if row in some.rows() else -1 for row in frame.select(SERIES).iter_rows()]
    assert series_numbers(frame, some).tolist() == expected
