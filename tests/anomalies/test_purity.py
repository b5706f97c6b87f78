"""The one law of detectors: a minute's flags depend on its look-back alone, however the range is cut."""

import itertools

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.detectors import Detector, default_detectors
from iot_pipeline.anomalies.flags import score_window
from iot_pipeline.clock import MINUTE, minutes_between
from tests.anomalies.frames import NOW, minute_by_minute, window

FIRST, LAST = NOW, NOW + 9 * MINUTE
START = NOW - 30 * MINUTE
DETECTORS: tuple[Detector, ...] = default_detectors()


def plant(seed: int, devices: int = 4) -> pl.DataFrame:
    """Series of different kinds over 40 minutes: gaps, constants, quantised, irregular, each with spikes."""
    rng = np.random.default_rng(seed)
    parts = []
    for device in range(devices):
        kind = rng.integers(4)
        minutes = []
        for _ in range(40):
            noise = rng.normal(size=0 if rng.random() < 0.1 else rng.integers(1, 31))
            values = 20.0 + (noise * 0 if kind == 0 else noise.round(1) if kind == 1 else noise * 0.1**kind)
            values[rng.random(len(values)) < 0.02] += 50.0
            minutes.append(values.tolist())
        parts.append(minute_by_minute(minutes, start=START, device=f"hall/m{device}"))
    return pl.concat(parts)


def flags_between(frame: pl.DataFrame, first: int, last: int) -> pl.DataFrame:
    return score_window(window(frame, FIRST + first * MINUTE, FIRST + last * MINUTE), DETECTORS)


@given(seed=st.integers(0, 10_000), cuts=st.sets(st.integers(1, 9)))
@settings(max_examples=25, deadline=None)
def test_a_range_gives_the_flags_of_its_parts(seed: int, cuts: set[int]) -> None:
    frame = plant(seed)
    whole = flags_between(frame, 0, 9)
    bounds = [0, *sorted(cuts), 10]
    parts = [flags_between(frame, start, end - 1) for start, end in itertools.pairwise(bounds)]

    # Equal to the last bit, scores and bands too: a recomputed minute must not differ from the kept one.
    assert_frame_equal(pl.concat(parts), whole, check_exact=True)


def test_each_minute_alone_gives_the_flags_of_the_range() -> None:
    frame = plant(7, devices=8)
    whole = flags_between(frame, 0, 9)
    alone = [flags_between(frame, minute, minute) for minute in range(10)]
    assert whole.height > 0
    assert_frame_equal(pl.concat(alone), whole, check_exact=True)


@given(seed=st.integers(0, 10_000), shuffle=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_order_and_other_series_do_not_matter(seed: int, shuffle: int) -> None:
    frame = plant(seed)
    one = frame.filter(pl.col("device_id") == "hall/m1")
    whole = flags_between(frame.sample(fraction=1.0, shuffle=True, seed=shuffle), 0, 9)
    assert_frame_equal(flags_between(one, 0, 9), whole.filter(pl.col("device_id") == "hall/m1"), check_exact=True)


@pytest.mark.parametrize("detector", DETECTORS, ids=lambda detector: detector.name)
def test_the_future_and_what_is_older_than_the_look_back_do_not_matter(detector: Detector) -> None:
    frame = plant(11)
    narrow = window(frame, lookback=int(detector.lookback / MINUTE))
    wide = window(frame, LAST, lookback=200)
    everything = type(narrow)(readings=frame, minutes=wide.minutes, first=narrow.first, last=narrow.last)
    columns = ["event_ts", "device_id"]
    assert_frame_equal(detector.score(everything).sort(columns), detector.score(narrow).sort(columns), check_exact=True)


def test_minutes_are_those_of_the_event() -> None:
    flags = flags_between(plant(3, devices=8), 0, 9)
    assert set(flags["minute"]) <= set(minutes_between(FIRST, LAST))
    assert (flags["minute"] == flags["event_ts"].dt.truncate("1m")).all()
