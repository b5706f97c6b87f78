"""The model as an asset: what is promoted shows, what fails blocks, and a first day is learning and no failure."""

import warnings
from pathlib import Path

import dagster as dg
import pytest

from iot_pipeline.anomalies.models.assets import MODEL, model_assets
from iot_pipeline.anomalies.models.judging import CHECKS
from iot_pipeline.anomalies.models.store import promoted_for
from iot_pipeline.clock import DAY
from iot_pipeline.settings import Settings, load_settings
from tests.anomalies.models.days import MONDAY, frame, values, write_day, write_days

TODAY = MONDAY + 2 * DAY


@pytest.fixture(name="settings")
def plant(tmp_path: Path) -> Settings:
    settings = load_settings(data=tmp_path, history_start=MONDAY)
    write_days(settings.paths, 2)
    return settings


def materialized(settings: Settings, *, fails: bool = False) -> dg.ExecuteInProcessResult:
    device_day = dg.AssetSpec("device_day", partitions_def=dg.DailyPartitionsDefinition(MONDAY.isoformat()))
    with warnings.catch_warnings():
        # Backfill policies are beta in the pinned Dagster.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        models = model_assets(settings)
    return dg.materialize(
        [device_day, models],
        selection=[MODEL],
        partition_key=TODAY.isoformat(),
        raise_on_error=not fails,
    )


def test_a_promoted_model_shows_its_version_and_what_its_checks_said(settings: Settings) -> None:
    write_day(settings.paths, TODAY, frame(TODAY, values(TODAY)))
    done = materialized(settings)
    promotion = promoted_for(settings.paths, TODAY)
    assert promotion is not None
    (made,) = done.asset_materializations_for_node("anomaly_model")
    assert made.metadata["version"].value == promotion.version
    assert "promoted" in str(made.metadata["models"].value)
    verdicts = done.get_asset_check_evaluations()
    assert {one.check_name for one in verdicts} == set(CHECKS)
    assert all(one.passed and one.metadata["version"].value == promotion.version for one in verdicts)


def test_a_model_that_fails_is_kept_and_fails_the_run_without_being_promoted(settings: Settings) -> None:
    jumping = {device: row + 15 * (row.cumsum() // 800 % 2) for device, row in values(TODAY).items()}
    write_day(settings.paths, TODAY, frame(TODAY, jumping))
    done = materialized(settings, fails=True)
    assert not done.success
    failed = [one.check_name for one in done.get_asset_check_evaluations() if not one.passed]
    assert "false_alerts" in failed
    assert promoted_for(settings.paths, TODAY) is None
    assert list(settings.paths.models.glob("dt=*/v=*/series.parquet"))


def test_a_first_day_is_learning_and_no_failure(tmp_path: Path) -> None:
    done = materialized(load_settings(data=tmp_path, history_start=MONDAY))
    assert done.success
    (made,) = done.asset_materializations_for_node("anomaly_model")
    assert "none: learning" in str(made.metadata["models"].value)
    assert all(one.passed for one in done.get_asset_check_evaluations())
