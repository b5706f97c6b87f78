"""Signals faster than three minutes, whose day has more columns than detectors look back: a day is a day there too."""

from datetime import timedelta

import numpy as np
import pytest

from iot_pipeline.anomalies.engine import Grid, Union
from iot_pipeline.anomalies.engine.coarse import Coarse
from iot_pipeline.anomalies.engine.creep import Creep
from iot_pipeline.anomalies.engine.scale import LONGEST_DAY
from tests.anomalies.engine.series import Values, grid

MINUTE = timedelta(minutes=1)
DAY = 1440
COARSE = Coarse(detector=Creep(), most=LONGEST_DAY)


def minutes(days: int, *, seed: int = 0) -> Values:
    """A day's wave with noise, a reading a minute."""
    time = np.arange(days * DAY)
    return np.asarray(np.sin(2 * np.pi * time / DAY) + np.random.default_rng(seed).normal(0, 0.2, time.size))


def switching(rows: int, *, seed: int = 0) -> Values:
    """A load that changes every few minutes, a reading a second."""
    random = np.random.default_rng(seed)
    loads = np.repeat(random.choice([12.0, 15.0, 18.0], rows), random.integers(60, 600, rows))[:rows]
    return np.asarray(loads + random.normal(0, 0.1, rows))


def drifting(days: int) -> Values:
    values = minutes(days)
    values[-DAY:] += np.linspace(0, 2, DAY)
    return values


def test_a_drift_of_a_day_stands_out_at_the_pace_of_a_day() -> None:
    def strength(detector: Creep | Coarse) -> float:
        everything = grid(drifting(10), step=MINUTE)
        model = detector.fit(everything.head(9 * DAY), ["a"])
        score = detector.score(everything, model, slice(2 * DAY, None)).score[0]
        return float(score[-DAY:].max() / score[:-DAY].max())

    assert strength(COARSE) > 2
    assert strength(Creep()) < 1.5


@pytest.mark.parametrize(("begin", "end"), [(0, 40), (1, 2), (700, 1440)])
def test_scores_depend_on_the_look_back_alone(begin: int, end: int) -> None:
    everything = grid(drifting(10), step=MINUTE)
    model = COARSE.fit(everything.head(8 * DAY), ["a"])
    first, last = 8 * DAY + begin, 8 * DAY + end
    expected = COARSE.score(everything, model, slice(8 * DAY, 9 * DAY)).score[:, begin:end]
    since = first - COARSE.lookback_of(everything)
    short = Grid(everything.series, everything.start + since * MINUTE, MINUTE, everything.values[:, since:last])
    np.testing.assert_array_equal(COARSE.score(short, model, slice(first - since, None)).score, expected)


def test_signals_that_are_slow_enough_are_left_as_they_are() -> None:
    slow = grid(drifting(10)[::15], step=15 * MINUTE)
    model = COARSE.fit(slow, ["a"])
    expected = Creep().score(slow, Creep().fit(slow, ["a"]), slice(200, None))
    np.testing.assert_array_equal(COARSE.score(slow, model, slice(200, None)).score, expected.score)


@pytest.mark.parametrize("width", [0, 1, 2, 7])
def test_less_than_a_block_says_nothing(width: int) -> None:
    little = grid(np.arange(float(width)), step=timedelta(seconds=1))
    assert not COARSE.score(little, COARSE.fit(little, ["a"]), slice(None)).score.any()


def test_what_comes_again_within_a_day_is_told_once() -> None:
    values, first = minutes(8), 7 * DAY + 100
    values[[first, first + DAY // 2]] += 3
    union, everything = Union(), grid(values, step=MINUTE)
    flags = union.score(everything, union.fit(everything.head(7 * DAY)), slice(7 * DAY, None)).filter("flag")
    assert flags["ts"].to_list() == [everything.start + first * MINUTE]


def test_a_load_that_switches_does_not_widen_what_is_expected_beyond_all_that_was() -> None:
    values, second = switching(60_000), timedelta(seconds=1)
    values[50_000:50_020] += 12
    union, everything = Union(), grid(values, step=second)
    scores = union.score(everything, union.fit(everything.head(40_000)), slice(40_000, None))
    assert everything.start + 50_000 * second in scores.filter("flag")["ts"].to_list()
    assert scores.filter("flag").height <= 3
