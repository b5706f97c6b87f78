"""Trying again what lies in quarantine: its landing minutes are built again by the running Dagster.

What is in quarantine is found by `readings/quarantine.py`; asking Dagster is `backfill.py`.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from iot_pipeline.clock import contiguous_ranges, minute_key, minutes_between
from iot_pipeline.errors import ConfigurationError
from iot_pipeline.operations.backfill import GOOD as ENDED_WELL
from iot_pipeline.operations.backfill import MINUTE_ASSETS, Dagster, Span, request_backfill, wait_for
from iot_pipeline.readings.quarantine import Chosen, chosen_minutes
from iot_pipeline.settings import Settings

RANGES_SHOWN = 5
# Dagster makes a run of each range without holes, and a run costs about as much as so many more minutes in one.
BRIDGED = timedelta(minutes=10)


def retry(settings: Settings, chosen: Chosen, *, wait: bool, echo: Callable[[str], None] = print) -> bool:
    """Ask for the landing minutes that hold the chosen rows; False when it was waited for and went wrong.

    Raises:
        TransientError: Dagster does not run; nothing was asked for.
        ConfigurationError: all that was chosen is older than the minute partitions, or Dagster refused.
    """
    found = chosen_minutes(settings.paths, chosen)
    if not found:
        echo("nothing in quarantine is as you said; see `iot quarantine list`")
        return True
    minutes = [minute for minute in found if minute >= settings.first_minute]
    if len(minutes) < len(found):
        echo(
            f"{len(found) - len(minutes)} landing minutes from {minute_key(found[0])} on are left out: "
            f"minute partitions begin at {minute_key(settings.first_minute)} (IOT_MINUTE_WINDOW_DAYS, IOT_MINUTE_START)"
        )
    if not minutes:
        raise ConfigurationError("nothing was asked for: no chosen minute has a partition any more")
    ranges = [_named(first, last) for first, last in contiguous_ranges(bridged(minutes))]
    more = f" and {len(ranges) - RANGES_SHOWN} more" if len(ranges) > RANGES_SHOWN else ""
    echo(f"{len(minutes)} landing minutes, in {', '.join(ranges[:RANGES_SHOWN])}{more}")
    dagster = Dagster(f"http://127.0.0.1:{settings.dagster_port}")
    backfill = request_backfill(Span(tuple(minute_key(minute) for minute in bridged(minutes)), MINUTE_ASSETS), dagster)
    echo(f"asked for: {dagster.address}/runs/b/{backfill}")
    if not wait:
        return True
    status = wait_for(dagster, backfill)
    echo(f"backfill {backfill}: {status.lower().replace('_', ' ')}")
    return status in ENDED_WELL


def bridged(minutes: Sequence[datetime]) -> list[datetime]:
    """The minutes, in order, and those between two that are at most BRIDGED apart."""
    between = {
        minute
        for earlier, later in pairwise(minutes)
        if later - earlier <= BRIDGED
        for minute in minutes_between(earlier, later)
    }
    return sorted(between.union(minutes))


def _named(first: datetime, last: datetime) -> str:
    return minute_key(first) if first == last else f"{minute_key(first)}..{minute_key(last)}"
