"""What the page of the US states shows: windows, published minutes, tiles and colours."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.live.model import StateMean, StateWindow
from iot_pipeline.serving.pages.states import view
from iot_pipeline.serving.pages.states.temperature_colours import colour_of, contrast, text_on
from iot_pipeline.settings import load_settings
from sensors_sim.us_states import ANNUAL_MEAN_F
from tests.pages.plants_world import publish_states, window

START = datetime(2026, 11, 22, 8, tzinfo=UTC)
THREE = timedelta(seconds=3)


def test_the_window_before_the_newest_is_whole_and_shown() -> None:
    shown = view.live_view([window(START + THREE, {"TX": 1.0}), window(START, {"TX": 70.0, "AK": 20.0})])
    assert shown is not None
    assert (shown.start, shown.end, shown.published) == (START, START + THREE, False)
    assert [(one.state, one.fahrenheit) for one in shown.states] == [("TX", 70.0), ("AK", 20.0)]
    assert (shown.messages, shown.sensors) == (4, 80)


def test_without_any_window_there_is_nothing_to_show() -> None:
    assert view.live_view([]) is None
    only = view.live_view([window(START, {"TX": 70.0})])
    assert only is not None
    assert only.start == START


def test_silent_states_keep_their_sensors_and_their_newest_mean_before() -> None:
    windows = [
        window(START + 2 * THREE, {"TX": 1.0}),
        window(START + THREE, {"TX": 70.0}),
        window(START, {"OH": 50.0, "TX": 60.0}),
        window(START - THREE, {"OH": 40.0}),
    ]
    shown = view.live_view(windows)
    assert shown is not None
    assert dict(shown.all_sensors) == {"OH": 40, "TX": 40}
    assert {state: one.fahrenheit for state, one in shown.earlier.items()} == {"OH": 50.0}


def test_sensors_by_state_are_ascending_and_means_descending() -> None:
    shown = view.live_view([window(START, {"WY": 40.0, "AL": 60.0, "HI": 60.0})])
    assert shown is not None
    assert [one.state for one in shown.states] == ["AL", "HI", "WY"]
    assert list(shown.all_sensors) == ["AL", "HI", "WY"]


def test_units_are_converted_and_weighed_by_messages() -> None:
    means = (
        StateMean("TX", "temperature", "°F", 50.0, 3, 5),
        StateMean("TX", "temperature", "°C", 20.0, 1, 5),
        StateMean("TX", "humidity", "%", 99.0, 9, 5),
        StateMean("OH", "temperature", "K", 300.0, 1, 2),
    )
    shown = view.live_view([StateWindow(START, 3, means, 14, 7)])
    assert shown is not None
    texas, ohio = shown.states
    assert texas.fahrenheit == pytest.approx((3 * 50 + 68) / 4)
    assert texas.celsius == pytest.approx(((3 * 50 + 68) / 4 - 32) / 1.8)
    assert (ohio.state, ohio.fahrenheit, ohio.celsius) == ("OH", None, None)


def test_names_that_are_no_states_are_told_beside_the_map() -> None:
    shown = view.live_view([window(START, {"<b>": 1.0, "TX": 2.0})])
    assert shown is not None
    assert shown.elsewhere == ("<b>",)
    assert shown.states[1].name == "<b>"


def test_the_newest_published_minute_counts(tmp_path: Path) -> None:
    paths = load_settings(data=tmp_path).paths
    minute = publish_states(paths, {"TX": 70.0, "OH": 50.5})
    shown = view.published_minute(paths, minute + timedelta(minutes=3))
    assert shown is not None
    assert (shown.start, shown.seconds, shown.published) == (minute, 60, True)
    assert [(one.state, one.fahrenheit, one.messages) for one in shown.states] == [("TX", 70.0, 11), ("OH", 50.5, 11)]
    assert dict(shown.all_sensors) == {"OH": 7, "TX": 7}
    assert view.published_minute(paths, minute + timedelta(minutes=11)) is None


def test_every_state_has_a_tile_of_its_own_and_a_name() -> None:
    assert set(view.TILES) == set(view.NAMES) == set(ANNUAL_MEAN_F)
    assert len(set(view.TILES.values())) == len(view.TILES)
    assert {column for column, _ in view.TILES.values()} <= set(range(11))


@given(st.floats(-100, 200))
def test_on_every_colour_a_text_can_be_read(fahrenheit: float) -> None:
    colour = colour_of(fahrenheit)
    assert contrast(text_on(colour), colour) >= 4.5


def test_warmer_is_redder() -> None:
    assert colour_of(-40) == colour_of(10)
    assert colour_of(90) == colour_of(130)
    reds = [int(colour_of(value)[1:3], 16) - int(colour_of(value)[5:7], 16) for value in range(10, 91, 10)]
    assert reds[0] < 0 < reds[-1]


def test_degrees() -> None:
    assert view.celsius(212.0) == pytest.approx(100.0)
    assert view.fahrenheit(-40.0, "°C") == pytest.approx(-40.0)
    assert view.fahrenheit(1.0, "%") is None
