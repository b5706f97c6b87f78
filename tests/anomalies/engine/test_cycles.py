"""Broken cycles in the union: a compressor's are told as a shape, sound ones and other signals are left alone."""

from collections.abc import Iterator
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from threadpoolctl import threadpool_limits

from iot_pipeline.anomalies.engine import Union, UnionModel, members
from iot_pipeline.anomalies.engine.shape import Shape
from tests.anomalies.engine.series import START, Values, grid

STEP = timedelta(seconds=10)
DAY = 8640
FROM = 2 * DAY
BROKEN = 650
"""Number of a cycle after `FROM`."""


def compressor(fault: str | None = None, *, seed: int) -> tuple[Values, int]:
    """Power of three days, a cycle in some five minutes, and where the cycle with a fault begins."""
    rng = np.random.default_rng(seed)
    parts, begin = [], 0
    for number in range(3 * DAY // 30 + 30):
        time = np.arange(30 + rng.integers(-1, 2))
        run = 12 + round(2 * np.sin(2 * np.pi * number / 288))
        power = np.where(time < run, 7 + 0.1 * time, 0.2)
        if number == BROKEN and fault == "clipped":
            power = np.minimum(power, 3)
        if number == BROKEN and fault == "short":
            power = np.where(time < 5, power, 0.2)
        if number == BROKEN and fault == "twice":
            power = np.where(time % 10 < 5, 7.5, 0.2)
        begin += time.size if number < BROKEN else 0
        parts.append(power + rng.normal(0, 0.12, time.size))
    return np.round(np.concatenate(parts)[: 3 * DAY], 2), begin


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """As `iot evaluate` runs it: the matrices are small."""
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="module")
def learned(one_thread: None) -> tuple[Union, UnionModel]:
    del one_thread
    union = Union()
    return union, union.fit(grid(compressor(seed=0)[0][:FROM], step=STEP))


def flags(learned: tuple[Union, UnionModel], values: Values) -> pl.DataFrame:
    union, model = learned
    return union.score(grid(values, step=STEP), model, slice(FROM, None)).filter("flag")


@pytest.mark.parametrize("fault", ["clipped", "short", "twice"])
def test_a_broken_cycle_is_told_as_a_shape(learned: tuple[Union, UnionModel], fault: str) -> None:
    values, begin = compressor(fault, seed=71)
    found = flags(learned, values).filter(pl.col("type") == "shape")
    assert START + begin * STEP <= found["ts"].item() <= START + (begin + 60) * STEP
    assert found["detector"].item() == "shape"
    assert found["reason"].item().startswith("the last cycle is like none before it; now ")
    assert found["expected_low"].item() < found["expected_high"].item()


def test_sound_cycles_are_not_flagged(learned: tuple[Union, UnionModel]) -> None:
    assert flags(learned, compressor(seed=72)[0]).is_empty()


@pytest.mark.parametrize("step", [timedelta(seconds=10), timedelta(minutes=15)])
def test_signals_without_a_cycle_are_scored_as_without_shapes(step: timedelta) -> None:
    rng = np.random.default_rng(3)
    walk = np.cumsum(rng.normal(0, 1, 2400))
    values = grid(walk, rng.normal(0, 1, 2400), np.linspace(0, 9, 2400), np.round(walk / 8), step=step)
    others = Union(members=tuple(member for member in members() if not isinstance(member.detector, Shape)))
    without = others.score(values, others.fit(values.head(1800)), slice(1800, None))
    union = Union()
    assert_frame_equal(union.score(values, union.fit(values.head(1800)), slice(1800, None)), without)


def test_a_compressor_that_pauses_as_it_does_each_night_is_not_flagged() -> None:
    values = compressor(seed=73)[0]
    for night in range(3):
        values[night * DAY : night * DAY + 2000] = 0.2
    union = Union()
    whole = grid(values, step=STEP)
    found = union.score(whole, union.fit(whole.head(FROM)), slice(FROM, None)).filter("flag")
    assert found.filter(pl.col("type") == "shape").is_empty()
