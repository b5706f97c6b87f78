"""Minutes scored from files to files: every minute has its file, and a part of a range gives the same files."""

from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies import flags as flags_module
from iot_pipeline.anomalies.detectors import RollingZ, default_detectors
from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.clock import MINUTE, minutes_between
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import minute_folder
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import FLAGS_SCHEMA, device_minute_tree, flags_tree
from tests.anomalies.frames import NOW, device_minutes, readings

FIRST, LAST = NOW, NOW + 4 * MINUTE
SPIKE = NOW + 2.5 * MINUTE
NOTHING = {"rolling_z": 0, "state_minute": 0, "kmeans_minute": 0, "vibration_zone": 0}


@pytest.fixture(name="settings")
def plant(tmp_path: Path) -> Settings:
    """Half an hour and five minutes of two noisy devices, one of which has a spike in the third minute."""
    settings = load_settings(data=tmp_path)
    start = NOW - 30 * MINUTE
    noise = np.random.default_rng(5).normal(20.0, 0.5, (2, 35 * 30)).round(2)
    both = pl.concat([readings(noise[n].tolist(), start=start, device=f"hall/m{n}") for n in range(2)])
    spiked = (pl.col("event_ts") == SPIKE) & (pl.col("device_id") == "hall/m1")
    both = both.with_columns(value=pl.when(spiked).then(60.0).otherwise("value"))
    for (minute,), part in both.group_by(pl.col("event_ts").dt.truncate("1m"), maintain_order=True):
        assert isinstance(minute, datetime)
        write_parquet(part, minute_folder(open_root(settings.paths), minute) / landed_name(minute))
    statistics = device_minutes(both)
    device_minute_tree(settings.paths).write_many(
        {minute: statistics.filter(pl.col("minute") == minute) for minute in statistics["minute"].unique()}
    )
    return settings


def test_a_range_is_scored_and_every_minute_has_its_file(settings: Settings) -> None:
    report = score_minutes(settings, FIRST, LAST)

    assert (report.readings, report.flags) == (2 * 5 * 30, 2)
    assert report.by_detector == NOTHING | {"rolling_z": 1, "kmeans_minute": 1}
    assert Counter(report.by_minute) == dict.fromkeys(minutes_between(FIRST, LAST), 0) | {FIRST + 2 * MINUTE: 2}
    tree = flags_tree(settings.paths)
    assert all(tree.file(minute).exists() for minute in minutes_between(FIRST, LAST))
    kept = tree.read(FIRST, LAST)
    assert kept.schema == pl.Schema(FLAGS_SCHEMA)
    assert kept.select("event_ts", "device_id", "value", "detector").rows() == [
        (SPIKE, "hall/m1", 60.0, "kmeans_minute"),
        (SPIKE, "hall/m1", 60.0, "rolling_z"),
    ]


def test_a_minute_made_again_alone_has_the_same_bytes(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    score_minutes(settings, FIRST, LAST)
    tree = flags_tree(settings.paths)
    before = [tree.file(minute).read_bytes() for minute in minutes_between(FIRST, LAST)]

    for minute in minutes_between(FIRST, LAST):
        score_minutes(settings, minute, minute)
    assert [tree.file(minute).read_bytes() for minute in minutes_between(FIRST, LAST)] == before

    monkeypatch.setattr(flags_module, "CHUNK_MINUTES", 2)
    score_minutes(settings, FIRST, LAST)
    assert [tree.file(minute).read_bytes() for minute in minutes_between(FIRST, LAST)] == before


def test_scoring_again_replaces_what_was_kept(settings: Settings) -> None:
    score_minutes(settings, FIRST, LAST)
    score_minutes(settings, FIRST, LAST, detectors=[RollingZ(threshold=50.0)])
    assert flags_tree(settings.paths).read(FIRST, LAST).is_empty()


def test_minutes_in_which_nothing_happened_are_empty_and_there(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    report = score_minutes(settings, FIRST, FIRST + MINUTE)
    assert (report.readings, report.flags, report.by_detector) == (0, 0, NOTHING)
    assert_frame_equal(pl.read_parquet(flags_tree(settings.paths).file(FIRST)), flags_tree(settings.paths).empty())


def test_names_of_detectors_are_unique() -> None:
    names = [detector.name for detector in default_detectors()]
    assert len(set(names)) == len(names)
