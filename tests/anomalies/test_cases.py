"""The golden cases of cases.yaml: adding one is adding four lines there."""

from pathlib import Path
from typing import TypedDict

import polars as pl
import pytest
import yaml

from iot_pipeline.anomalies.detectors import default_detectors
from iot_pipeline.clock import MINUTE
from tests.anomalies.frames import NOW, minute_by_minute, window


class Case(TypedDict, total=False):
    what: str
    detector: str
    before: list[float]
    minute: list[float]
    flagged: list[float]


CASES: list[Case] = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text())
DETECTORS = {detector.name: detector for detector in default_detectors()}


@pytest.mark.parametrize("case", CASES, ids=[case["what"] for case in CASES])
def test_golden_case(case: Case) -> None:
    detector = DETECTORS[case.get("detector", "rolling_z")]
    frame = minute_by_minute([case["before"]] * 30 + [case["minute"]], start=NOW - 30 * MINUTE)

    flags = detector.score(window(frame)).sort("event_ts")

    assert flags["value"].to_list() == case["flagged"]
    assert (flags["score"] >= 1.0).all()
    assert not flags.filter(pl.col("value").is_between("expected_low", "expected_high")).height


def test_a_flag_says_what_is_wrong_in_one_sentence() -> None:
    frame = minute_by_minute([[20.0, 20.2, 19.9, 20.1, 19.8]] * 30 + [[20.1, 95.0]], start=NOW - 30 * MINUTE)

    flag = DETECTORS["rolling_z"].score(window(frame)).row(0, named=True)

    assert flag["reason"] == (
        "95 °C is above the usual 19.09 to 20.91 °C: 529 standard deviations from the mean of 150 readings "
        "in the 30 minutes before"
    )
    assert (flag["device_id"], flag["metric"], flag["unit"]) == ("hall/m1", "temperature", "°C")
    assert flag["detector_version"] == DETECTORS["rolling_z"].version
