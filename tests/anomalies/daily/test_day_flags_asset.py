"""Flags of whole days as an asset: closed days are scored with their events, the present one waits."""

import warnings
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from iot_pipeline.anomalies.daily.assets import DAY_FLAGS, day_flags_assets
from iot_pipeline.anomalies.events.store import read_events
from iot_pipeline.clock import utc_now
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import day_flags_file
from tests.anomalies.daily.weeks import METER, MONDAY, TODAY, day_of, drifting, publish, publish_past


@pytest.fixture(name="settings")
def plant(tmp_path: Path) -> Settings:
    return load_settings(data=tmp_path, history_start=MONDAY)


def materialized(settings: Settings, day: date) -> dg.AssetMaterialization:
    days = dg.DailyPartitionsDefinition(MONDAY.isoformat(), end_offset=1)
    with warnings.catch_warnings():
        # Backfill policies are beta in the pinned Dagster.
        warnings.simplefilter("ignore", category=dg.BetaWarning)
        flags = day_flags_assets(settings)
    done = dg.materialize(
        [dg.AssetSpec("device_hour", partitions_def=days), flags], selection=[DAY_FLAGS], partition_key=day.isoformat()
    )
    (made,) = done.asset_materializations_for_node("anomaly_day_flags")
    return made


def test_a_closed_day_is_scored_and_its_events_are_told(settings: Settings) -> None:
    publish_past(settings.paths)
    publish(settings.paths, TODAY, drifting(day_of(TODAY), f"{METER}1"))
    made = materialized(settings, TODAY)
    events = read_events(settings.paths, TODAY, TODAY)
    assert made.metadata["dagster/row_count"].value == events["flags"].sum() > 0
    assert made.metadata["series_scored_in_run"].value == 8


def test_the_present_day_waits_until_it_is_over(settings: Settings) -> None:
    made = materialized(settings, utc_now().date())
    assert made.metadata["days_open"].value == 1
    assert not day_flags_file(settings.paths, utc_now().date()).exists()
