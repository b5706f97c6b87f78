"""Models go when nothing needs them any more: those that never scored after two weeks, others after their flags."""

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.forgetting import forget, outlived, rejected
from iot_pipeline.anomalies.models.life import learn_day
from iot_pipeline.anomalies.models.store import keep, model_folder, promoted_for, promotions
from iot_pipeline.clock import DAY, day_start, utc_now
from iot_pipeline.operations.housekeeping import do_chores, find_chores
from iot_pipeline.retained import Level, mark_kept_since
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import FLAGS_SCHEMA, flags_tree, models_file
from tests.anomalies.models.days import MONDAY, write_days

DAYS = [MONDAY + offset * DAY for offset in range(4)]


@pytest.fixture(name="settings")
def plant(tmp_path: Path) -> Settings:
    """Four days without faults, of which the last three have a promoted model."""
    settings = load_settings(data=tmp_path)
    write_days(settings.paths, 4)
    assert all(learn_day(settings, day).promoted for day in DAYS[1:])
    return settings


def days_of(settings: Settings) -> list[date]:
    return [one.day for one in outlived(settings.paths)]


def keep_flag(settings: Settings, day: date, version: str) -> None:
    minute = day_start(day) + timedelta(hours=1)
    flag = {"minute": minute, "event_ts": minute, "device_id": "a", "detector": "step", "detector_version": version}
    flags_tree(settings.paths).write(minute, pl.DataFrame([flag], schema=FLAGS_SCHEMA))


def test_while_flags_are_kept_for_ever_so_are_models(settings: Settings) -> None:
    assert days_of(settings) == []


def test_models_go_after_their_flags_but_for_the_one_in_force(settings: Settings) -> None:
    mark_kept_since(settings.paths, Level.MINUTE, DAYS[3] + DAY)
    assert days_of(settings) == DAYS[1:3]
    mark_kept_since(settings.paths, Level.MINUTE, DAYS[3] + 9 * DAY)
    assert days_of(settings) == DAYS[1:3]


def test_a_model_of_a_kept_day_stays(settings: Settings) -> None:
    mark_kept_since(settings.paths, Level.MINUTE, DAYS[2])
    assert days_of(settings) == [DAYS[1]]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_model_that_a_kept_flag_names_stays(settings: Settings, *, sealed: bool) -> None:
    promotion = promoted_for(settings.paths, DAYS[1])
    assert promotion is not None
    keep_flag(settings, DAYS[3], promotion.version)
    if sealed:
        flags_tree(settings.paths).seal(DAYS[3])
    mark_kept_since(settings.paths, Level.MINUTE, DAYS[3])
    assert days_of(settings) == [DAYS[2]]


def test_housekeeping_deletes_them_and_the_journal_remembers(settings: Settings) -> None:
    mark_kept_since(settings.paths, Level.MINUTE, DAYS[3])
    journal = promotions(settings.paths)
    now = utc_now()
    chores = find_chores(settings.paths, now)
    do_chores(settings.paths, chores, now)

    assert [one.day for one in chores.models] == DAYS[1:3]
    assert not any(model_folder(settings.paths, one.day, one.version).exists() for one in chores.models)
    assert promotions(settings.paths) == journal
    assert pl.read_parquet(models_file(settings.paths))["day"].to_list() == [DAYS[3]]
    assert promoted_for(settings.paths, DAYS[2]) is None
    in_force = promoted_for(settings.paths, DAYS[3])
    assert in_force is not None
    assert in_force.day == DAYS[3]
    assert find_chores(settings.paths, now).models == ()


def test_what_never_scored_is_rejected_and_what_scores_is_not(settings: Settings) -> None:
    waiting = fit_day(settings, DAYS[3] + DAY)
    assert waiting is not None
    folder = keep(settings.paths, waiting.model, waiting.manifest)

    assert rejected(settings.paths, before=DAYS[3] + DAY) == []
    forget(settings.paths, rejected(settings.paths, before=DAYS[3] + 2 * DAY))
    assert not folder.exists()
    assert promoted_for(settings.paths, DAYS[3]) is not None
