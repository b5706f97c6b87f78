"""What the page of the ice plant shows: places, conditions, the edge node, periods."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from iot_pipeline.live.model import LatestReading
from iot_pipeline.serving.pages.ice_plant import view
from iot_pipeline.serving.pages.ice_plant.places import PLACES, decimal
from iot_pipeline.serving.pages.ice_plant.svg import NARROW, WIDE, Layout, drawing
from iot_pipeline.stats.relations import DIM_DEVICE_SCHEMA
from tests.pages.plants_world import NODE, flag, measures, told

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
A_SECOND_AGO = NOW - timedelta(seconds=1)
NOBODY = pl.DataFrame(schema=DIM_DEVICE_SCHEMA)


def published(*states: str | None) -> pl.DataFrame:
    rows = [
        {
            "device_id": f"{NODE}/{place.name}",
            "fleet": "ice_plant",
            "type": place.kind,
            "description": place.description,
            "state": state,
            "state_since": NOW - timedelta(minutes=index),
        }
        for index, (place, state) in enumerate(zip(PLACES, states or ["online"] * len(PLACES), strict=False))
    ]
    return pl.DataFrame(rows, schema=DIM_DEVICE_SCHEMA)


def seen(readings: list[LatestReading], **conditions: view.Condition) -> None:
    plant = view.plant_view(NODE, readings, published(), [], NOW)
    found = {one.place.key: one.condition for one in plant.measures if one.place is not None}
    assert {key: found[key] for key in conditions} == conditions


def test_every_place_shows_its_measure_with_unit_and_age() -> None:
    plant = view.plant_view(NODE, measures(A_SECOND_AGO), published(), [], NOW)
    assert [one.place for one in plant.measures] == list(PLACES)
    by_key = {place.key: one for place, one in zip(PLACES, plant.measures, strict=True)}
    assert (by_key["voltage"].number, by_key["voltage"].unit, by_key["voltage"].age) == ("225.0", "V", 1.0)
    assert by_key["brine"].number == "\N{MINUS SIGN}4.5"
    assert by_key["flow"].unit == "liter per hour"
    assert plant.is_fine
    assert plant.summary == "all measures in range"


def test_volt_and_ampere_are_told_apart_though_both_say_compressor() -> None:
    plant = view.plant_view(NODE, measures(A_SECOND_AGO), published(), [], NOW)
    assert [one.title for one in plant.measures[:2]] == ["Compressor voltage", "Compressor current"]


def test_ends_of_the_operating_range_belong_to_it() -> None:
    seen(measures(A_SECOND_AGO, voltage=220.0, current=50.0), voltage=view.Condition.FINE, current=view.Condition.FINE)
    seen(
        measures(A_SECOND_AGO, voltage=219.99, current=50.01),
        voltage=view.Condition.OUTSIDE,
        current=view.Condition.OUTSIDE,
    )


def test_stale_comes_before_out_of_range_because_nobody_knows_what_it_is_now() -> None:
    seen(measures(NOW - timedelta(seconds=16), voltage=1.0), voltage=view.Condition.STALE)
    seen(measures(NOW - timedelta(seconds=15), voltage=1.0), voltage=view.Condition.OUTSIDE)


def test_a_measure_that_its_device_doubts_says_so() -> None:
    doubted = told(f"{NODE}/device_1", 225.0, A_SECOND_AGO, metric="measure", unit="V", quality="bad")
    seen([doubted], voltage=view.Condition.BAD)


def test_another_unit_than_that_of_the_range_is_not_compared() -> None:
    seen([told(f"{NODE}/device_1", 1.0, A_SECOND_AGO, unit="kV")], voltage=view.Condition.UNKNOWN)


def test_a_flag_shows_until_it_is_old() -> None:
    device = f"{NODE}/device_1"
    for age, condition in ((4, view.Condition.FLAGGED), (6, view.Condition.FINE)):
        flags = [flag(device, NOW - timedelta(minutes=age), metric="measure")]
        plant = view.plant_view(NODE, measures(A_SECOND_AGO), published(), flags, NOW)
        assert plant.measures[0].condition is condition


def test_silent_places_are_told_not_hidden() -> None:
    plant = view.plant_view(NODE, measures(A_SECOND_AGO)[:8], published(), [], NOW)
    assert plant.summary == "2 no data"
    assert not plant.is_fine
    assert plant.measures[9].number == view.NONE


def test_places_are_found_by_name_and_unit_while_nothing_is_published() -> None:
    plant = view.plant_view(NODE, measures(A_SECOND_AGO), NOBODY, [], NOW)
    assert plant.is_fine
    other = told(f"{NODE}/device_1", 1.0, A_SECOND_AGO, unit="°C")
    plant = view.plant_view(NODE, [other], NOBODY, [], NOW)
    assert [one.title for one in plant.further] == ["device_1"]


def test_devices_of_no_place_and_second_ones_of_a_place_are_listed_beside_the_drawing() -> None:
    known = published().vstack(published()[:1].with_columns(pl.lit(f"{NODE}/device_11").alias("device_id")))
    plant = view.plant_view(NODE, measures(A_SECOND_AGO), known, [], NOW)
    assert [one.device_id for one in plant.further] == [f"{NODE}/device_11"]


def test_a_plant_shows_the_devices_of_its_own_node_only() -> None:
    other = told("other/node/device_1", 225.0, A_SECOND_AGO, unit="V")
    plant = view.plant_view(NODE, [other], NOBODY, [], NOW)
    assert {one.condition for one in plant.measures} == {view.Condition.MISSING}
    assert view.nodes_of([other.device_id, f"{NODE}/device_1", f"{NODE}/device_2"]) == [NODE, "other/node"]


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (["online", "online"], "online"),
        (["offline", "offline"], "offline"),
        (["online", "stale"], "mixed"),
        ([None, None], "unknown"),
    ],
)
def test_the_edge_node_is_what_its_devices_tell(states: list[str | None], expected: str) -> None:
    node = view.plant_view(NODE, [], published(*states), [], NOW).node
    assert node.state == expected
    assert node.since == (None if expected == "unknown" else NOW)


def test_periods_are_offered_newest_first_and_devices_in_their_natural_order() -> None:
    rows = [
        {"TIMESTAMP_RX": NOW - timedelta(minutes=minute), "DEVICE_NAME": f"{node}/device_{number}"}
        for minute in (1, 2)
        for number in (10, 9, 1)
        for node in (NODE, "other/node")
    ]
    report = pl.DataFrame(rows)
    periods, newest = view.measures_table(report, NODE)
    assert periods == [NOW - timedelta(minutes=1), NOW - timedelta(minutes=2)]
    assert [row["DEVICE_NAME"] for row in newest] == [f"{NODE}/device_{number}" for number in (1, 9, 10)]
    _, earlier = view.measures_table(report, NODE, periods[1])
    assert {row["TIMESTAMP_RX"] for row in earlier} == {periods[1]}
    assert view.measures_table(report.clear(), NODE) == ([], [])


def test_a_period_is_open_until_it_ends() -> None:
    assert view.is_open(NOW, "minute", NOW + timedelta(seconds=59))
    assert not view.is_open(NOW, "minute", NOW + timedelta(seconds=60))
    month = datetime(2026, 11, 1, tzinfo=UTC)
    assert view.is_open(month, "month", NOW)
    assert not view.is_open(month, "day", NOW)
    assert view.utc_period(month, "month") == "November 2026 (UTC)"


def test_minus_is_a_minus_sign() -> None:
    assert decimal(-15.54, 1) == "\N{MINUS SIGN}15.5"


@pytest.mark.parametrize("layout", [WIDE, NARROW], ids=lambda layout: layout.name)
def test_no_measure_lies_on_another_one(layout: Layout) -> None:
    wide, high = (168, 62) if layout is WIDE else (104, 60)
    places = list(layout.tags.values())
    assert set(layout.tags) == {place.key for place in PLACES}
    for index, (x, y) in enumerate(places):
        assert wide / 2 <= x <= layout.width - wide / 2
        assert high / 2 <= y <= layout.height - high / 2
        for other_x, other_y in places[index + 1 :]:
            assert abs(x - other_x) >= wide or abs(y - other_y) >= high


def test_the_drawing_has_an_accessible_name() -> None:
    svg = drawing(WIDE)
    assert 'role="img"' in svg
    assert "<title" in svg
