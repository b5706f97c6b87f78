"""What the weather page shows: stations, anomalies of the half hour, maxima; and where they lie on the map."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from iot_pipeline.serving.pages.weather import map as maps
from iot_pipeline.serving.pages.weather import view
from iot_pipeline.serving.pages.weather.anomalies import strip_svg
from iot_pipeline.serving.pages.weather.svg import background
from iot_pipeline.stats.relations import DIM_DEVICE_SCHEMA
from tests.pages.plants_world import MADRID, REYKJAVIK, STATIONS, flag, minutes, temperatures, told

NOW = datetime(2026, 11, 22, 8, 30, 20, tzinfo=UTC)
LATITUDES = st.floats(-90, 90)
LONGITUDES = st.floats(-180, 180)


def devices(**places: tuple[float | None, float | None]) -> pl.DataFrame:
    rows = [{"device_id": name, "latitude": place[0], "longitude": place[1]} for name, place in places.items()]
    return pl.DataFrame(rows, schema=DIM_DEVICE_SCHEMA)


def test_stations_are_named_by_the_place_nearby_and_listed_north_to_south() -> None:
    found = view.sites(
        pl.DataFrame(
            [{"device_id": name, "latitude": lat, "longitude": lon} for name, (lat, lon, _) in STATIONS.items()],
            schema=DIM_DEVICE_SCHEMA,
        ),
        maps.places(),
    )
    assert [site.name for site in found] == ["Reykjavik", "Madrid", "Singapore"]
    assert found[1].position == "40.4168° N, 3.7038° W"


def test_a_station_far_from_any_place_or_without_position_keeps_its_own_name() -> None:
    found = view.sites(devices(atoll=(-48.0, -123.0), nowhere=(None, None), wrong=(400.0, 0.0)), maps.places())
    assert [(site.name, site.latitude) for site in found] == [("atoll", -48.0), ("nowhere", None), ("wrong", None)]


def test_two_stations_of_one_town_are_told_apart() -> None:
    found = view.sites(devices(a=(40.41, -3.70), b=(40.42, -3.71)), maps.places())
    assert [site.name for site in found] == ["Madrid (b)", "Madrid (a)"]


def test_a_station_shows_its_newest_temperature_and_the_last_24_hours() -> None:
    [site] = view.sites(devices(**{MADRID: (40.4, -3.7)}), ())
    flags = [flag(MADRID, NOW - timedelta(minutes=5), detector=name) for name in ("rolling_z", "kmeans_minute")]
    shown = view.station(site, temperatures(NOW - timedelta(seconds=2)), minutes(NOW, 12.0), flags, NOW)
    assert (shown.value, shown.unit, shown.age, shown.is_stale) == (17.25, "°C", 2.0, False)
    assert (shown.count, shown.maximum) == (600, 21.0)
    assert shown.flags == 1  # two detectors, one reading


def test_a_silent_station_is_stale_and_one_that_never_spoke_has_no_value() -> None:
    [site] = view.sites(devices(**{MADRID: (40.4, -3.7)}), ())
    assert view.station(site, temperatures(NOW - timedelta(seconds=16)), [], [], NOW).is_stale
    nothing = view.station(site, [told(MADRID, 50.0, NOW, metric="humidity")], [], [], NOW)
    assert (nothing.value, nothing.maximum, nothing.is_stale) == (None, None, True)


def test_anomalies_are_counted_by_minute_for_k_means_and_for_the_others() -> None:
    flags = [
        flag(MADRID, NOW, detector="rolling_z"),
        flag(MADRID, NOW - timedelta(minutes=1)),
        flag(MADRID, NOW - timedelta(minutes=29)),
        flag(MADRID, NOW - timedelta(minutes=30, seconds=21)),
        flag(REYKJAVIK, NOW),
        flag(MADRID, NOW, metric="humidity"),
    ]
    baseline, other = view.strips(MADRID, flags, NOW)
    assert (baseline.detector, baseline.total, baseline.newest) == ("kmeans_minute", 0, None)
    assert other.detector == "rolling_z"
    assert (len(other.counts), other.total) == (30, 3)
    assert (other.counts[0], other.counts[-2], other.counts[-1]) == (1, 1, 1)
    assert other.newest is flags[0]


def test_a_clock_that_is_ahead_does_not_break_the_strip() -> None:
    _, other = view.strips(MADRID, [flag(MADRID, NOW + timedelta(minutes=3))], NOW)
    assert other.total == 0


def test_the_strip_says_in_words_what_it_shows() -> None:
    svg = strip_svg(view.Strip("<i>x</i>", (0, 1, 5), None))
    assert "&lt;i&gt;x&lt;/i&gt;: 6 flags in the last 3 minutes" in svg
    assert "<i>" not in svg


def test_live_moments_replace_published_ones_and_holes_stay_holes() -> None:
    live = view.moments_of_windows(minutes(NOW))
    old = [view.Moment(live[0].start + timedelta(minutes=by), 0.0, 0.0, 0.0) for by in (-3, -2, 0, 1)]
    joined = view.joined(old, live)
    assert len(joined) == 12
    assert joined[2] is live[0]
    holes = [one for one in view.with_gaps(joined, timedelta(minutes=1)) if isinstance(one, datetime)]
    assert holes == [live[0].start - timedelta(minutes=1)]


def test_maxima_come_newest_first_and_by_name() -> None:
    report = pl.DataFrame(
        {"date": [date(2026, 11, 1), date(2026, 11, 2), date(2026, 11, 2)], "deviceid": ["a", "a", "b"]}
    )
    rows = view.maxima(report, {"a": "Zurich", "b": "Athens"})
    assert [(row["date"], row["deviceid"]) for row in rows] == [
        (date(2026, 11, 2), "b"),
        (date(2026, 11, 2), "a"),
        (date(2026, 11, 1), "a"),
    ]


def test_distances_are_great_circles() -> None:
    assert maps.distance_km(0, 0, 0, 90) == pytest.approx(maps.EARTH_RADIUS_KM * 3.141592653589793 / 2)
    assert maps.distance_km(51.5, -0.1, 51.5, -0.1) == 0


def test_the_places_are_those_of_the_time_zone_database() -> None:
    places = {place.name: place for place in maps.places()}
    assert len(places) > 300
    assert places["Singapore"].latitude == pytest.approx(1.283, abs=0.001)
    assert places["Sao Paulo"].longitude == pytest.approx(-46.617, abs=0.001)


@given(st.lists(st.tuples(LATITUDES, LONGITUDES), min_size=1, max_size=6))
@example([(0.0, 0.0), (0.0, 5e-24), (0.0, -2e-311)])
def test_every_station_lies_inside_its_map(points: list[tuple[float, float]]) -> None:
    frame = maps.frame_of(points)
    for latitude, longitude in points:
        at = frame.xy(latitude, longitude)
        assert at is not None
        assert 0 <= at[0] <= maps.WIDTH
        assert 0 <= at[1] <= maps.HEIGHT
    assert frame.degrees_wide <= 360.001
    assert frame.north <= 90.001 or frame.south >= -90.001


def test_a_map_may_lie_across_the_date_line() -> None:
    frame = maps.frame_of([(10.0, 179.0), (12.0, -179.0)])
    left, right = frame.xy(10.0, 179.0), frame.xy(12.0, -179.0)
    assert left is not None
    assert right is not None
    assert 0 < right[0] - left[0] < maps.WIDTH
    assert frame.degrees_wide < 20
    assert "180°" in "".join(line.label for line in frame.graticule())


@given(st.lists(st.tuples(LATITUDES, LONGITUDES), min_size=0, max_size=4))
def test_the_scale_bar_is_round_and_fits(points: list[tuple[float, float]]) -> None:
    length, units = maps.frame_of(points).scale_bar()
    assert f"{length:.0e}"[0] in "125"
    assert 0 < units <= 0.22 * maps.WIDTH


def test_the_scale_is_true_along_a_meridian() -> None:
    frame = maps.frame_of([(40.0, 0.0), (50.0, 10.0)])
    length, units = frame.scale_bar()
    top, low = frame.xy(46.0, 5.0), frame.xy(45.0, 5.0)
    assert top is not None
    assert low is not None
    assert (low[1] - top[1]) * length / units == pytest.approx(maps.distance_km(45, 5, 46, 5))


def test_the_background_has_an_accessible_name_and_a_scale() -> None:
    drawn = background(maps.frame_of([(64.1, -21.9), (1.4, 103.8)]), maps.places())
    assert 'aria-labelledby="map-title"' in drawn
    assert "km</span>" in drawn
