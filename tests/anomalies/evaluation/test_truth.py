"""Recall by the onset rule and false flags, on a handful of flags that can be counted by hand."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from iot_pipeline.anomalies.evaluation.truth import (
    ALL_FAULTS,
    LABEL_SCHEMA,
    alerts_of,
    evaluate,
    evaluate_labels,
    read_labels,
)
from iot_pipeline.clock import MINUTE
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import FLAGS_SCHEMA, device_minute_tree, flags_tree
from tests.anomalies.frames import NOW, device_minutes, readings

QUIET = timedelta(seconds=30)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def flags(*seconds: float, device: str = "m1", metric: str = "current", detector: str = "rolling_z") -> pl.DataFrame:
    rows = [
        {
            "minute": at(second).replace(second=0, microsecond=0),
            "event_ts": at(second),
            "device_id": device,
            "metric": metric,
            "unit": None,
            "value": 9.0,
            "detector": detector,
            "detector_version": "1",
            "score": 2.0,
            "expected_low": 1.0,
            "expected_high": 2.0,
            "reason": "9 is much",
        }
        for second in seconds
    ]
    return pl.DataFrame(rows, schema=FLAGS_SCHEMA)


def labels(*rows: tuple[str, str | None, str, float, float]) -> pl.DataFrame:
    spans = [(device, metric, fault, at(start), at(end), None) for device, metric, fault, start, end in rows]
    return pl.DataFrame(spans, schema=LABEL_SCHEMA, orient="row")


def judged(raised: pl.DataFrame, truth: pl.DataFrame, fault: str = ALL_FAULTS) -> dict[str, float | None]:
    table = evaluate(raised, truth, device_days=2.0, detectors=["rolling_z"], quiet=QUIET)
    return table.row(by_predicate=pl.col("fault") == fault, named=True)


def test_a_spike_is_found_at_its_very_instant() -> None:
    row = judged(flags(10), labels(("m1", "current", "spike", 10, 10)), "spike")
    assert (row["labels"], row["found"], row["recall"], row["delay_seconds"]) == (1, 1, 1.0, 0.0)
    assert (row["false_flags"], row["false_alerts"]) == (0, 0)


def test_an_alert_that_began_before_the_fault_does_not_find_it() -> None:
    row = judged(flags(0, 10, 20, 30, 40), labels(("m1", "current", "step", 15, 60)), "step")
    assert (row["found"], row["false_flags"], row["false_alerts"]) == (0, 2, 1)


def test_other_devices_and_metrics_do_not_count() -> None:
    truth = labels(("m2", "current", "spike", 10, 10), ("m1", "voltage", "spike", 10, 10))
    row = judged(flags(10), truth)
    assert (row["labels"], row["found"], row["false_flags_per_device_day"]) == (2, 0, 0.5)


def test_a_label_without_a_metric_is_the_whole_device() -> None:
    assert judged(flags(10), labels(("m1", None, "stuck", 0, 60)), "stuck")["found"] == 1


def test_faults_of_messages_are_not_for_detectors_of_values() -> None:
    row = judged(flags(10), labels(("m1", "current", "late", 0, 60)))
    assert (row["labels"], row["recall"], row["false_flags"]) == (0, None, 1)


def test_flags_close_together_are_one_alert_and_each_day_begins_another() -> None:
    assert alerts_of(flags(0, 20, 45, 100), QUIET)["event_ts"].to_list() == [at(0), at(100)]
    midnight = 13.5 * 3600  # NOW is 10:30
    assert alerts_of(flags(midnight - 10, midnight + 10), QUIET).height == 2


def test_each_detector_has_its_rows_also_without_a_flag() -> None:
    table = evaluate(
        flags(10), labels(("m1", "current", "spike", 10, 10)), device_days=1, detectors=["a", "rolling_z"], quiet=QUIET
    )
    assert table.select("detector", "fault", "recall").rows() == [
        ("a", "any", 0.0),
        ("a", "spike", 0.0),
        ("rolling_z", "any", 1.0),
        ("rolling_z", "spike", 1.0),
    ]


def test_labels_are_read_from_all_files_and_a_torn_line_is_skipped(tmp_path: Path) -> None:
    line = {
        "fleet": "weather",
        "device_id": "m1",
        "metric": "current",
        "fault": "spike",
        "start": "2026-11-22T10:30:10.000000Z",
        "end": "2026-11-22T10:30:10.000000Z",
        "magnitude": 5,
    }
    tmp_path.joinpath("weather-1.jsonl").write_text(json.dumps(line) + "\n" + json.dumps(line)[:40])
    tmp_path.joinpath("weather-2.jsonl").write_text(json.dumps(line | {"start": "2026-11-22T12:00:00Z"}) + "\n")

    found = read_labels(tmp_path, NOW, NOW)

    assert found.rows() == [("m1", "current", "spike", at(10), at(10), 5.0)]


def test_flags_labels_and_device_days_come_from_the_data_folder(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    flags_tree(settings.paths).write(NOW, flags(10, 50))
    device_minute_tree(settings.paths).write(NOW, device_minutes(readings([1.0, 2.0], start=NOW, device="m1")))
    settings.paths.labels.mkdir()
    label = {"device_id": "m1", "metric": "current", "fault": "spike", "magnitude": None}
    label |= {"start": at(10).isoformat(), "end": at(10).isoformat()}
    settings.paths.labels.joinpath("x.jsonl").write_text(json.dumps(label) + "\n")

    table = evaluate_labels(settings, NOW, NOW + 2 * MINUTE)

    row = table.row(by_predicate=(pl.col("detector") == "rolling_z") & (pl.col("fault") == "spike"), named=True)
    assert (row["found"], row["false_alerts"], row["device_days"]) == (1, 1, pytest.approx(1 / 1440))
    assert set(table["detector"]) == {"rolling_z", "state_minute", "kmeans_minute"}
