"""Spans of a backfill by hand: what is understood, and what is refused with which words."""

from datetime import UTC, date, datetime

import pytest

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.operations.backfill import DAY_ASSETS, MINUTE_ASSETS, Span, main, parse_span
from iot_pipeline.settings import Settings, load_settings

NOW = datetime(2026, 11, 22, 10, 30, 15, tzinfo=UTC)


@pytest.fixture
def settings() -> Settings:
    return load_settings(minute_start=date(2026, 11, 20), history_start=date(2026, 1, 1))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("2026-11-22T10:00", ["2026-11-22T10:00"]),
        ("2026-11-22T10:00..2026-11-22T10:00", ["2026-11-22T10:00"]),
        ("2026-11-21T23:59..2026-11-22T00:01", ["2026-11-21T23:59", "2026-11-22T00:00", "2026-11-22T00:01"]),
        ("2026-11-20T00:00", ["2026-11-20T00:00"]),
        ("2026-11-22T10:29", ["2026-11-22T10:29"]),
    ],
)
def test_minutes(settings: Settings, text: str, keys: list[str]) -> None:
    assert parse_span(text, settings, NOW) == Span(tuple(keys), MINUTE_ASSETS)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("2026-11-22", ["2026-11-22"]),
        ("2026-02-28..2026-03-01", ["2026-02-28", "2026-03-01"]),
        ("2026-01-01", ["2026-01-01"]),
    ],
)
def test_days(settings: Settings, text: str, keys: list[str]) -> None:
    assert parse_span(text, settings, NOW) == Span(tuple(keys), DAY_ASSETS)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-11-22T10:01..2026-11-22T10:00", "ends before it begins"),
        ("2026-11-22..2026-11-21", "ends before it begins"),
        ("2026-11-22T10:31", "no partition begins at 2026-11-22T10:30 UTC or later yet"),
        # The partition of a minute exists once the minute is over.
        ("2026-11-22T10:30", "no partition begins at 2026-11-22T10:30 UTC or later yet"),
        ("2026-11-22..2026-11-23", "no partition begins at 2026-11-23T00:00 UTC or later yet"),
        (
            "2026-11-19T23:59..2026-11-20T00:10",
            "older minutes are built as days .`iot backfill 2026-11-19..2026-11-20`",
        ),
        ("2025-12-31", "partitions begin at 2026-01-01T00:00 UTC$"),
    ],
)
def test_spans_without_partitions_are_refused(settings: Settings, text: str, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason):
        parse_span(text, settings, NOW)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "2026-11-22T10:00..",
        "..2026-11-22",
        "2026-11-22T10:00..2026-11-22",
        "2026-11-22..2026-11-22T10:00",
        "2026-11-22T10:00:00",
        "2026-02-30",
        "2026-11-22T24:00",
        "2026-11-22 ..2026-11-23",
        "2026-11-20..2026-11-21..2026-11-22",
    ],
)
def test_what_is_no_span_is_told_how_one_looks(settings: Settings, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is no span; expected minutes like .* or days like .*, in UTC"):
        parse_span(text, settings, NOW)


def test_a_wrong_span_is_refused_before_anybody_is_asked(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match="is no span"):
        main(settings, "soon", wait=False)
