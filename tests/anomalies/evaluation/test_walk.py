"""Walking forward: the past only, a row out for each row in, and a defined outcome for every kind of input."""

import math
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.evaluation.baselines import RandomScores
from iot_pipeline.anomalies.evaluation.methods import LEARNING
from iot_pipeline.anomalies.evaluation.walk import NO_TIME, walk_forward
from iot_pipeline.errors import ConfigurationError
from tests.anomalies.evaluation.histories import DAYS, START, long, wide

FIT = START + timedelta(days=4)


def altered(frame: pl.DataFrame, after: int, channel: str) -> pl.DataFrame:
    later = np.arange(frame.height) > after
    return frame.with_columns(
        pl.when(pl.Series(later)).then(pl.col(channel) * -7 + 1e3).otherwise(channel).alias(channel)
    )


@pytest.mark.parametrize("after", [384, 385, 500, 700, 1_000])
def test_what_comes_later_changes_no_score(after: int) -> None:
    frame = long()
    scored = walk_forward(frame, fit_until=FIT)
    other = walk_forward(altered(frame, after, "value"), fit_until=FIT)
    assert other.head(after + 1).equals(scored.head(after + 1))
    assert not other.equals(scored)


@pytest.mark.parametrize("after", [600, 900])
def test_what_comes_later_changes_no_score_of_channels(after: int) -> None:
    frame = wide()
    until = START + timedelta(seconds=500)
    scored = walk_forward(frame, fit_until=until, refit=timedelta(minutes=2))
    other = walk_forward(altered(frame, after, "flow"), fit_until=until, refit=timedelta(minutes=2))
    assert other.head(after + 1).equals(scored.head(after + 1))


@pytest.mark.parametrize("rows", [400, 577, 900])
def test_a_history_that_ends_earlier_has_the_same_scores(rows: int) -> None:
    frame = long()
    shorter, longer = walk_forward(frame.head(rows), fit_until=FIT), walk_forward(frame, fit_until=FIT).head(rows)
    # Sums over arrays of another width may differ in the last of seven digits.
    assert (shorter["score"] - longer["score"]).abs().max() <= 1e-6  # type: ignore[operator]
    assert shorter.drop("score").equals(longer.drop("score"))


@pytest.mark.parametrize("row", [5, 900])
def test_one_clock_that_begins_in_1970_costs_no_other_row_its_score(row: int) -> None:
    frame = long()
    reset = pl.when(pl.int_range(pl.len()) == row).then(datetime(1970, 1, 1, tzinfo=UTC)).otherwise("ts")
    scored, expected = (
        walk_forward(frame.with_columns(reset.alias("ts")), fit_until=FIT),
        walk_forward(frame, fit_until=FIT),
    )
    away = (scored["score"] - expected["score"]).abs().to_numpy()
    assert np.median(away) < 0.02
    assert (scored["reason"] == LEARNING).sum() in {(expected["reason"] == LEARNING).sum() + extra for extra in (0, 1)}


def test_a_time_far_in_the_future_changes_no_earlier_score() -> None:
    frame = long()
    far = frame.tail(1).with_columns(pl.lit(datetime(2262, 1, 1, tzinfo=UTC)).alias("ts").cast(frame.schema["ts"]))
    scored = walk_forward(pl.concat([frame, far]), fit_until=FIT)
    assert scored.head(frame.height).equals(walk_forward(frame, fit_until=FIT))


def test_a_begin_within_a_long_hole_scores_what_follows_it() -> None:
    frame = long()
    later = pl.when(pl.int_range(pl.len()) >= 600).then(pl.col("ts") + timedelta(days=700)).otherwise("ts")
    scored = walk_forward(frame.with_columns(later.alias("ts")), fit_until=START + timedelta(days=300))
    assert (scored["reason"] == LEARNING).fill_null(value=False).to_list() == [row < 600 for row in range(frame.height)]


def test_readings_of_every_morning_at_six_are_told_as_of_six() -> None:
    frame = long(days=120, step=timedelta(days=1)).with_columns(pl.col("ts") + timedelta(hours=6))
    frame = frame.with_columns(pl.when(pl.int_range(pl.len()) == 100).then(20.9).otherwise("value").alias("value"))
    reasons = walk_forward(frame, fit_until=START + timedelta(days=60)).row(100, named=True)["reason"]
    assert "usual for Tue 06:00" in reasons


@pytest.mark.parametrize(("factor", "offset"), [(1e-12, 0), (1e-3, 0), (1e9, 0), (1, 1e5)])
def test_the_unit_does_not_matter(factor: float, offset: float) -> None:
    frame = long().with_columns(pl.when(pl.int_range(pl.len()) == 900).then(40.0).otherwise("value").alias("value"))
    scored = walk_forward(frame, fit_until=FIT)
    other = walk_forward(frame.with_columns(pl.col("value") * factor + offset), fit_until=FIT)
    assert other["flag"].equals(scored["flag"])
    assert scored["flag"].any()
    assert (other["score"] - scored["score"]).abs().max() < 1e-3  # type: ignore[operator]


def test_a_series_has_the_same_scores_alone_and_among_others() -> None:
    one, other = long(1), long(2, series="lake", step=timedelta(minutes=5))
    both = walk_forward(pl.concat([one, other]), fit_until=FIT)
    assert walk_forward(one, fit_until=FIT).equals(both.head(one.height))


def test_the_order_of_rows_does_not_matter() -> None:
    frame = pl.concat([long(1), long(2, series="lake")])
    shuffled = frame.with_row_index("place").sample(fraction=1.0, shuffle=True, seed=3)
    scored = walk_forward(shuffled, fit_until=FIT).with_columns(shuffled["place"])
    assert scored.sort("place").drop("place").equals(walk_forward(frame, fit_until=FIT))


def test_there_is_a_row_for_each_row_with_series_and_ts_as_they_were() -> None:
    frame = long().with_columns(pl.col("ts").dt.strftime("%Y-%m-%d %H:%M:%S"))
    scored = walk_forward(frame, fit_until=FIT)
    assert scored.select("series", "ts").equals(frame.select("series", "ts"))
    assert scored.columns == ["series", "ts", "score", "flag", "type", "expected_low", "expected_high", "reason"]
    assert scored["score"].null_count() == scored["flag"].null_count() == 0
    assert scored["score"].is_finite().all()


def test_what_is_learned_from_has_no_score() -> None:
    scored = walk_forward(long(), fit_until=FIT).with_columns(early=pl.col("ts") < FIT)
    early = scored.filter("early")
    assert (early["score"].max(), early["flag"].any(), early["reason"].unique().to_list()) == (0.0, False, [LEARNING])
    assert not (scored.filter(~pl.col("early"))["reason"] == LEARNING).any()


def test_flag_is_score_at_the_threshold_with_type_and_reason() -> None:
    frame = altered(long(), 1_000, "value")
    scored = walk_forward(frame, fit_until=FIT)
    flagged = scored.filter("flag")
    assert flagged.height
    assert (flagged["score"] >= 1).all()
    assert flagged["type"].null_count() == flagged["reason"].null_count() == 0


def test_by_default_the_first_part_is_for_learning() -> None:
    scored = walk_forward(long(days=20))
    assert (scored["reason"] == LEARNING).sum() == math.floor(0.15 * 20 * 96)
    assert (walk_forward(wide())["reason"] == LEARNING).sum() == math.floor(0.35 * 1_500)


def test_each_series_can_have_its_own_begin() -> None:
    frame = pl.concat([long(1), long(2, series="lake"), long(3, series="sea")])
    scored = walk_forward(frame, fit_until={"river": FIT, "lake": FIT + timedelta(days=2)})
    learning = scored.filter(pl.col("reason") == LEARNING).group_by("series").len()
    assert dict(learning.iter_rows()) == {"river": 4 * 96, "lake": 6 * 96, "sea": DAYS * 96}


@pytest.mark.parametrize("hours", [5, 30])
@pytest.mark.parametrize("after", [2, 22])
def test_silence_is_told_at_the_row_that_ends_it_whatever_was_learned_meanwhile(after: int, hours: int) -> None:
    frame, begin = long(), FIT + timedelta(days=1, hours=after)
    frame = frame.filter(~pl.col("ts").is_between(begin, begin + timedelta(hours=hours), closed="none"))
    scored = walk_forward(pl.concat([long(1, series="lake"), frame]), fit_until=FIT)
    told = scored.filter(pl.col("type") == "gap")
    assert told["series"].to_list() == ["river"]
    assert told["ts"].to_list() == [begin + timedelta(hours=hours)]
    assert told["reason"].to_list() == [f"nothing was read for {hours} h"]


def test_a_device_that_falls_silent_as_a_whole_is_told() -> None:
    frame, until = wide(), START + timedelta(seconds=500)
    frame = frame.filter(~pl.col("ts").is_between(START + timedelta(seconds=900), START + timedelta(seconds=1_020)))
    told = walk_forward(frame, fit_until=until, budget=10.0).filter(pl.col("type") == "gap")
    assert told["ts"].to_list() == [START + timedelta(seconds=1_021)]
    assert told["reason"].to_list() == ["nothing was read for 2 min"]
    assert told["expected_low"].to_list() == [None]


def test_repeated_rows_all_have_the_score_of_the_first() -> None:
    frame = long()
    doubled = pl.concat([frame, frame.with_columns(pl.col("value") + 1e6)])
    scored = walk_forward(doubled, fit_until=FIT)
    assert scored.head(frame.height).equals(walk_forward(frame, fit_until=FIT))
    assert scored.tail(frame.height).equals(scored.head(frame.height))


def test_rows_without_a_time_are_not_scored() -> None:
    frame = long().with_columns(pl.when(pl.int_range(pl.len()) == 700).then(None).otherwise("ts").alias("ts"))
    row = walk_forward(frame, fit_until=FIT).row(700, named=True)
    assert (row["ts"], row["score"], row["flag"], row["reason"]) == (None, 0.0, False, NO_TIME)


def test_scores_do_not_depend_on_where_learning_is_cut_for_chance() -> None:
    frame = long()
    daily = walk_forward(frame, fit_until=FIT, method=RandomScores())
    once = walk_forward(frame, fit_until=FIT, method=RandomScores(), refit=timedelta(days=99))
    assert daily.equals(once)


UNUSUAL = {
    "empty": long().clear(),
    "one reading": long().head(1),
    "two readings": long().head(2),
    "constant": long().with_columns(pl.lit(5.0).alias("value")),
    "quantised": long().with_columns(pl.col("value").round(0)),
    "all missing": long().with_columns(pl.lit(None, pl.Float64).alias("value")),
    "missing in the past": long().with_columns(pl.when(pl.col("ts") >= FIT).then("value").alias("value")),
    "not finite": long().with_columns(
        pl.when(pl.int_range(pl.len()) % 50 == 0).then(math.inf).otherwise("value").alias("value")
    ),
    "huge": long().with_columns(pl.col("value") * 1e300),
    "irregular": long().sample(fraction=0.3, seed=1),
    "bursts": long().filter(pl.col("ts").dt.hour() == 3),
    "one instant": long().with_columns(pl.lit(START).alias("ts")),
    "another interval": pl.concat(
        [long(days=6), long(days=20, step=timedelta(hours=1)).filter(pl.col("ts") >= START + timedelta(days=6))]
    ),
    "another unit": long().with_columns(
        pl.when(pl.col("ts") > FIT + timedelta(days=2))
        .then(pl.col("value") * 1.8 + 32)
        .otherwise("value")
        .alias("value")
    ),
    "years apart": pl.concat([long(), long().with_columns(pl.col("ts") + timedelta(days=20_000))]),
    "first and last year": long().with_columns(
        pl.when(pl.int_range(pl.len()) < 10)
        .then(datetime(1, 1, 1, tzinfo=UTC))
        .otherwise(datetime(9999, 12, 31, tzinfo=UTC))
        .alias("ts")
    ),
    "no name": long().with_columns(pl.lit(None, pl.String).alias("series")),
    "texts": long().with_columns(pl.col("value").cast(pl.String)),
    "change of clocks": long().with_columns(
        (pl.col("ts") + timedelta(days=22)).dt.convert_time_zone("Europe/Berlin").alias("ts")
    ),
}


@pytest.mark.parametrize("kind", UNUSUAL)
@pytest.mark.parametrize("fit_until", [None, FIT, START, START + timedelta(days=900)])
def test_every_input_has_an_outcome(kind: str, fit_until: datetime | None) -> None:
    frame = UNUSUAL[kind]
    scored = walk_forward(frame, fit_until=fit_until)
    assert scored.select("series", "ts").equals(frame.select("series", "ts"))
    assert scored["score"].is_finite().all()
    assert scored.filter("flag").height == scored.filter(pl.col("score") >= 1).height


@pytest.mark.parametrize("change", ["constant", "missing", "one row", "irregular"])
def test_every_input_of_channels_has_an_outcome(change: str) -> None:
    frame = wide()
    changed = {
        "constant": frame.with_columns(pl.lit(1.0).alias("flow")),
        "missing": frame.with_columns(pl.lit(None, pl.Float64).alias("flow")),
        "one row": frame.head(1),
        "irregular": frame.sample(fraction=0.4, seed=2),
    }[change]
    scored = walk_forward(changed)
    assert scored.height == changed.height
    assert scored["score"].is_finite().all()


def test_several_devices_with_channels_are_scored_each_by_itself() -> None:
    one, other = wide(1, series="b"), wide(2, series="a")
    both = walk_forward(pl.concat([one, other]))
    assert walk_forward(one).equals(both.head(one.height))
    assert walk_forward(other).equals(both.tail(other.height))


@settings(max_examples=25, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from(["a", "b", None]),
            st.none() | st.integers(0, 5_000_000),
            st.none() | st.floats(allow_nan=True, allow_infinity=True),
        ),
        max_size=60,
    )
)
def test_any_rows_come_back_with_a_score(rows: list[tuple[str | None, int | None, float | None]]) -> None:
    frame = pl.DataFrame(rows, schema={"series": pl.String, "ts": pl.Int64, "value": pl.Float64}, orient="row")
    scored = walk_forward(frame, ts_unit="s")
    assert scored.select("series", "ts").equals(frame.select("series", "ts"))
    assert scored["score"].is_finite().all()


def test_what_cannot_be_asked_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="are missing"):
        walk_forward(pl.DataFrame({"series": ["a"], "ts": [1]}))
    with pytest.raises(ConfigurationError, match="above zero"):
        walk_forward(long(), budget=0.0)
