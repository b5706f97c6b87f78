"""What the ensemble says of a device whose channels go together, and of one that has something wrong."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.channels import Channels, ChannelsModel, grid_of_wide
from iot_pipeline.anomalies.engine.grid import Grid
from tests.anomalies.channels.plant import HISTORY, NAMES, SECOND, START, Values, grid, plant, share

CHANNELS = Channels()


def judged(values: Values, history: int = HISTORY, budget: float = 0.1) -> pl.DataFrame:
    whole = grid(values)
    model = CHANNELS.fit(whole.head(history), budget=budget)
    return CHANNELS.score(whole, model, slice(history, None))


def test_a_device_as_usual_is_not_flagged() -> None:
    for seed in range(5):
        assert share(judged(plant(3600, seed=seed), 1800)["flag"]) < 0.01


@pytest.mark.parametrize("channel", range(len(NAMES)))
def test_the_channel_that_leaves_its_level_is_named(channel: int) -> None:
    values = plant()
    usual = pl.Series(np.convolve(values[channel], np.full(10, 0.1), "valid")[711:791])
    values[channel, 700:] *= 1.4
    found = judged(values)[120:200].with_columns(usual=usual).filter("flag")
    assert found.height > 70
    assert share(found["channel"] == NAMES[channel]) > 0.95
    assert found["type"].unique().to_list() == ["multichannel"]
    assert share(found["expected_low"] < found["usual"]) > 0.9
    assert share(found["expected_high"] > found["usual"]) > 0.9
    assert share(found["reason"].str.starts_with(NAMES[channel])) > 0.9


def test_a_channel_that_no_longer_follows_the_others_is_found_within_its_usual_range() -> None:
    values = plant(seed=3)
    values[1, 700:] = 2 * values[1, :HISTORY].mean() - values[1, 700:]  # pressure falls when the flow rises
    found = judged(values)[110:].filter("flag")
    assert found.height > 20
    assert "pressure" in found["channel"].value_counts(sort=True)["channel"][0]
    assert found["reason"].str.contains("other 4 channels let expect").any()


def test_a_single_reading_far_off_is_found_at_once() -> None:
    values = plant(seed=4)
    values[2, 720] += 8.0
    found = judged(values)
    assert found["flag"][120]
    assert found["channel"][120] == "current"
    assert found["value"][120] == pytest.approx(values[2, 720])
    assert "current at " in found["reason"][120]


def test_a_channel_that_falls_silent_is_named() -> None:
    values = plant(seed=5)
    values[3, 700:] = np.nan
    found = judged(values)
    late = found[140:]
    assert late["flag"].all()
    assert late["reason"].unique().to_list() == ["speed is silent while other channels of the device go on"]
    assert not found[:125]["flag"].any()


def test_a_channel_that_stands_still_is_named() -> None:
    values = plant(seed=6)
    values[4, 700:] = values[4, 699]
    late = judged(values)[135:170]
    assert late["flag"].all()
    assert late["reason"].str.contains("temperature").all()
    assert late["reason"].str.contains("stood still at").any()


def test_a_device_that_is_silent_as_a_whole_has_no_guilty_channel() -> None:
    values = plant(seed=7)
    values[:, 700:800] = np.nan
    assert not judged(values)[115:200]["flag"].any()


def test_missing_readings_here_and_there_change_nothing() -> None:
    values = plant(seed=8)
    values[np.random.default_rng(1).random(values.shape) < 0.1] = np.nan
    assert share(judged(values)["flag"]) < 0.02


@pytest.mark.parametrize("kind", ["constant", "duplicate", "missing"])
def test_a_channel_without_news_disturbs_nobody(kind: str) -> None:
    values = plant(seed=9)
    extra = {"constant": np.full(900, 5.0), "duplicate": values[0].copy(), "missing": np.full(900, np.nan)}[kind]
    whole = grid(np.vstack([values, extra]), names=(*NAMES, "extra"))
    model = CHANNELS.fit(whole.head(HISTORY))
    assert share(CHANNELS.score(whole, model, slice(HISTORY, None))["flag"]) < 0.02
    changed = whole.values.copy()
    changed[0, 700:] += 5.0
    found = CHANNELS.score(Grid(whole.series, whole.start, whole.step, changed), model, slice(720, 800))
    assert found["flag"].all()


def test_a_constant_channel_that_moves_is_flagged() -> None:
    values = np.vstack([plant(seed=10), np.full(900, 5.0)])
    values[5, 700:] = 9.0
    whole = grid(values, names=(*NAMES, "mode"))
    found = CHANNELS.score(whole, CHANNELS.fit(whole.head(HISTORY)), slice(712, 760))
    assert found["flag"].all()
    assert found["channel"].unique().to_list() == ["mode"]


@pytest.mark.parametrize("columns", [0, 1, 2, 50])
def test_a_short_history_is_learning_and_flags_nothing(columns: int) -> None:
    whole = grid(plant())
    model = CHANNELS.fit(whole.head(columns))
    found = CHANNELS.score(whole, model, slice(columns, None))
    assert found.height == 900 - columns
    assert found["score"].max() == 0.0
    assert not found["flag"].any()


def test_nothing_was_ever_read() -> None:
    whole = grid(np.full((5, 300), np.nan))
    found = CHANNELS.score(whole, CHANNELS.fit(whole))
    assert found.height == 300
    assert not found["flag"].any()
    assert found["value"].is_null().all()


def test_no_devices() -> None:
    empty = Grid(grid(plant()).series.clear(), START, SECOND, np.zeros((0, 10)))
    assert CHANNELS.score(empty, CHANNELS.fit(empty)).is_empty()


def test_another_interval_or_an_unknown_device_is_not_judged() -> None:
    values = plant()
    values[0, 700:] *= 2
    model = CHANNELS.fit(grid(values[:, :HISTORY]))
    slower = CHANNELS.score(grid(values, step=timedelta(seconds=5)), model)
    assert slower.height == 900
    assert not slower["flag"].any()
    both = CHANNELS.score(grid(values, values), model, slice(HISTORY, None))
    flags = both.group_by("series").agg(pl.col("flag").any()).sort("series")
    assert flags["flag"].to_list() == [True, False]


def test_a_new_channel_is_ignored_and_a_lost_one_is_missing() -> None:
    values = plant()
    model = CHANNELS.fit(grid(values[:, :HISTORY]))
    usual = CHANNELS.score(grid(values), model)
    more = CHANNELS.score(grid(np.vstack([values, values[0]]), names=(*NAMES, "new")), model)
    assert_frame_equal(usual, more)
    fewer = CHANNELS.score(grid(values[:4], names=NAMES[:4]), model)
    assert fewer["reason"].str.contains("temperature is silent").any()


def test_devices_together_are_as_each_alone() -> None:
    values = [plant(seed=seed) for seed in (1, 2, 3)]
    values[1][2, 700:] += 4
    values[2][1, 100:140] = np.nan
    together = grid(*values)
    model = CHANNELS.fit(together.head(HISTORY))
    found = CHANNELS.score(together, model, slice(HISTORY, None))
    for number, one in enumerate(values):
        name = "abc"[number]
        alone = grid(one)
        alone = Grid(alone.series.with_columns(series=pl.lit(name)), alone.start, alone.step, alone.values)
        expected = CHANNELS.score(alone, CHANNELS.fit(alone.head(HISTORY)), slice(HISTORY, None))
        assert_frame_equal(found.filter(pl.col("series") == name), expected, rel_tol=1e-6)


@settings(max_examples=20, deadline=None)
@given(first=st.integers(0, 880), length=st.integers(1, 200))
def test_any_range_alone_is_as_in_the_whole(first: int, length: int) -> None:
    """Nothing before the look-back and nothing after a cell counts."""
    values = WORLD.values.copy()
    last = min(first + length, 900)
    values[:, last:] = 1e6
    values[:, : max(first - CHANNELS.lookback_of(WORLD), 0)] = -1e6
    other = Grid(WORLD.series, WORLD.start, WORLD.step, values)
    assert_frame_equal(CHANNELS.score(other, MODEL, slice(first, last)), SCORES[first:last], rel_tol=1e-9)


def test_a_model_is_kept_as_tables(tmp_path: Path) -> None:
    for name, table in MODEL.tables.items():
        table.write_parquet(tmp_path / f"{name}.parquet")
    tables = {name: pl.read_parquet(tmp_path / f"{name}.parquet") for name in MODEL.tables}
    assert_frame_equal(CHANNELS.score(WORLD, ChannelsModel(tables, MODEL.step, MODEL.budget)), SCORES)


def test_a_smaller_budget_has_higher_thresholds() -> None:
    history = grid(plant(seed=11)).head(HISTORY)
    thresholds = [CHANNELS.fit(history, budget=budget).tables["device"]["core_threshold"][0] for budget in (10, 1, 0.1)]
    assert thresholds == sorted(set(thresholds))
    with pytest.raises(ValueError, match="above 0"):
        CHANNELS.fit(history, budget=0.0)


def test_rows_in_any_order_twice_and_with_holes_are_one_grid() -> None:
    times = pl.datetime_range(START, START + 899 * SECOND, SECOND, eager=True)
    frame = pl.DataFrame({"series": "a", "ts": times, **dict(zip(NAMES, plant(), strict=True))})
    whole = grid_of_wide(frame)
    assert whole.series["channel"].to_list() == sorted(NAMES)
    mixed = grid_of_wide(pl.concat([frame, frame[::7]]).sample(fraction=1.0, shuffle=True, seed=1))
    np.testing.assert_array_equal(mixed.values, whole.values)
    holes = grid_of_wide(
        frame.with_columns(flow=pl.when(pl.col("ts") > START + 10 * SECOND).then("flow")).remove(
            pl.col("ts") == START + SECOND
        )
    )
    assert np.isnan(holes.values[:, 1]).all()


def test_names_from_outside_stay_text() -> None:
    names = ("{}", "<b>", "a'; drop table", "channel", "ts")
    values = plant()
    values[0, 700:] *= 1.4
    whole = grid(values, names=names)
    found = CHANNELS.score(whole, CHANNELS.fit(whole.head(HISTORY)), slice(720, 740))
    assert found["reason"].str.starts_with("{} at ").all()


WORLD = grid(plant(seed=20))
WORLD.values[0, 500:560] += 4
WORLD.values[1, 300:340] = np.nan
WORLD.values[2, 650:] = np.nan
MODEL = CHANNELS.fit(WORLD.head(400))
SCORES = CHANNELS.score(WORLD, MODEL)
