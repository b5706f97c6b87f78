"""Shapes of cyclic signals: valve strokes as waveforms, and signals that have no cycle."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from iot_pipeline.anomalies.engine.cycles import complete, nearest_of, period_of, stretches
from iot_pipeline.anomalies.engine.detector import Model
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.rolling import rolling_mean
from iot_pipeline.anomalies.engine.shape import Shape
from iot_pipeline.paths import PROJECT_ROOT

UCR = PROJECT_ROOT.parent / "shared" / "anomaly" / "ucr6.parquet"
SHAPE = Shape(sample=512)
TRAIN = 6000
BROKEN = 75

Values = NDArray[np.float64]


def strokes(fault: str | None = None, *, seed: int = 0) -> tuple[Values, int]:
    """Currents of a hundred strokes of a valve, one of them with a fault, and where that one begins."""
    rng = np.random.default_rng(seed)
    parts, begin = [], 0
    for number in range(100):
        t = np.arange(100 + rng.integers(-1, 2))
        hold = 70 if (fault, number) == ("slow", BROKEN) else 55
        wave = 4 * np.exp(-(((t - 15) / 4) ** 2)) + 2.0 * ((t > 15) & (t < hold))
        if (fault, number) != ("no_end", BROKEN):
            wave += 1.2 * np.exp(-(((t - hold - 5) / 6) ** 2))
        if (fault, number) == ("dip", BROKEN):
            wave -= 1.2 * np.exp(-(((t - 35) / 4) ** 2))
        if number < BROKEN:
            begin += t.size
        parts.append(wave + 0.08 * rng.standard_normal(t.size))
    return np.concatenate(parts), begin


def grid(*values: Values) -> Grid:
    names = pl.DataFrame({"series": [str(number) for number in range(len(values))]})
    return Grid(names, datetime(2026, 11, 2, tzinfo=UTC), timedelta(milliseconds=10), np.array(values))


def scores(values: Values, train: int = TRAIN) -> NDArray[np.float32]:
    whole = grid(values)
    return np.asarray(SHAPE.score(whole, SHAPE.fit(whole.head(train), ["valve"]), slice(train, None)).score[0])


@pytest.mark.parametrize("fault", ["slow", "no_end", "dip"])
def test_a_stroke_of_another_shape_is_the_strangest(fault: str) -> None:
    for seed in range(2):
        values, begin = strokes(fault, seed=seed)
        found = scores(values)
        assert begin <= TRAIN + int(found.argmax()) <= begin + 300
        elsewhere = found.copy()
        elsewhere[begin - TRAIN : begin - TRAIN + 320] = 0
        assert found.max() > 1.5 * elsewhere.max()


def test_strokes_as_usual_are_not_strange() -> None:
    assert scores(strokes()[0]).max() < 2.0


def test_what_is_expected_is_what_the_past_had_there() -> None:
    values, begin = strokes("dip", seed=1)
    whole = grid(values)
    found = SHAPE.score(whole, SHAPE.fit(whole.head(TRAIN), ["valve"]), slice(begin - 400, begin))
    middle, half = (found.expected_low + found.expected_high) / 2, (found.expected_high - found.expected_low) / 2
    known = np.isfinite(middle[0])
    inside = np.abs(values[begin - 400 : begin] - middle[0])[known] < 2 * half[0, known]
    assert known.sum() >= 400 // 9
    assert inside.mean() > 0.7


@pytest.mark.parametrize("length", [37, 100, 209])
def test_the_period_is_told_by_the_autocorrelation(length: int) -> None:
    rng = np.random.default_rng(1)
    cycle = np.sin(2 * np.pi * np.arange(4000) / length) + 0.5 * np.sin(6 * np.pi * np.arange(4000) / length)
    walk = np.cumsum(rng.standard_normal(4000))
    found = period_of(np.array([cycle + 0.2 * rng.standard_normal(4000), rng.standard_normal(4000), walk]), 8, 300, 0.5)
    assert abs(int(found[0]) - length) <= 1
    assert found[1] == 0


@pytest.mark.parametrize("values", [np.full(900, 3.0), np.full(900, np.nan), np.arange(900.0), np.zeros(0), np.ones(1)])
def test_a_signal_without_a_cycle_has_no_score(values: Values) -> None:
    whole = grid(values)
    model = SHAPE.fit(whole, ["any"])
    assert model.tables["cycle"].is_empty()
    found = SHAPE.score(whole, model, slice(0, None))
    assert (found.score == 0).all()
    assert np.isnan(found.expected_low).all()


def test_holes_in_a_cycle_have_no_score_and_do_no_harm() -> None:
    values, _ = strokes(seed=2)
    values[7000:7200] = np.nan
    found = scores(values)
    assert np.isfinite(found).all()
    assert found[1200:].max() < 2.0


def test_a_range_alone_is_as_in_the_whole() -> None:
    values, begin = strokes("slow", seed=3)
    whole = grid(values)
    model = SHAPE.fit(whole.head(TRAIN), ["valve"])
    everything = SHAPE.score(whole, model, slice(TRAIN, None))
    other = values.copy()
    other[: begin - SHAPE.lookback_of(whole)] = 99.0
    other[begin + 50 :] = -99.0
    alone = SHAPE.score(grid(other), model, slice(begin, begin + 50))
    np.testing.assert_allclose(alone.score, everything.score[:, begin - TRAIN : begin - TRAIN + 50], rtol=1e-5)


def test_series_together_are_as_each_alone() -> None:
    first, second = strokes(seed=4)[0][:9000], np.random.default_rng(1).standard_normal(9000)
    both = grid(second, first)
    model = SHAPE.fit(both.head(TRAIN), ["a", "b"])
    found = SHAPE.score(both, model, slice(TRAIN, None))
    assert (found.score[0] == 0).all()
    np.testing.assert_array_equal(found.score[1], scores(first))
    kept = Model(
        {name: pl.read_json(table.write_json().encode()).cast(table.schema) for name, table in model.tables.items()}
    )
    np.testing.assert_allclose(SHAPE.score(both, kept, slice(TRAIN, None)).score, found.score, rtol=1e-4)


def test_distance_is_that_of_the_nearest_that_does_not_overlap() -> None:
    rng = np.random.default_rng(2)
    windows, past = rng.standard_normal((30, 6)), rng.standard_normal((50, 6))
    at, seen = np.arange(100, 130), np.arange(60, 110)
    distance, nearest = nearest_of(windows, at, past, seen, 6)
    full = np.linalg.norm(windows[:, None] - past, axis=2)
    full[np.abs(at[:, None] - seen) < 6] = np.inf
    np.testing.assert_allclose(distance, full.min(axis=1))
    np.testing.assert_array_equal(nearest, full.argmin(axis=1))
    assert np.isinf(nearest_of(windows, at, past, seen, 99)[0]).all()


def test_a_stretch_is_told_by_the_means_of_its_pieces() -> None:
    means = rolling_mean(np.arange(12.0)[None], 2, 0, least=2)[0]
    at = complete(means, 2, 3)
    assert at.tolist() == list(range(5, 12))
    assert all(complete(means[:size], 2, 3).size == max(size - 5, 0) for size in range(12))
    windows, middle, size = stretches(means, 2, 3, at, 0.0)
    np.testing.assert_allclose(windows[2] * size[2] + middle[2], [2.5, 4.5, 6.5])


@pytest.mark.skipif(not UCR.exists(), reason="labelled data is not here")
def test_the_strangest_instants_of_the_archive_are_the_labelled_ones() -> None:
    for _, series in pl.read_parquet(UCR).group_by("series", maintain_order=True):
        values, train = series["value"].to_numpy(), int(series["train_end"][0])
        labelled = np.flatnonzero(series["label"].to_numpy())
        # Of the long one a part, for the time it takes.
        begin = max(train, int(labelled[0]) - 8000)
        shape, whole = Shape(), grid(values)
        found = shape.score(whole, shape.fit(whole.head(train), ["any"]), slice(begin, int(labelled[-1]) + 4000)).score[
            0
        ]
        assert labelled[0] - 100 <= begin + int(found.argmax()) <= labelled[-1] + 200


def test_the_day_of_a_building_is_no_stroke() -> None:
    daily = np.sin(2 * np.pi * np.arange(2000) / 96)
    whole = grid(daily)
    slow = Grid(whole.series, whole.start, timedelta(minutes=15), whole.values)
    assert SHAPE.fit(slow, ["any"]).tables["cycle"].is_empty()
    assert SHAPE.lookback_of(slow) < 20
    assert not SHAPE.fit(whole, ["any"]).tables["cycle"].is_empty()
