"""Labelled sets: loaders on small files of the same form, injected faults, and the benchmark over all of them."""

from datetime import UTC, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from iot_pipeline.anomalies.evaluation.alone import SINGLES
from iot_pipeline.anomalies.evaluation.benchmark import SETS, half, load_set, run, run_all, sample, table
from iot_pipeline.anomalies.evaluation.inject import Fault, clean_windows, inject, injected_set
from iot_pipeline.anomalies.evaluation.measure import recall_by_kind
from iot_pipeline.anomalies.evaluation.report import markdown
from iot_pipeline.anomalies.evaluation.sets import (
    LOADERS,
    LabelledSet,
    load_lro_water,
    load_nab,
    load_nasa,
    load_skab,
    load_ucr,
)
from iot_pipeline.errors import ConfigurationError
from tests.anomalies.evaluation.histories import SETS_START, write_sets

SHARED = Path(__file__).parents[4] / "shared" / "anomaly"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_sets(tmp_path)
    return tmp_path


def test_nab_learns_from_its_probation(folder: Path) -> None:
    loaded = load_nab(folder)
    assert loaded.frame.columns == ["series", "ts", "value", "label"]
    assert loaded.fit_until["a"] == (SETS_START + 90 * timedelta(minutes=15)).replace(tzinfo=UTC)


def test_skab_learns_from_four_hundred_rows_and_leaves_out_runs_without_an_event(folder: Path) -> None:
    loaded = load_skab(folder)
    assert set(loaded.frame["series"]) == {"valve"}
    assert loaded.frame.columns == ["series", "ts", "Flow", "Current", "label"]
    assert loaded.fit_until["valve"] == (SETS_START + timedelta(seconds=400)).replace(tzinfo=UTC)


def test_what_loggers_write_for_nothing_is_removed_with_its_label(folder: Path) -> None:
    assert load_lro_water(folder).frame["value"].min() > -999  # type: ignore[operator]
    assert (
        load_lro_water(folder, sentinels=True).frame["label"].sum() == load_lro_water(folder).frame["label"].sum() + 1
    )


def test_weak_labels_decide_nothing(folder: Path) -> None:
    assert load_ucr(folder).gates
    assert not load_nasa(folder).gates
    assert "nasa" not in SETS


def test_a_set_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nab\.parquet: there is no such labelled set"):
        load_set(tmp_path, "nab")
    with pytest.raises(ConfigurationError, match="valid values are: nab, skab"):
        load_set(tmp_path, "kdd")


def test_halves_and_samples_follow_from_names_alone(folder: Path) -> None:
    loaded = load_nab(folder)
    names = [set(half(loaded, held_out=held).frame["series"]) for held in (False, True)]
    assert names[0] | names[1] == {"a", "b"}
    assert names[0].isdisjoint(names[1])
    assert sample(loaded, series=1).frame["series"].n_unique() == 1


def test_faults_are_where_the_labels_say_and_nowhere_else(folder: Path) -> None:
    clean = clean_windows(load_lro_water(folder), days=20, devices=6, seed=1)
    faulty = inject(clean, seed=3, learning=timedelta(days=7))
    changed = faulty["value"].ne_missing(clean["value"])
    assert not (changed & ~faulty["label"]).any()
    assert faulty.filter("label")["fault"].null_count() == 0
    first = faulty.filter("label").group_by("series").agg(pl.col("ts").min())
    begin = clean.group_by("series").agg(pl.col("ts").min().alias("begin"))
    assert first.join(begin, on="series").select((pl.col("ts") - pl.col("begin")).min()).item() >= timedelta(days=7)


def test_equal_seeds_give_equal_faults(folder: Path) -> None:
    source = load_lro_water(folder)
    one, same, other = (injected_set(source, seed=seed, days=20).frame for seed in (1, 1, 2))
    assert one.equals(same)
    assert not one.equals(other)


@pytest.mark.parametrize("kind", Fault)
def test_each_fault_is_what_its_name_says(kind: Fault) -> None:
    rows = 40 * 96
    value = 10 + np.random.default_rng(0).normal(0, 0.1, rows)
    ts = [SETS_START + place * timedelta(minutes=15) for place in range(rows)]
    clean = pl.DataFrame({"series": ["a"] * rows, "ts": ts, "value": value}).with_columns(
        pl.col("ts").dt.replace_time_zone("UTC")
    )
    faulty = inject(clean, seed=1, kinds=[kind]).with_columns(clean=clean["value"]).filter("label")
    value, before = faulty["value"].to_numpy(), faulty["clean"].to_numpy()
    away = np.abs(value - before)
    found = {
        Fault.SPIKE: faulty.height <= 2 and away.min() > 0.5,
        Fault.STUCK: np.unique(value).size == 1 and faulty.height >= 24,
        Fault.DRIFT: away[0] < 0.1 and away[-1] > 0.5,
        Fault.STEP: away[:-1].min(initial=9.0) > 0.5 and away[-1] == 0,
        Fault.NOISE: value.std() > 2 * before.std(),
        Fault.GAP: np.isnan(value).all() and faulty.height >= 24,
    }
    assert found[kind]


def test_nothing_clean_gives_nothing() -> None:
    empty = pl.DataFrame(
        schema={"series": pl.String, "ts": pl.Datetime("us", "UTC"), "value": pl.Float64, "label": pl.Boolean}
    )
    assert injected_set(LabelledSet("none", empty, {}), seed=1).frame.is_empty()


def test_detectors_and_baselines_are_measured_alike(folder: Path) -> None:
    results = [
        run(load_nab(folder), name, at_budget=True) for name in ("shipped", "random", "global_z", "kmeans_minute")
    ]
    measured = table(results)
    assert measured["detector"].to_list() == ["union", "random", "global_z", "kmeans_minute"]
    assert measured["sees_future"].to_list() == [False, False, True, False]
    assert measured["readings"].n_unique() == 1
    assert measured["vus_pr_random"].n_unique() == 1
    by_name = dict(measured.select("detector", "vus_pr").iter_rows())
    assert by_name["global_z"] > 0.8
    assert by_name["random"] < 0.2
    assert markdown(measured).count("\n") == 5


def test_a_detector_alone_is_measured_on_single_series_and_left_out_on_others(folder: Path) -> None:
    told = table(list(run_all(folder, sets=["nab", "skab"], detectors=["random", "rate_of_change"])))
    measured = told.select("set", "detector").rows()
    assert measured == [("nab", "random"), ("nab", "rate_of_change"), ("skab", "random")]


@pytest.mark.parametrize("name", SINGLES)
def test_each_detector_alone_flags_with_its_own_scores(folder: Path, name: str) -> None:
    rows = run(sample(load_nab(folder), series=1), name).rows
    flagged = rows.filter("flag")
    assert set(flagged["type"]) <= {str(SINGLES[name].detector.kind), "range"}
    assert (flagged["score"] >= 1).all()


def test_chance_finds_next_to_nothing_by_the_onset_rule(folder: Path) -> None:
    found = run(load_lro_water(folder), "random", budget=0.1).measures
    assert found.recall <= 0.5
    assert 0.02 < found.false_per_day < 0.3
    assert found.time_in_alarm < 0.01


def test_recall_is_told_by_kind_of_fault(folder: Path) -> None:
    result = run(injected_set(load_lro_water(folder), seed=7, days=20), "global_z")
    kinds = recall_by_kind(result.rows)
    assert kinds["events"].sum() == result.measures.events
    assert set(kinds["fault"]) <= set(Fault)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the labelled sets are not here")
@pytest.mark.parametrize("name", LOADERS)
def test_the_real_sets_load(name: str) -> None:
    loaded = load_set(SHARED, name)
    assert loaded.frame.schema["label"] == pl.Boolean
    assert set(loaded.fit_until) == set(loaded.frame["series"])
    assert loaded.frame["ts"].null_count() == 0
