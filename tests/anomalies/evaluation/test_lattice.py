"""The cells that readings fall into, and when walking forward learns anew."""

import itertools

import polars as pl
import pytest

from iot_pipeline.anomalies.evaluation.lattice import clocks, refits, without_long_holes

DAY = 86_400


def test_what_is_young_is_learned_anew_when_twice_as_much_has_come_and_then_daily() -> None:
    assert refits(0, 400, 5 * DAY, DAY).tolist()[:6] == [400, 1200, 3600, 10_800, 32_400, 97_200]
    later = refits(0, 400, 5 * DAY, DAY).tolist()[5:]
    assert [end - begin for begin, end in itertools.pairwise(later[:-1])] == [DAY] * (len(later) - 2)


def test_a_long_past_is_learned_anew_when_a_tenth_has_come() -> None:
    assert refits(0, 100_000, 300_000, 1000).tolist()[:3] == [100_000, 110_000, 121_000]


def test_without_a_past_the_first_day_is_waited_for() -> None:
    assert refits(7, 7, 3000, 1000).tolist()[:2] == [7, 1007]


SECOND = 1_000_000
WEEK = 7 * DAY * SECOND


def stamps(*us: int) -> pl.DataFrame:
    return pl.DataFrame({"subject": [0] * len(us), "us": us}, schema={"subject": pl.UInt32, "us": pl.Int64})


@pytest.mark.parametrize("step", [900, 1800, 7 * DAY, 36 * 3600, DAY // 2])
def test_the_cells_of_regular_readings_are_as_long_as_their_interval(step: int) -> None:
    regular = stamps(*(place * step * SECOND for place in range(50))).with_columns(fit_us=30 * step * SECOND)
    assert clocks(regular)["step"].item() == step * SECOND


def test_a_long_hole_is_closed_by_whole_weeks_and_a_short_one_stays() -> None:
    usual = [place * 900 * SECOND for place in range(100)]
    far = [usual[-1] + 1000 * WEEK + place * 900 * SECOND for place in range(1, 4)]
    fit = pl.DataFrame({"subject": [0], "fit_us": [usual[50]]}, schema={"subject": pl.UInt32, "fit_us": pl.Int64})
    moved, begin = without_long_holes(stamps(*usual, *far), fit)
    assert moved["us"].to_list()[:100] == usual
    assert [(was - us) % WEEK for was, us in zip(far, moved["us"].to_list()[100:], strict=True)] == [0, 0, 0]
    assert WEEK < moved["us"][100] - usual[-1] <= 3 * WEEK + 900 * SECOND
    assert begin["fit_us"].item() == usual[50]
    assert without_long_holes(stamps(*usual), fit)[0].equals(stamps(*usual))
