"""Which days were flagged before an hour that they look at was made again. Schedules ask for them."""

from collections.abc import Mapping
from datetime import date

from iot_pipeline.anomalies.daily.hours import MOST_DAYS
from iot_pipeline.clock import DAY


def days_behind(hours: Mapping[date, int], flags: Mapping[date, int]) -> set[date]:
    """Days whose flags are older than hours that they were made of: their own, or those of the days before.

    Args:
        hours: when the hours of each day were made last, as a number that grows with every making.
        flags: the same of the flags. Days without are not told of: they are missing, not behind.
    """
    return {
        day
        for day, made in flags.items()
        if any(hours.get(day - offset * DAY, made) > made for offset in range(MOST_DAYS + 1))
    }
