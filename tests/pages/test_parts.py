"""Numbers as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.serving.pages.parts.wording import format_count, format_duration, format_number, format_value


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "\u2013"),
        (math.nan, "\u2013"),
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1.000"),
        (-2.5, "\u22122.500"),
        (0.05, "0.05"),
        (1234.5678, "1\u202f235"),
        (1e15, "1.000e+15"),
        (0.00001, "1.000e\u221205"),
    ],
)
def test_numbers(value: float | None, shown: str) -> None:
    assert format_number(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "\u2013"),
        (0.04, "0.0 s"),
        (0.9, "0.9 s"),
        (12.4, "12 s"),
        (60, "1 min"),
        (125, "2 min 5 s"),
        (3_600, "1 h"),
        (15_000, "4 h 10 min"),
        (180_000, "2 d 2 h"),
    ],
)
def test_durations(seconds: float | None, shown: str) -> None:
    assert format_duration(seconds) == shown


def test_units_stand_beside_their_number() -> None:
    assert format_value(21.5, "°C") == "21.50\u2009°C"
    assert format_value(1.0, "kW") == "1.000 kW"
    assert format_value(None, "kW") == "\u2013"
    assert format_count(1_234_567) == "1\u202f234\u202f567"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_what_is_shown_is_about_what_it_is(value: float) -> None:
    shown = float(format_number(value, 6).replace("\u2212", "-").replace("\u202f", ""))
    assert shown == pytest.approx(value, rel=1e-4, abs=1e-4)
