"""The exact two-means against scikit-learn's K-means, and the rule on top of it."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iot_pipeline.anomalies.detectors import KMeansMinute
from iot_pipeline.anomalies.detectors.kmeans_minute import two_means
from iot_pipeline.clock import MINUTE
from tests.anomalies.frames import NOW, minute_by_minute, readings, window

values_of_a_minute = st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=2, max_size=29)


def split(minutes: list[list[float]]) -> pl.DataFrame:
    last = NOW + (len(minutes) - 1) * MINUTE
    return two_means(window(minute_by_minute(minutes, start=NOW), NOW, last).numbers())


def inertia(clusters: pl.DataFrame) -> float:
    """Sum of squares within the clusters, from the labels alone."""
    groups = clusters.group_by("group", "is_low").agg(((pl.col("value") - pl.col("value").mean()) ** 2).sum())
    return float(groups["value"].sum())


@given(values_of_a_minute)
@settings(max_examples=60, deadline=None)
def test_no_cut_of_the_sorted_values_is_better(values: list[float]) -> None:
    ordered = np.sort(values)
    cuts = [ordered[:cut].var() * cut + ordered[cut:].var() * (len(values) - cut) for cut in range(1, len(values))]
    assert inertia(split([values])) == pytest.approx(min(cuts), rel=1e-9, abs=1e-6)


def test_it_is_what_scikit_learn_finds_or_better() -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    rng = np.random.default_rng(3)
    equal = 0
    for _ in range(40):
        values = rng.normal(20.0, 1.0, 28)
        values[: rng.integers(0, 4)] += rng.choice([-9.0, 3.0, 9.0])
        found = split([values.tolist()])
        model = cluster.KMeans(n_clusters=2, n_init=10, random_state=1).fit(values.reshape(-1, 1))
        assert inertia(found) <= model.inertia_ * (1 + 1e-9)
        if inertia(found) == pytest.approx(model.inertia_):
            equal += 1
            low = model.cluster_centers_.argmin()
            theirs = np.sort(values[model.labels_ == low])
            assert found.filter("is_low")["value"].to_list() == pytest.approx(theirs)
    assert equal >= 38  # with ten starts scikit-learn seldom misses the optimum on a line


def test_many_minutes_at_once_are_each_their_own() -> None:
    minutes = [[1.0, 1.1, 9.0], [5.0, 5.0], [2.0, 7.0, 7.1, 7.2]]
    together = split(minutes)
    assert together.filter("is_low")["value"].to_list() == [1.0, 1.1, 5.0, 2.0]
    assert together["readings"].to_list() == [3] * 3 + [2] * 2 + [4] * 4
    assert together.group_by("group", maintain_order=True).agg(pl.col("smaller").first())["smaller"].to_list() == [
        1,
        1,
        1,
    ]


def test_only_the_selected_series_are_looked_at() -> None:
    values = [20.0, 20.1] * 14 + [40.0]
    celsius = readings(values, start=NOW)
    pressure = readings(values, start=NOW, metric="pressure", unit="bar")
    fahrenheit = readings(values, start=NOW, unit="°F")
    nothing = readings(values, start=NOW, unit=None)
    frame = window(pl.concat([celsius, pressure, fahrenheit, nothing]))

    assert KMeansMinute().score(frame)["unit"].to_list() == ["°C"]
    assert KMeansMinute(unit=None).score(frame)["unit"].to_list() == [None]
    assert KMeansMinute(metric="pressure", unit="bar").score(frame)["metric"].to_list() == ["pressure"]


def test_a_flag_says_what_is_wrong_in_one_sentence() -> None:
    flag = KMeansMinute().score(window(readings([20.0, 20.1] * 14 + [40.0], start=NOW))).row(0, named=True)
    assert flag["reason"] == "40 °C is apart from the other 28 of this minute, 20 to 20.1 °C"
    assert (flag["expected_low"], flag["expected_high"]) == (20.0, 20.1)


@pytest.mark.parametrize("wrong", [{"min_readings": 1}, {"max_share": 0.6}, {"min_separation": 0.0}])
def test_wrong_parameters_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        KMeansMinute(**wrong)  # type: ignore[arg-type]  # wrong on purpose
