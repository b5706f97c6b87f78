"""The typed union: what it finds, what it says, and that it says the same of the same past."""

import hashlib
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.engine import Grid, Member, Union, UnionModel
from iot_pipeline.anomalies.engine.stuck import Stuck
from tests.anomalies.engine.series import DAY, START, STEP, Values, daily, grid

DAYS = 24
FROM = 20 * DAY


@pytest.fixture(scope="module")
def learned() -> tuple[Union, UnionModel]:
    union = Union()
    return union, union.fit(grid(daily(20)))


def flagged(learned: tuple[Union, UnionModel], values: Values) -> pl.DataFrame:
    union, model = learned
    return union.score(grid(values), model, slice(FROM, None)).filter("flag")


def spike(values: Values, at: int) -> None:
    values[at] += 12


def stuck(values: Values, at: int) -> None:
    values[at : at + 40] = values[at]


def gap(values: Values, at: int) -> None:
    values[at : at + 40] = np.nan


def drift(values: Values, at: int) -> None:
    values[at : at + 2 * DAY] += np.linspace(0, 12, 2 * DAY)


def sentinel(values: Values, at: int) -> None:
    values[at : at + 3] = -9999.0


@pytest.mark.parametrize(
    ("fault", "detector", "kind", "said"),
    [
        (spike, "ridge_1", "spike", "expected from its last readings"),
        (stuck, "stuck", "stuck", "has not changed for"),
        (gap, "gap", "gap", "nothing was read for"),
        (drift, "creep", "drift", "has drifted out of"),
        (sentinel, "range_rule", "range", "cannot be a measurement"),
    ],
)
def test_each_fault_is_told_by_its_type(
    learned: tuple[Union, UnionModel], fault: object, detector: str, kind: str, said: str
) -> None:
    values = daily(DAYS, seed=3)
    at = FROM + 100
    assert callable(fault)
    fault(values, at)
    during = pl.col("ts").is_between(START + at * STEP, START + (at + 2 * DAY) * STEP)
    flags = flagged(learned, values).filter(during, pl.col("detector") == detector)
    assert flags.height >= 1
    assert flags["type"].unique().to_list() == [kind]
    assert said in flags["reason"][0]


def test_a_quiet_series_is_hardly_flagged(learned: tuple[Union, UnionModel]) -> None:
    assert flagged(learned, daily(DAYS, seed=5)).height <= 2


def test_a_lasting_disturbance_is_told_once(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=6)
    gap(values, FROM + 50)
    assert flagged(learned, values).filter(pl.col("type") == "gap").height == 1


def test_a_value_that_stays_is_told_where_few_digits_make_it_stay_often(learned: tuple[Union, UnionModel]) -> None:
    union, _ = learned
    values = np.round(daily(DAYS, seed=4))
    values[FROM + 130 : FROM + 180] = values[FROM + 130]
    model = union.fit(grid(values).head(FROM))
    flags = union.score(grid(values), model, slice(FROM, None)).filter(pl.col("detector") == "stuck")
    told = flags["ts"].item()
    assert START + (FROM + 130) * STEP < told < START + (FROM + 180) * STEP
    # People are told the time, which is not the score.
    hours = round((told - START - (FROM + 130) * STEP) / timedelta(hours=1))
    assert flags["reason"].item().startswith(f"has not changed for {hours} h")


@pytest.mark.parametrize("counts", [False, True])
def test_thresholds_come_back_from_the_measure_of_the_tail(counts: bool) -> None:
    member = Member(detector=Stuck(), share=0.1, least=1.0, counts=counts)
    scores = np.array([0.0, 3.0, 96.0], dtype=np.float32)
    np.testing.assert_allclose(member.score_of(member.tail_of(scores)), scores, rtol=1e-5)
    assert member.score_of(np.array([1e6, np.inf])).max() <= 1e9


def test_that_a_reading_comes_back_is_not_told(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=6)
    begin, end = FROM + 50, FROM + 110
    values[begin:end] += 8
    flags = flagged(learned, values)
    times = [START + at * STEP for at in (begin, end)]
    assert times[0] in flags["ts"].to_list()
    assert flags.filter(pl.col("ts").is_between(times[1], times[1] + 20 * STEP)).is_empty()


def test_a_step_hours_after_a_huge_spike_is_no_return(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=6)
    values[FROM + 50] += 30
    values[FROM + 80 : FROM + 140] += 9
    step = START + (FROM + 80) * STEP
    assert flagged(learned, values).filter(pl.col("ts").is_between(step, step + 20 * STEP)).height


def flood(values: Values, at: int, height: float) -> None:
    """Rises within an hour and a half, recedes within days."""
    since = np.arange(values.size - at)
    values[at:] += height * (1 - np.exp(-since / 6)) * np.exp(-since / 200)


def test_one_movement_is_told_once_though_several_detectors_see_it(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=8)
    flood(values, FROM + 50, 14)
    begin = START + (FROM + 50) * STEP
    times = flagged(learned, values)["ts"].to_list()
    assert sum(begin <= ts < begin + timedelta(hours=6) for ts in times) == 1


def test_what_is_much_stranger_than_the_movement_before_it_is_news(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=8)
    values[FROM + 50] += 3
    values[FROM + 58] += 10
    flags = flagged(learned, values).select("ts", "detector").rows()
    assert {(START + (FROM + at) * STEP, "ridge_1") for at in (50, 58)} <= set(flags)


def test_a_value_that_stays_after_a_step_is_news(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=8)
    values[FROM + 50 : FROM + 100] = values[FROM + 50] + 8
    flags = flagged(learned, values)
    assert flags["type"].to_list()[:2] == ["spike", "stuck"]


def test_a_step_that_nothing_was_told_before_is_told_towards_the_usual_too(learned: tuple[Union, UnionModel]) -> None:
    union, model = learned
    values = daily(DAYS, seed=6)
    # The fault is so old that its begin lies before the quiet time.
    values[FROM - 4 * DAY : FROM + 50] += 8
    flags = union.score(grid(values), model, slice(FROM, None)).filter("flag")
    assert START + (FROM + 50) * STEP in flags["ts"].to_list()


def test_flag_means_a_score_of_one_or_more(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=7)
    spike(values, FROM + 30)
    union, model = learned
    scores = union.score(grid(values), model, slice(FROM, None))
    assert (scores["flag"] == (scores["score"] >= 1.0)).all()
    assert scores.filter("flag")["reason"].is_not_null().all()
    assert scores.filter(~pl.col("flag"))["reason"].is_null().all()


def test_the_band_is_in_the_unit_of_the_series(learned: tuple[Union, UnionModel]) -> None:
    values = daily(DAYS, seed=8)
    spike(values, FROM + 30)
    row = flagged(learned, values).row(0, named=True)
    assert 10 < row["expected_low"] < row["expected_high"] < row["value"]


@pytest.mark.parametrize("cut", [0, 37, 200])
def test_scores_do_not_depend_on_where_a_range_was_cut(learned: tuple[Union, UnionModel], cut: int) -> None:
    union, model = learned
    values = daily(DAYS, seed=9)
    spike(values, FROM + 60)
    whole = grid(values)
    expected = union.score(whole, model, slice(FROM + cut, FROM + cut + 40))
    begin = FROM + cut - union.lookback_of(whole)
    short = Grid(whole.series, whole.start + begin * STEP, STEP, whole.values[:, begin : FROM + cut + 40])
    alone = union.score(short, model, slice(FROM + cut - begin, None))
    assert alone.equals(expected)


def test_what_comes_later_changes_nothing(learned: tuple[Union, UnionModel]) -> None:
    union, model = learned
    values = daily(DAYS, seed=10)
    expected = union.score(grid(values[: FROM + 50]), model, slice(FROM, None))
    values[FROM + 50 :] = 1e6
    assert union.score(grid(values), model, slice(FROM, FROM + 50)).equals(expected)


def test_series_do_not_see_each_other() -> None:
    union = Union()
    one, two = daily(22, seed=1), daily(22, seed=2) * 50
    both, alone = grid(one, two), grid(one)
    models = union.fit(both.head(FROM)), union.fit(alone.head(FROM))
    together = union.score(both, models[0], slice(FROM, None)).filter(pl.col("series") == "s0")
    by_itself = union.score(alone, models[1], slice(FROM, None))
    np.testing.assert_allclose(together["score"], by_itself["score"], rtol=1e-4)


def test_series_are_scored_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    both = grid(daily(22, seed=1), daily(22, seed=2) * 50)
    union = Union()
    at_once = union.score(both, union.fit(both.head(FROM)), slice(FROM, None))
    monkeypatch.setattr("iot_pipeline.anomalies.engine.union.CHUNK_CELLS", 1)
    one_by_one = union.score(both, union.fit(both.head(FROM)), slice(FROM, None))
    assert one_by_one.equals(at_once)


def test_equal_pasts_give_equal_models() -> None:
    def digest(model: UnionModel) -> str:
        tables = [model.scale, model.thresholds]
        for name in sorted(model.detectors):
            tables += [model.detectors[name].tables[table] for table in sorted(model.detectors[name].tables)]
        return hashlib.sha256("".join(table.write_json() for table in tables).encode()).hexdigest()

    past = grid(daily(20), daily(20, seed=1))
    assert digest(Union().fit(past)) == digest(Union().fit(past))


def test_a_larger_budget_gives_no_fewer_flags() -> None:
    values = daily(40, seed=11)
    union = Union()
    counts = []
    for budget in (0.01, 0.1, 2.0):
        model = union.fit(grid(values).head(FROM), budget=budget)
        counts.append(union.score(grid(values), model, slice(FROM, None))["flag"].sum())
    assert counts == sorted(counts)


def test_faults_in_the_past_do_not_hide_those_to_come() -> None:
    values = daily(DAYS, seed=12)
    for day in (5, 9, 14):
        spike(values, day * DAY)
    spike(values, FROM + 70)
    union = Union()
    model = union.fit(grid(values).head(FROM))
    flags = union.score(grid(values), model, slice(FROM, None)).filter("flag")
    assert START + (FROM + 70) * STEP in flags["ts"].to_list()


@pytest.mark.parametrize(
    "values",
    [
        np.full(DAYS * DAY, 7.0),
        np.full(DAYS * DAY, np.nan),
        np.round(daily(DAYS)),
        np.where(np.arange(DAYS * DAY) == 5, 1.0, np.nan),
        np.where(np.arange(DAYS * DAY) % 7 == 0, daily(DAYS), np.nan),
        np.cumsum(np.ones(DAYS * DAY)) * 1e9,
        daily(DAYS) * 1e-12,
        np.where(np.arange(DAYS * DAY) < FROM, daily(DAYS), daily(DAYS) * 1.8 + 32),
    ],
    ids=["constant", "all missing", "quantised", "one reading", "mostly missing", "counter", "tiny", "unit changes"],
)
def test_odd_series_have_a_defined_outcome(values: Values) -> None:
    union = Union()
    everything = grid(values)
    model = union.fit(everything.head(FROM))
    scores = union.score(everything, model, slice(FROM, None))
    assert scores.height == everything.width - FROM
    assert scores["score"].is_finite().all()


def test_a_constant_series_is_not_flagged_and_its_first_change_is() -> None:
    values = np.full(DAYS * DAY, 7.0)
    values[FROM + 40] = 8.0
    union = Union()
    flags = union.score(grid(values), union.fit(grid(values).head(FROM)), slice(FROM, None)).filter("flag")
    assert flags["ts"].to_list()[0] == START + (FROM + 40) * STEP


def test_nothing_is_said_before_something_was_learned() -> None:
    union = Union()
    values = daily(2)
    model = union.fit(grid(np.full(10, np.nan)))
    assert not union.score(grid(values), model)["flag"].any()


@pytest.mark.parametrize("shape", [(0, 0), (0, 50), (2, 0), (1, 1)])
def test_empty_grids_are_scored_as_such(shape: tuple[int, int]) -> None:
    empty = Grid(
        pl.DataFrame({"series": [f"s{n}" for n in range(shape[0])]}, schema={"series": pl.String}),
        START,
        STEP,
        np.full(shape, np.nan),
    )
    union = Union()
    assert union.score(empty, union.fit(empty)).height == shape[0] * shape[1]


@pytest.mark.parametrize("start", ["2026-03-27", "2026-10-23"])
def test_a_night_of_daylight_saving_is_a_night_like_others(start: str) -> None:
    begin = START.replace(month=int(start[5:7]), day=int(start[8:])) - timedelta(days=20)
    values = daily(DAYS, seed=13)
    union = Union()
    everything = grid(values, start=begin)
    flags = union.score(everything, union.fit(everything.head(FROM)), slice(FROM, None)).filter("flag")
    assert flags.height <= 2


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.lists(st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, -9999.0])), min_size=120, max_size=120),
        min_size=1,
        max_size=3,
    ),
    st.sampled_from([1, 60, 900, 86_400]),
)
def test_no_values_raise_or_warn(rows: list[list[float]], seconds: int) -> None:
    values = np.array(rows)
    values[~np.isfinite(values)] = np.nan
    everything = grid(*values, step=timedelta(seconds=seconds))
    union = Union()
    scores = union.score(everything, union.fit(everything.head(80)), slice(80, None))
    assert scores["score"].is_finite().all()


@pytest.mark.parametrize("budget", [0.0, -1.0])
def test_a_budget_must_be_above_zero(budget: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        Union().fit(grid(daily(2)), budget=budget)
