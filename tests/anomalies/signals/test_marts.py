"""The functions and the marts' SQL give the same figures on the same readings: there is one truth."""

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.signals.inrush import starts, working_load
from iot_pipeline.anomalies.signals.integral import integrals
from iot_pipeline.anomalies.signals.states import time_in_state
from iot_pipeline.anomalies.signals.unbalance import unbalance_percent
from iot_pipeline.anomalies.signals.vibration import read_zones, severity
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.build import build_days
from tests.anomalies.signals.line_data import THE_DAY, currents_of, frame_of, line_rows, states_of
from tests.stats.fleet_world import published
from tests.stats.world import file_readings

HOUR = timedelta(hours=1)
MODELS = ("machine_current_hour", "machine_start", "machine_state_hour", "machine_vibration_hour")


def assert_same(found: pl.DataFrame, told: pl.DataFrame) -> None:
    assert_frame_equal(found, told, check_row_order=False, check_dtypes=False, rel_tol=1e-9, abs_tol=1e-9)


@pytest.fixture(scope="module")
def readings() -> pl.DataFrame:
    return frame_of(line_rows(50))


@pytest.fixture(scope="module")
def marts(tmp_path_factory: pytest.TempPathFactory, parsed_dbt: Path) -> dict[str, pl.DataFrame]:
    settings = load_settings(data=tmp_path_factory.mktemp("line") / "data")
    kept = settings.paths.tmp / "dbt"
    kept.mkdir(parents=True)
    for path in parsed_dbt.glob("manifest.*"):
        shutil.copy2(path, kept / path.name)
    file_readings(settings, line_rows(50))
    build_days(settings, THE_DAY, THE_DAY, "test")
    return {model: published(settings, model, THE_DAY) for model in MODELS}


def test_charge(readings: pl.DataFrame, marts: dict[str, pl.DataFrame]) -> None:
    currents = readings.filter(pl.col("metric").str.starts_with("current_l"))
    found = integrals(currents, by=["device_id", "metric"], window=HOUR)
    mart = marts["machine_current_hour"]
    told = pl.concat(
        [
            mart.select(
                "device_id",
                pl.lit(f"current_{phase}").alias("metric"),
                pl.col("hour").alias("window"),
                (pl.col(f"charge_{phase}_ah") * 3600).alias("amount"),
                pl.col(f"covered_{phase}_seconds").alias("covered_seconds"),
            )
            for phase in ("l1", "l2", "l3")
        ]
    )
    expected = found.select(told.columns)
    assert found.height == 18
    assert_same(expected, told)


def test_unbalance(readings: pl.DataFrame, marts: dict[str, pl.DataFrame]) -> None:
    phases = [f"current_l{phase}" for phase in (1, 2, 3)]
    wide = readings.filter(pl.col("metric").is_in(phases)).pivot(on="metric", index=["device_id", "ts"], values="value")
    means = (
        wide.drop_nulls().group_by("device_id", pl.col("ts").dt.truncate("1h").alias("hour")).agg(pl.col(phases).mean())
    )
    found = means.select(
        "device_id", "hour", pl.Series("unbalance_percent", unbalance_percent(means.select(phases).to_numpy()))
    )
    told = marts["machine_current_hour"].select("device_id", "hour", "unbalance_percent")
    assert_same(found, told)


def test_starts(readings: pl.DataFrame, marts: dict[str, pl.DataFrame]) -> None:
    currents = currents_of(readings)
    found = starts(currents, working_load(currents, by=["device_id"]), by=["device_id"])
    told = marts["machine_start"].rename({"load_a": "load", "peak_a": "peak"})
    assert found.height > 3
    assert_same(found.select(told.columns), told)


def test_time_in_state(readings: pl.DataFrame, marts: dict[str, pl.DataFrame]) -> None:
    found = time_in_state(states_of(readings), by=["device_id"], window=HOUR)
    told = marts["machine_state_hour"].rename({"hour": "window"})
    assert_same(found.select(told.columns), told)


def test_vibration_zones(readings: pl.DataFrame, marts: dict[str, pl.DataFrame]) -> None:
    velocities = readings.filter(pl.col("metric") == "v_rms")
    nobody = pl.DataFrame(schema={"device_id": pl.String, "machine_group": pl.String, "support": pl.String})
    zones = severity(velocities, nobody, read_zones())
    found = zones.group_by("device_id", pl.col("ts").dt.truncate("1h").alias("hour")).agg(
        (pl.col("zone") == zone).sum().cast(pl.Int64).alias(f"readings_zone_{zone.lower()}") for zone in "ABCD"
    )
    told = marts["machine_vibration_hour"].select(found.columns)
    assert_same(found, told)
