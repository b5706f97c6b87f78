"""Dense numbers of series: those of a join, whatever order the rows are in."""

from datetime import timedelta

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.detectors.numbering import SERIES, Directory, Numbering, numbers_of_runs, series_numbers
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
    known = frame.select(SERIES).unique(maintain_order=True)
    some = known[::2]
    expected = [some.rows().index(row) if row in some.rows() else -1 for row in frame.select(SERIES).iter_rows()]
    assert series_numbers(frame, some).tolist() == expected


def fleet(count: int) -> pl.DataFrame:
    """So many that they are looked up by hashes; devices have three metrics each."""
    number = pl.int_range(pl.len())
    return pl.DataFrame({"device_id": [f"m{number // 3}" for number in range(count)]}).with_columns(
        metric=pl.format("t{}", number % 3), unit=pl.when(number % 2 == 0).then(pl.lit("K"))
    )


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_many_are_found_as_a_join_finds_them(seed: int) -> None:
    names = fleet(5000)
    known = names.sample(fraction=0.8, shuffle=True, seed=seed)
    asked = names.sample(fraction=0.8, shuffle=True, seed=seed + 1)
    numbered = known.with_row_index("number")
    joined = asked.join(numbered, on=SERIES, how="left", nulls_equal=True, maintain_order="left")
    expected = joined["number"].cast(pl.Int64).fill_null(-1).to_list()
    assert Directory(known).numbers(asked).tolist() == expected
    twice = asked[np.repeat(np.arange(asked.height), 2)]
    assert numbers_of_runs(twice, Directory(known)).tolist() == [number for number in expected for _ in range(2)]


def test_numbers_stay_when_series_come_and_go() -> None:
    names, numbering = fleet(3000), Numbering()
    some = numbering.numbers(names[:2000])
    assert numbering.numbers(names[1000:]).tolist() == list(range(1000, 3000))
    assert numbering.numbers(names[:2000]).tolist() == some.tolist()
    assert numbering.series.equals(names)
