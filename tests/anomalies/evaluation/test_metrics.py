"""Measures against the reference implementation and against cases worked by hand."""

import importlib.util
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from iot_pipeline.anomalies.evaluation.metrics import (
    acf_period,
    alerts_of,
    confusion,
    event_outcome,
    segments_of,
    vus_pr,
)
from iot_pipeline.anomalies.evaluation.metrics.events import total
from iot_pipeline.anomalies.evaluation.metrics.pointwise import pooled

REFERENCE = Path(__file__).parents[4] / "shared" / "anomaly" / "vus_pr.py"


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    if not REFERENCE.exists():
        pytest.skip("the reference metric is not here")
    spec = importlib.util.spec_from_file_location("reference_vus_pr", REFERENCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def series(
    size: int, events: int, seed: int, *, kinds: int | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    random = np.random.default_rng(seed)
    label = np.zeros(size, dtype=bool)
    for start in random.integers(0, size, events):
        label[start : start + int(random.integers(1, 30))] = True
    score = random.normal(size=size) + 1.5 * label
    return label, score if kinds is None else np.round(score * kinds) / kinds


@pytest.mark.parametrize("size", [1, 2, 7, 249, 250, 251, 3_000])
@pytest.mark.parametrize("window", [0, 1, 2, 5, 24, 125])
@pytest.mark.parametrize("kinds", [None, 1])
def test_vus_pr_is_the_reference(reference: ModuleType, size: int, window: int, kinds: int | None) -> None:
    label, score = series(size, 4, seed=size + window, kinds=kinds)
    assert vus_pr(label, score, window) == pytest.approx(reference.vus_pr(label, score, window), abs=1e-6)


labels = hnp.arrays(np.bool_, st.integers(1, 60)).filter(lambda label: bool(label.any()))


@settings(deadline=None)
@given(label=labels, data=st.data(), window=st.integers(0, 40))
def test_vus_pr_is_the_reference_for_any_series(
    reference: ModuleType, label: NDArray[np.bool_], data: st.DataObject, window: int
) -> None:
    numbers = st.one_of(st.integers(-2, 2).map(float), st.floats(-1e6, 1e6))
    score = np.array(data.draw(st.lists(numbers, min_size=label.size, max_size=label.size)))
    assert vus_pr(label, score, window) == pytest.approx(reference.vus_pr(label, score, window), abs=1e-6)


@settings(deadline=None)
@given(label=labels, seed=st.integers(0, 1_000), factor=st.floats(0.01, 100))
def test_vus_pr_looks_at_the_order_of_scores_only(label: NDArray[np.bool_], seed: int, factor: float) -> None:
    score = np.random.default_rng(seed).permutation(label.size).astype(float)
    assert vus_pr(label, np.exp(score / label.size * factor), 10) == vus_pr(label, score, 10)


def test_vus_pr_without_an_event_is_not_a_number() -> None:
    assert math.isnan(vus_pr([0, 0, 0], [1, 2, 3], 5))
    assert math.isnan(vus_pr([], [], 5))


def test_vus_pr_of_a_perfect_score_without_tolerance_is_one() -> None:
    label = np.arange(100) >= 90
    assert vus_pr(label, label.astype(float), 0) == pytest.approx(1.0)


def test_vus_pr_of_a_constant_score_is_the_share_of_events() -> None:
    assert vus_pr(np.arange(100) >= 90, np.zeros(100), 0) == pytest.approx(0.1)


def test_rows_without_a_score_are_the_least_strange() -> None:
    label, score = series(400, 3, seed=3)
    lowest = score.copy()
    score[50:80], lowest[50:80] = np.nan, -1e9
    assert vus_pr(label, score, 20) == pytest.approx(vus_pr(label, lowest, 20))


def test_vus_pr_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="no VUS-PR"):
        vus_pr([1, 0], [1.0], 3)


@pytest.mark.parametrize("period", [8, 24, 96, 250])
def test_the_period_of_a_cycle_is_found(reference: ModuleType, period: int) -> None:
    values = np.sin(2 * np.pi * np.arange(4_000) / period) + 0.1 * np.random.default_rng(0).normal(size=4_000)
    assert acf_period(values) == reference.acf_period(values)
    assert abs(acf_period(values) - period) <= 2


@pytest.mark.parametrize("values", [[], [1.0], [2.0] * 50, [math.nan] * 50, list(range(20))])
def test_a_signal_without_a_period_has_the_default_one(values: list[float]) -> None:
    assert acf_period(values) == 125


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 800))
def test_the_period_is_the_references(reference: ModuleType, seed: int, size: int) -> None:
    values = np.cumsum(np.random.default_rng(seed).normal(size=size))
    assert acf_period(values) == reference.acf_period(values)


def test_the_period_of_a_signal_with_gaps_is_found() -> None:
    values = np.sin(2 * np.pi * np.arange(2_000) / 48)
    values[100:300] = np.nan
    assert acf_period(values) == 48


def test_runs_are_first_and_last_rows() -> None:
    assert segments_of([1, 1, 0, 0, 1]).tolist() == [[0, 1], [4, 4]]
    assert segments_of([0, 0]).tolist() == []


def test_flags_near_each_other_are_one_alert_and_a_long_one_counts_again() -> None:
    flags = [1, 0, 1, 0, 0, 0, 1, 1, 1, 1, 1]
    assert alerts_of(flags, quiet=2).tolist() == [[0, 2], [6, 10]]
    assert alerts_of(flags, longest=2).tolist() == [[0, 0], [2, 2], [6, 7], [8, 9], [10, 10]]


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80),
    per_day=st.integers(1, 30),
    quiet=st.integers(0, 5),
    slack=st.integers(0, 5),
)
def test_events_are_judged_as_by_the_reference(
    reference: ModuleType, rows: list[tuple[bool, bool]], per_day: int, quiet: int, slack: int
) -> None:
    label, flag = (np.array(column) for column in zip(*rows, strict=True))
    ours = event_outcome(label, flag, rows_per_day=per_day, quiet=quiet, slack=slack)
    theirs = reference.event_metrics(label, flag, per_day, merge=quiet, slack=slack)
    assert (ours.events, ours.found, ours.alerts, ours.false) == (
        theirs["events"],
        theirs["hit"],
        theirs["alerts"],
        theirs["false"],
    )
    assert list(ours.delays) == theirs["delay"]
    assert ours.days == pytest.approx(theirs["days"])
    assert ours.time_in_alarm == pytest.approx(theirs["on"])


def test_an_alert_that_began_before_the_event_does_not_find_it() -> None:
    outcome = event_outcome([0, 0, 1, 1, 0, 0], [0, 1, 1, 1, 0, 0], rows_per_day=6)
    assert (outcome.found, outcome.false) == (0, 1)


def test_always_on_is_a_false_alert_a_day_and_finds_next_to_nothing() -> None:
    label = np.zeros(1_000, dtype=bool)
    label[[150, 555, 777]] = True
    outcome = event_outcome(label, np.ones(1_000), rows_per_day=100)
    assert (outcome.found, outcome.false_per_day, outcome.time_in_alarm) == (0, 1.0, 1.0)


def test_outcomes_of_many_series_add_up() -> None:
    one = event_outcome([0, 1, 1, 0], [0, 0, 1, 0], rows_per_day=4)
    other = event_outcome([0, 1, 0, 0], [0, 0, 0, 1], rows_per_day=2)
    both = total([one, other])
    assert (both.events, both.found, both.false, both.days, both.delays) == (2, 1, 1, 3.0, (1.0,))
    assert both.recall == 0.5
    assert both.clean_time_in_alarm == pytest.approx(1 / 5)


def test_rates_of_nothing_are_not_numbers() -> None:
    outcome = total([])
    assert all(math.isnan(rate) for rate in (outcome.recall, outcome.false_per_day, outcome.median_delay))
    assert math.isnan(confusion([], []).f1)


def test_rows_are_counted_one_by_one() -> None:
    counts = confusion([1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0])
    assert counts.f1 == pytest.approx(2 / 3)
    assert counts.false_alarm_rate == pytest.approx(0.2)
    assert counts.missing_alarm_rate == pytest.approx(1 / 3)
    assert pooled([counts, counts]).f1 == counts.f1


def test_flagging_everything_on_skab_scores_as_its_authors_warn() -> None:
    label = np.arange(1_000) < 537
    assert confusion(label, np.ones(1_000)).f1 == pytest.approx(0.698, abs=1e-3)
