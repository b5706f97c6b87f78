"""The figures of a device: what is drawn, what was usual, what is missing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.live.model import Window
from iot_pipeline.serving.pages import message_view
from iot_pipeline.serving.pages.device.facts import Series, facts_of
from iot_pipeline.serving.pages.device.figures import (
    SPANS,
    band_of,
    earlier_points,
    past_figures,
    readings_around,
    with_gaps,
)
from iot_pipeline.settings import load_settings
from tests.pages.world import flag, live_of, publish, reading, windows

TEN = datetime(2026, 11, 22, 10, tzinfo=UTC)
SERIES = Series("t", "°C")


def window(minute: int, low: float, high: float) -> Window:
    return Window(TEN + minute * MINUTE, 60, 5, low, high, (low + high) / 2, low, high)


def test_what_was_usual_is_told_by_the_past_only() -> None:
    steady = [window(index, 10.0, 12.0) for index in range(40)]
    band = band_of([*steady, window(40, 99.0, 99.0)], MINUTE)
    assert band[40] == (TEN + 40 * MINUTE, 10.0, 12.0)
    assert band[14] == (TEN + 14 * MINUTE, None, None)
    assert band[15] == (TEN + 15 * MINUTE, 10.0, 12.0)


def test_after_a_pause_nothing_is_usual_any_more() -> None:
    later = window(500, 1.0, 2.0)
    assert band_of([*(window(index, 10.0, 12.0) for index in range(40)), later], MINUTE)[-1] == (
        later.start,
        None,
        None,
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80), st.floats(-1e6, 1e6))
def test_the_future_changes_nothing_of_what_was_usual(values: list[float], later: float) -> None:
    known = [window(index, value, value) for index, value in enumerate(values)]
    more = [*known, window(len(values), later, later)]
    assert band_of(more, MINUTE)[: len(values)] == band_of(known, MINUTE)


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    points = [(TEN, 1.0), (TEN + MINUTE, 2.0), (TEN + 5 * MINUTE, 3.0)]
    assert with_gaps(points, MINUTE) == [*points[:2], (TEN + 2 * MINUTE, None), points[2]]


def test_live_windows_follow_the_published_ones(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    first = publish(settings, "a")
    live = live_of("a", flags=(flag("a", timedelta(minutes=1)),))
    figures = past_figures(settings.paths, live, "a", SERIES, span=SPANS["6h"], now=utc_now())
    known = {ts: value for ts, value in figures.points if value is not None}
    assert known[first] == 21.0  # published, although the live layer has another figure
    assert max(known) >= floor_minute(utc_now()) - 2 * MINUTE
    assert len(figures.marks) == 1
    assert figures.note == ""


def test_without_anything_published_the_live_figures_are_shown_with_a_note(tmp_path: Path) -> None:
    figures = past_figures(
        load_settings(data=tmp_path).paths, live_of("a"), "a", SERIES, span=SPANS["24h"], now=utc_now()
    )
    assert len([value for _, value in figures.points if value is not None]) == len(windows())
    assert "published" in figures.note


def test_readings_behind_a_point_are_those_of_its_window(tmp_path: Path) -> None:
    settings = load_settings(data=tmp_path)
    first = publish(settings, "a", "b")
    found = readings_around(settings.paths, "a", SERIES, first + timedelta(seconds=31), SPANS["6h"])
    assert found["event_ts"].to_list() == [first + timedelta(seconds=each) for each in range(0, 60, 10)]
    near = readings_around(settings.paths, "a", SERIES, first + timedelta(seconds=31), SPANS["live"])
    assert first + timedelta(seconds=30) in near["event_ts"].to_list()
    earlier = earlier_points(settings.paths, "a", SERIES, first, first + timedelta(seconds=11))
    assert earlier == [(first, 20.0), (first + timedelta(seconds=10), 21.0)]


def test_facts_survive_attributes_that_are_no_object() -> None:
    known: dict[str, object] = {
        "fleet": "weather",
        "attributes": '["x"]',
        "customer": None,
        "first_seen": TEN,
        "last_seen": TEN,
    }
    assert facts_of(known, []).attributes == ()
    told = facts_of({**known, "attributes": '{"b": 1, "a": "<i>"}'}, [reading("a")])
    assert told.attributes == (("a", "<i>"), ("b", "1"))


def test_a_payload_is_shown_as_what_it_is() -> None:
    def kind(payload: bytes, topic: str = "a/b", more: int = 0) -> tuple[str, str]:
        shown = message_view.payload_text(topic, payload, len(payload) + more)
        return shown.kind, shown.text

    assert kind(b'{"a":1}') == ("JSON", '{\n  "a": 1\n}')
    assert kind(b"") == ("empty", "")
    assert kind("grün".encode()) == ("text", "grün")
    assert kind("grün".encode()[:-2], more=2) == ("text", "gr")
    assert kind(b"\xff\x00A") == ("bytes", "000000  ff 00 41" + " " * 41 + "··A")
    assert kind(b"[" * 5000)[0] == "text"
    assert kind(b"\xff\xff", "spBv1.0/g/DDATA/n/d")[0] == "bytes"


def test_a_payload_that_was_cut_says_so() -> None:
    assert message_view.payload_text("a", b"x" * 10, 20).note == "the first 10 of 20 bytes"
    assert "characters" in message_view.payload_text("a", b"x" * 50_000, 50_000).note
