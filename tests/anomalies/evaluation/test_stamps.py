"""Time stamps of all usual forms are the same instant; what cannot be read is told."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.anomalies.evaluation.stamps import read_stamps
from iot_pipeline.errors import ConfigurationError

US = 1_763_808_120_000_000


@pytest.mark.parametrize(
    "value",
    [
        "2025-11-22T10:42:00Z",
        "2025-11-22 10:42:00",
        "2025-11-22t10:42",
        "2025-11-22T10:42:00.000",
        "2025-11-22T11:42:00+01:00",
        "2025-11-22 11:42:00.000000+0100",
        "2025-11-22T05:42:00-05",
        "  2025-11-22T10:42:00 Z ",
        "22.11.2025 10:42",
        "22.11.2025T10:42:00.000",
        "1763808120",
        "1763808120.0",
        1_763_808_120,
        1_763_808_120.0,
        1_763_808_120_000,
        1_763_808_120_000_000,
        1_763_808_120_000_000_000,
        datetime(2025, 11, 22, 10, 42),  # noqa: DTZ001
        datetime(2025, 11, 22, 10, 42, tzinfo=UTC),
        datetime(2025, 11, 22, 11, 42, tzinfo=ZoneInfo("Europe/Berlin")),
    ],
)
def test_usual_forms_are_read(value: object) -> None:
    assert read_stamps(pl.Series("ts", [value])).us.to_list() == [US]


def test_dates_are_their_midnight() -> None:
    midnight = US - 10 * 3_600_000_000 - 42 * 60_000_000
    assert read_stamps(pl.Series("ts", ["2025-11-22"])).us.to_list() == [midnight]
    assert read_stamps(pl.Series("ts", [date(2025, 11, 22)])).us.to_list() == [midnight]


def test_forms_may_be_mixed_and_what_cannot_be_read_is_told() -> None:
    stamps = read_stamps(pl.Series("ts", ["2025-11-22T10:42:00Z", "2025-11-22 10:42", "yesterday", None]))
    assert stamps.us.to_list() == [US, US, None, None]
    assert "1 cannot be read, such as 'yesterday'" in stamps.told
    assert "taken as UTC" in stamps.told


def test_the_day_comes_first_between_dots() -> None:
    stamps = read_stamps(pl.Series("ts", ["01.02.2025 00:00:00", "1.2.2025"]))
    assert stamps.us.to_list() == read_stamps(pl.Series("ts", 2 * ["2025-02-01"])).us.to_list()
    assert stamps.told == "texts, ISO 8601 or day.month.year, those without a zone taken as UTC"


def test_days_between_slashes_are_nobodys_guess() -> None:
    with pytest.raises(ConfigurationError, match="01/02/2025"):
        read_stamps(pl.Series("ts", ["01/02/2025 00:00:00"]))


def test_the_unit_of_numbers_is_told_and_can_be_given() -> None:
    assert "ms since 1970" in read_stamps(pl.Series("ts", [1_763_808_120_000])).told
    assert read_stamps(pl.Series("ts", [5, 6]), "s").us.to_list() == [5_000_000, 6_000_000]
    assert read_stamps(pl.Series("ts", [5, 6]), "ms").us.to_list() == [5_000, 6_000]


def test_both_nights_of_a_change_of_clocks_are_instants() -> None:
    autumn = ["2025-10-26T02:30:00+02:00", "2025-10-26T02:30:00+01:00"]
    first, second = read_stamps(pl.Series("ts", autumn)).us
    assert second - first == 3_600_000_000


@pytest.mark.parametrize("values", [["soon", "later"], [[1]], [b"2025"]])
def test_what_is_no_time_is_refused(values: list[object]) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        read_stamps(pl.Series("ts", values))


def test_numbers_beyond_the_year_9999_are_no_times() -> None:
    assert read_stamps(pl.Series("ts", [1_700_000_000, 10**18]), "s").us.to_list() == [1_700_000_000_000_000, None]
    assert read_stamps(pl.Series("ts", [1.7e9, float("inf")]), "s").us.to_list() == [1_700_000_000_000_000, None]
    with pytest.raises(ConfigurationError, match="as s since 1970 none is a time"):
        read_stamps(pl.Series("ts", [10**18]), "s")


def test_an_unknown_unit_is_refused_with_the_valid_ones() -> None:
    with pytest.raises(ConfigurationError, match="s, ms, us, ns"):
        read_stamps(pl.Series("ts", [1]), "minutes")


@pytest.mark.parametrize(
    "values", [pl.Series("ts", [], pl.String), pl.Series("ts", [None, None]), pl.Series("ts", [], pl.Int64)]
)
def test_nothing_is_no_trouble(values: pl.Series) -> None:
    assert read_stamps(values).us.drop_nulls().len() == 0


@given(st.datetimes(datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001
def test_text_and_time_are_the_same_instant(instant: datetime) -> None:
    exact = read_stamps(pl.Series("ts", [instant])).us[0]
    assert read_stamps(pl.Series("ts", [instant.isoformat()])).us[0] == exact
