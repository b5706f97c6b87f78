import math

import polars as pl
import pytest

from iot_pipeline.anomalies.severity import Severity, severity_expression, severity_of


@pytest.mark.parametrize(
    ("score", "severity"),
    [
        (1.0, "notice"),
        (1.999, "notice"),
        (2.0, "warning"),
        (3.99, "warning"),
        (4.0, "critical"),
        (math.inf, "critical"),
    ],
)
def test_severity_follows_from_the_score(score: float, severity: str) -> None:
    assert severity_of(score) == severity


@pytest.mark.parametrize("score", [0.2, -1.0, math.nan])
def test_what_is_below_every_threshold_is_told_as_quietly_as_can_be(score: float) -> None:
    assert severity_of(score) is Severity.notice


@pytest.mark.parametrize("severity", Severity)
def test_a_severity_begins_at_its_least_score(severity: Severity) -> None:
    assert severity_of(severity.least_score) is severity


def test_a_column_of_scores_gets_the_same_words() -> None:
    scores = pl.Series("score", [0.5, 1.0, 2.0, 3.0, 4.0, 9.0, math.nan, math.inf])
    words = scores.to_frame().select(severity_expression(pl.col("score")).alias("words"))["words"].to_list()
    assert words == [severity_of(score) for score in scores]
