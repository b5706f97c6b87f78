"""What shows only beside days of the past is flagged; usual days are not; nothing later changes what came before."""

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from iot_pipeline.anomalies.daily.hours import HOUR
from iot_pipeline.anomalies.daily.scoring import NO_FACTORS, day_flags
from iot_pipeline.anomalies.daily.usual_week import UsualWeek
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.kinds import DAY_DETECTORS
from iot_pipeline.clock import DAY, day_start
from tests.anomalies.daily.weeks import (
    DAYS,
    HOURS,
    MACHINE,
    METER,
    MONDAY,
    TODAY,
    Hours,
    day_of,
    drifting,
    resting,
)

BUDGET = 0.1


def grid_of_days(told: list[dict[str, Hours]]) -> Grid:
    """Days in a row, the last of them TODAY."""
    devices = sorted(told[0])
    names = {"device_id": devices, "metric": ["power"] * len(devices), "unit": [None] * len(devices)}
    series = pl.DataFrame(names, schema=dict.fromkeys(SERIES, pl.String))
    values = np.array([np.concatenate([day[device] for day in told]) for device in devices])
    return Grid(series, day_start(TODAY - (len(told) - 1) * DAY), HOUR, values)


def flags_beside(today: dict[str, Hours], *, past: int = DAYS, factors: pl.DataFrame = NO_FACTORS) -> pl.DataFrame:
    """Flags of `today` after so many usual days."""
    days = [day_of(TODAY - offset * DAY) for offset in range(past, 0, -1)]
    grid = grid_of_days([*days, today])
    classes = [device.rstrip("0123456789") for device in grid.series["device_id"]]
    return day_flags(grid, past * HOURS, classes=classes, budget=BUDGET, factors=factors)


@pytest.fixture(name="broken", scope="module")
def two_broken_devices() -> pl.DataFrame:
    return flags_beside(resting(drifting(day_of(TODAY), f"{METER}1"), f"{MACHINE}2"))


def of_device(flags: pl.DataFrame, device: str) -> pl.DataFrame:
    return flags.filter(pl.col("device_id") == device)


def test_a_drift_over_eight_hours_is_flagged_while_it_lasts(broken: pl.DataFrame) -> None:
    hours = of_device(broken, f"{METER}1")["minute"].dt.hour().to_list()
    assert {12, 13, 14, 15} <= set(hours)
    assert min(hours) >= 8


def test_a_day_without_its_usual_shape_is_flagged(broken: pl.DataFrame) -> None:
    found = of_device(broken, f"{MACHINE}2")
    assert {7, 10, 13, 16} <= set(found["minute"].dt.hour().to_list())
    assert "the same hour of other weeks lets expect" in found["reason"][0]
    assert found["expected_low"][0] < 45 < found["expected_high"][0]


def test_flags_name_the_tier_and_reach_the_threshold(broken: pl.DataFrame) -> None:
    assert set(broken["detector"]) <= set(DAY_DETECTORS)
    assert broken["score"].min() >= 1  # type: ignore[operator]
    assert broken["value"].null_count() == 0
    assert broken["event_ts"].equals(broken["minute"].alias("event_ts"))


def test_what_people_called_false_alarms_raises_the_thresholds_of_their_class(broken: pl.DataFrame) -> None:
    rows = [("day_drift", METER, 1.5), ("day_shape", METER, 1.5)]
    factors = pl.DataFrame(rows, schema=["detector", "class", "factor"], orient="row")
    found = flags_beside(resting(drifting(day_of(TODAY), f"{METER}1"), f"{MACHINE}2"), factors=factors)
    assert of_device(found, f"{METER}1").height < of_device(broken, f"{METER}1").height
    assert_frame_equal(of_device(found, f"{MACHINE}2"), of_device(broken, f"{MACHINE}2"), check_exact=True)


def test_devices_that_do_as_ever_are_not_flagged(broken: pl.DataFrame) -> None:
    assert set(broken["device_id"]) == {f"{METER}1", f"{MACHINE}2"}


def test_a_shape_is_missed_where_no_hour_is_usual() -> None:
    """Panels in the sun: each day has its own clouds, and only the arch of the day is the same."""
    rng = np.random.default_rng(8)
    arch = np.clip(np.sin((np.arange(HOURS) - 6) / 12 * np.pi), 0, None)
    days = [{f"roof/{number}": 10 * rng.uniform(0.3, 1.0) * arch for number in range(6)} for _ in range(DAYS + 1)]
    days[-1]["roof/3"] = np.full(HOURS, 2.0)
    grid = grid_of_days(days)
    found = day_flags(grid, DAYS * HOURS, classes=["sun"] * 6, budget=BUDGET)
    assert set(found["device_id"]) == {"roof/3"}
    assert "day_shape" in set(found["detector"])
    assert found["reason"].str.contains("look like none of the days before").any()


def test_a_series_without_three_weeks_of_its_own_is_learning() -> None:
    assert flags_beside(resting(day_of(TODAY), f"{MACHINE}2"), past=20).is_empty()


def test_clean_weeks_stay_within_the_budget() -> None:
    days = 5
    alerts = 0
    for number in range(days):
        flags = flags_beside(day_of(TODAY, seed=100 + number))
        alerts += flags.select(*SERIES, pl.col("minute").dt.date()).unique().height
    assert alerts <= BUDGET * len(day_of(TODAY)) * days


def test_what_comes_later_changes_no_earlier_flag(broken: pl.DataFrame) -> None:
    today = resting(drifting(day_of(TODAY), f"{METER}1"), f"{MACHINE}2")
    other = {device: np.where(np.arange(HOURS) < 13, hours, 7 - hours) for device, hours in today.items()}
    noon = day_start(TODAY) + 13 * HOUR
    before = pl.col("minute") < noon
    assert_frame_equal(flags_beside(other).filter(before), broken.filter(before), check_exact=True)
    assert broken.filter(before).height > 0


def test_a_week_is_usual_only_where_it_repeats() -> None:
    rng = np.random.default_rng(4)
    hour = np.arange(DAYS * HOURS)
    weekly = np.where((hour // HOURS) % 7 < 5, 40.0, 5.0) + rng.normal(0, 0.5, hour.size)
    names = pl.DataFrame({"series": ["weekly", "noise"]})
    grid = Grid(names, day_start(MONDAY), HOUR, np.array([weekly, rng.normal(0, 1, hour.size)]))
    usual = UsualWeek().fit(grid, ["a", "a"]).tables["week"]["usual"].to_list()
    assert usual[0] == pytest.approx(0.6, abs=0.2)
    assert usual[1] == 0


def test_an_hour_is_not_compared_with_itself() -> None:
    hour = np.arange(DAYS * HOURS)
    values = np.sin(hour / HOURS * 2 * np.pi) + np.random.default_rng(5).normal(0, 0.05, hour.size)
    values[200] += 10
    grid = Grid(pl.DataFrame({"series": ["s"]}), day_start(MONDAY), HOUR, values[None, :])
    detector = UsualWeek()
    scored = detector.score(grid, detector.fit(grid, ["a"]), slice(None))
    assert scored.score.argmax() == 200
    assert scored.expected_high[0, 200] < 2


@pytest.mark.parametrize("values", [np.full((1, 200), np.nan), np.full((1, 200), 7.0), np.zeros((0, 200))])
def test_what_has_no_week_scores_nothing(values: Hours) -> None:
    names = pl.DataFrame({"series": [str(number) for number in range(len(values))]}, schema={"series": pl.String})
    grid = Grid(names, day_start(MONDAY), HOUR, values)
    detector = UsualWeek()
    assert not detector.score(grid, detector.fit(grid, ["a"] * len(values)), slice(None)).score.any()


@pytest.mark.parametrize("hours", [np.full(HOURS, np.nan), np.full(HOURS, 7.0), np.full(HOURS, -9999.0)])
def test_silence_constants_and_sentinels_have_an_outcome(hours: Hours) -> None:
    days = [{**day_of(TODAY - offset * DAY), "odd": hours} for offset in range(DAYS, -1, -1)]
    grid = grid_of_days(days)
    found = day_flags(grid, DAYS * HOURS, classes=["a"] * len(grid.series), budget=BUDGET)
    assert of_device(found, "odd").is_empty()
