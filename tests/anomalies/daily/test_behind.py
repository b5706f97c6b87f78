"""Days behind: flagged before hours that they were made of were made again."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from iot_pipeline.anomalies.daily.behind import days_behind
from iot_pipeline.anomalies.daily.hours import MOST_DAYS
from iot_pipeline.clock import DAY

FIRST = date(2026, 9, 1)
LAST = 60


def test_a_day_that_was_made_again_leaves_those_that_look_back_at_it_behind() -> None:
    days = [FIRST + number * DAY for number in range(LAST)]
    hours = {day: 2 * number for number, day in enumerate(days)}
    flags = {day: 2 * number + 1 for number, day in enumerate(days)}
    assert days_behind(hours, flags) == set()
    late = days[20]
    hours[late] = 2 * LAST
    flags[late] = 2 * LAST + 1
    assert days_behind(hours, flags) == {late + ahead * DAY for ahead in range(1, MOST_DAYS + 1)}


def test_hours_that_nobody_flagged_are_missing_and_not_behind() -> None:
    assert days_behind({FIRST: 5}, {}) == set()
    assert days_behind({FIRST: 5}, {FIRST: 4}) == {FIRST}


@given(st.permutations(range(LAST)), st.permutations(range(LAST)))
def test_whatever_the_order_flags_made_after_all_hours_are_not_behind(hours: list[int], flags: list[int]) -> None:
    days = [FIRST + number * DAY for number in range(LAST)]
    made = dict(zip(days, hours, strict=True))
    told = dict(zip(days, flags, strict=True))
    behind = days_behind(made, told)
    after = max(made.values()) + 1
    told |= {day: after + offset for offset, day in enumerate(sorted(behind))}
    assert days_behind(made, told) == set()
