"""Learning, storing, judging and promoting a model: a function of earlier days, and only what passes scores."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.feedback import FeedbackLabel, FlagKey, record_feedback
from iot_pipeline.anomalies.models import judging
from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.history import days_before
from iot_pipeline.anomalies.models.inputs import Sample, input_table, stability
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.anomalies.models.store import (
    Change,
    Verdict,
    is_whole,
    load,
    model_folder,
    promote,
    promoted_for,
    promoted_on,
    promotions,
    read_manifest,
)
from iot_pipeline.anomalies.models.unseen import unseen_day
from iot_pipeline.clock import DAY
from iot_pipeline.errors import DataError
from iot_pipeline.settings import Settings, load_settings
from tests.anomalies.models.days import MONDAY, at, frame, values, write_day, write_days


@pytest.fixture(name="settings")
def plant(tmp_path: Path) -> Settings:
    """Three days without faults."""
    settings = load_settings(data=tmp_path)
    write_days(settings.paths, 3)
    return settings


DAY_FOUR = MONDAY + 3 * DAY


def failed(lived: tuple[Verdict, ...]) -> list[str]:
    return [verdict.name for verdict in lived if not verdict.passed]


def test_learning_twice_from_files_in_another_order_gives_the_same_version(settings: Settings, tmp_path: Path) -> None:
    one = fit_day(settings, DAY_FOUR)
    other_settings = load_settings(data=tmp_path / "other")
    for offset in (2, 0, 1):
        day = MONDAY + offset * DAY
        rows = frame(day, values(day)).sample(fraction=1.0, shuffle=True, seed=3)
        write_day(other_settings.paths, day, rows.sort("device_id", descending=True))
    two = fit_day(other_settings, DAY_FOUR)

    assert one is not None
    assert two is not None
    assert one.manifest == two.manifest
    assert_frame_equal(one.model.series, two.model.series, check_exact=True)


def test_series_learned_some_at_a_time_give_the_same_version(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = fit_day(settings, DAY_FOUR)
    monkeypatch.setattr("iot_pipeline.anomalies.models.history.CELLS_AT_ONCE", 2 * 3 * 1440)
    parts = fit_day(settings, DAY_FOUR)
    assert whole is not None
    assert parts is not None
    assert parts.manifest.version == whole.manifest.version


def test_the_day_itself_and_later_ones_are_not_learned_from(settings: Settings) -> None:
    before = fit_day(settings, DAY_FOUR)
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, {device: 99 + row for device, row in values(DAY_FOUR).items()}))
    after = fit_day(settings, DAY_FOUR)
    assert before is not None
    assert after is not None
    assert after.manifest == before.manifest
    assert days_before(settings.paths, DAY_FOUR) == [MONDAY + offset * DAY for offset in range(3)]


def test_the_first_day_has_no_model_and_nothing_is_promoted(settings: Settings) -> None:
    lived = learn_day(settings, MONDAY)
    assert (lived.manifest, lived.verdicts, lived.promoted, lived.in_force) == (None, (), False, None)


def test_a_model_that_passes_on_a_day_it_has_not_seen_is_promoted_once(settings: Settings) -> None:
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, values(DAY_FOUR)))

    lived = learn_day(settings, DAY_FOUR)

    assert failed(lived.verdicts) == []
    assert [verdict.name for verdict in lived.verdicts] == list(judging.CHECKS)
    assert lived.promoted
    assert lived.manifest is not None
    assert lived.in_force == lived.manifest.version
    assert learn_day(settings, DAY_FOUR).promoted
    assert [(one.day, one.change) for one in promotions(settings.paths)] == [(DAY_FOUR, Change.PROMOTED)]


def test_a_day_of_which_nothing_is_known_leaves_the_model_waiting(settings: Settings) -> None:
    lived = learn_day(settings, DAY_FOUR)
    assert lived.manifest is not None
    assert (lived.verdicts, lived.promoted) == ((), False)


def test_a_plant_that_behaves_otherwise_fails_the_checks_and_is_withdrawn(settings: Settings) -> None:
    good = frame(DAY_FOUR, values(DAY_FOUR))
    write_day(settings.paths, DAY_FOUR, good.filter(pl.col("minute") < at(DAY_FOUR, 6)))
    assert learn_day(settings, DAY_FOUR).promoted

    jumping = {device: row + 15 * (np.arange(row.size) // 40 % 2) for device, row in values(DAY_FOUR).items()}
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, jumping))
    lived = learn_day(settings, DAY_FOUR)

    assert "false_alerts" in failed(lived.verdicts)
    assert (lived.promoted, lived.in_force) == (False, None)
    assert [one.change for one in promotions(settings.paths)] == [Change.PROMOTED, Change.WITHDRAWN]


def test_a_labelled_fault_is_no_false_alert(settings: Settings) -> None:
    told = values(DAY_FOUR)
    told["hall/m2"][600:660] += 15.0
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, told))
    fitted = fit_day(settings, DAY_FOUR)
    assert fitted is not None
    unlabelled = unseen_day(settings, fitted.model, fitted.manifest)
    settings.paths.labels.mkdir(parents=True)
    label = {"device_id": "hall/m2", "metric": "temperature", "fault": "step", "magnitude": 15.0}
    label |= {"start": at(DAY_FOUR, 10).isoformat(), "end": at(DAY_FOUR, 11).isoformat()}
    (settings.paths.labels / "plant.jsonl").write_text(json.dumps(label) + "\n")
    labelled = unseen_day(settings, fitted.model, fitted.manifest)

    assert unlabelled is not None
    assert labelled is not None
    assert unlabelled.alerts["device_id"].to_list().count("hall/m2") >= 1
    assert labelled.alerts.filter(pl.col("device_id") == "hall/m2").is_empty()


def test_labels_judge_the_order_of_scores_and_random_stays_below(settings: Settings) -> None:
    told = values(DAY_FOUR)
    settings.paths.labels.mkdir(parents=True)
    lines = []
    for number, device in enumerate(told):
        told[device][300 + 60 * number : 330 + 60 * number] += 15.0
        label = {"device_id": device, "metric": "temperature", "fault": "step", "magnitude": 15.0}
        label |= {"start": at(DAY_FOUR, 5 + number).isoformat(), "end": at(DAY_FOUR, 5 + number, 29).isoformat()}
        lines.append(json.dumps(label))
    (settings.paths.labels / "plant.jsonl").write_text("\n".join(lines) + "\n")
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, told))
    fitted = fit_day(settings, DAY_FOUR)
    assert fitted is not None
    seen = unseen_day(settings, fitted.model, fitted.manifest)
    assert seen is not None
    assert seen.labels == 6
    assert seen.vus > judging.VUS_FLOOR > seen.random


def test_a_device_that_began_to_speak_late_lived_no_whole_day(settings: Settings) -> None:
    fitted = fit_day(settings, DAY_FOUR)
    assert fitted is not None
    told = values(DAY_FOUR)
    first, *rest = told
    late = frame(DAY_FOUR, {first: told[first]}).filter(pl.col("minute") >= at(DAY_FOUR, 18))
    write_day(settings.paths, DAY_FOUR, pl.concat([frame(DAY_FOUR, {name: told[name] for name in rest}), late]))

    seen = unseen_day(settings, fitted.model, fitted.manifest)

    assert seen is not None
    assert seen.device_days == pytest.approx(len(rest) + 0.25)


def test_a_stored_model_comes_back_and_a_changed_one_is_told(settings: Settings) -> None:
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, values(DAY_FOUR)))
    manifest = learn_day(settings, DAY_FOUR).manifest
    assert manifest is not None
    fitted = fit_day(settings, DAY_FOUR)
    assert fitted is not None
    stored = load(settings.paths, DAY_FOUR, manifest.version)
    assert_frame_equal(stored.series, fitted.model.series, check_exact=True)
    assert read_manifest(settings.paths, DAY_FOUR, manifest.version) == manifest
    assert is_whole(settings.paths, manifest)

    path = model_folder(settings.paths, DAY_FOUR, manifest.version) / "series.parquet"
    stored.series.with_columns(pl.col("step_threshold") * 2).write_parquet(path)
    assert not is_whole(settings.paths, manifest)
    path.unlink()
    with pytest.raises(DataError, match=r"materialize `anomaly_model`|Materialize `anomaly_model`"):
        load(settings.paths, DAY_FOUR, manifest.version)


def test_minutes_are_scored_with_the_newest_model_of_their_day_or_before(settings: Settings) -> None:
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, values(DAY_FOUR)))
    third, fourth = learn_day(settings, MONDAY + 2 * DAY), learn_day(settings, DAY_FOUR)
    assert third.promoted
    assert fourth.promoted

    def in_force(day: date) -> str | None:
        found = promoted_for(settings.paths, day)
        return None if found is None else found.version

    assert in_force(MONDAY + DAY) is None
    assert third.manifest is not None
    assert fourth.manifest is not None
    assert in_force(MONDAY + 2 * DAY) == third.manifest.version
    assert in_force(DAY_FOUR + 9 * DAY) == fourth.manifest.version


def test_a_version_that_fails_leaves_another_of_its_day_in_force(settings: Settings) -> None:
    write_day(settings.paths, DAY_FOUR, frame(DAY_FOUR, values(DAY_FOUR)))
    manifest = learn_day(settings, DAY_FOUR).manifest
    fitted = fit_day(settings, DAY_FOUR)
    assert fitted is not None
    assert manifest is not None
    other = type(manifest)(
        **{name: getattr(manifest, name) for name in manifest.__struct_fields__} | {"version": "1-other"}
    )
    bad = Verdict(name="coverage", passed=False, said="too few")
    assert not promote(settings.paths, other, (bad,))
    in_force = promoted_on(settings.paths, DAY_FOUR)
    assert in_force is not None
    assert in_force.version == manifest.version


def test_confirmed_events_are_left_out_and_false_alarms_raise_thresholds(settings: Settings) -> None:
    day = MONDAY + 2 * DAY
    told = values(day)
    told["hall/m1"][600] += 50.0
    write_day(settings.paths, day, frame(day, told))
    before = fit_day(settings, DAY_FOUR)
    flag = FlagKey("hall/m1", "temperature", "°C", at(day, 10), "spike")
    record_feedback(settings.paths, flag, FeedbackLabel.confirmed, author="ann")
    for minute in range(20):
        wrong = FlagKey("hall/m3", "temperature", "°C", at(day, 12, minute), "step")
        record_feedback(settings.paths, wrong, FeedbackLabel.false_alarm, author="ann")
    after = fit_day(settings, DAY_FOUR)

    assert before is not None
    assert after is not None
    assert (before.manifest.left_out, after.manifest.left_out) == (0, 1)
    ratio = np.log1p(after.model.series["step_threshold"].to_numpy()) / np.log1p(
        before.model.series["step_threshold"].to_numpy()
    )
    assert ratio == pytest.approx(1.5, rel=0.05)


def test_other_inputs_are_told_and_equal_ones_are_not() -> None:
    rng = np.random.default_rng(1)

    def table(shift: float) -> pl.DataFrame:
        numbers = rng.normal(shift, 1, 5000)
        return input_table(Sample(pl.DataFrame({"class": ["a"] * 5000, "value": numbers})))

    assert stability(table(0), table(0))["psi"][0] < 0.02
    assert stability(table(0), table(1))["psi"][0] > judging.MOST_DRIFT
    assert stability(table(0), table(0).with_columns(pl.lit("b").alias("class"))).is_empty()
