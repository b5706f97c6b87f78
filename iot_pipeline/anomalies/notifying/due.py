"""Which events people are told of now: new ones at the live edge, grave enough, each once, and not too many.

Pure; the journal of what was told is `told.py`, and sending is `telling.py`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from iot_pipeline.anomalies.events.event import KEY, STANDS
from iot_pipeline.anomalies.events.severity import at_least
from iot_pipeline.anomalies.kinds import DAY_DETECTORS
from iot_pipeline.anomalies.notifying.told import Attempt, Outcome
from iot_pipeline.anomalies.severity import Severity
from iot_pipeline.trees import UTC_MICROSECONDS

LIVE_EDGE = timedelta(minutes=15)
"""Events whose last flag is older are history: backfills and late data change them and tell nobody."""
DAY_IS_NEWS = timedelta(hours=6)
"""What the daily tier found is told if its day ended less than this ago: a day is scored half an hour after it."""
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Due:
    """What is to be told over one channel, most urgent first, and what is more than people can read.

    Attributes:
        now: EVENT_SCHEMA.
        held_back: EVENT_SCHEMA; not told one by one.
    """

    now: pl.DataFrame
    held_back: pl.DataFrame


def due(
    events: pl.DataFrame,
    attempts: Sequence[Attempt],
    settled: Iterable[tuple[str, str]],
    *,
    channel: str,
    now: datetime,
    least: Severity,
    most_per_hour: int,
) -> Due:
    """Choose among the events of the present and the previous day.

    Args:
        events: EVENT_SCHEMA.
        attempts: what was tried over all channels in these days.
        settled: (event_id, channel) that are not tried now.
        channel: the one that is asked for.
        now: present instant (UTC).
        least: less grave events are shown and not told.
        most_per_hour: notices in the last hour over this channel, above which further ones are held back.
    """
    mine = [attempt for attempt in attempts if attempt.channel == channel]
    done = {event_id for event_id, name in settled if name == channel}
    # What goes on after midnight is a new event and no news.
    keys = {attempt.key for attempt in mine}
    new = events.filter(
        STANDS,
        _at_live_edge(now),
        pl.col("severity").is_in(at_least(least)),
        ~pl.col("event_id").is_in(list(done)),
    )
    continued = [bool(row[-1]) and tuple(row[:-1]) in keys for row in new.select(*KEY, "continues").iter_rows()]
    urgency = pl.col("severity").replace_strict({one.value: rank for rank, one in enumerate(Severity)})
    new = new.filter(~pl.Series(continued, dtype=pl.Boolean)).sort(urgency, "opened_at", descending=[True, False])
    recent = sum(attempt.outcome is Outcome.SENT and attempt.at > now - HOUR for attempt in mine)
    room = max(most_per_hour - recent, 0)
    return Due(new.head(room), new.slice(room))


def _at_live_edge(now: datetime) -> pl.Expr:
    """Whether an event was found so lately that it is news."""
    ended = pl.col("opened_at").dt.truncate("1d").dt.offset_by("1d")
    lately = pl.col("last_flag_at") >= pl.lit(now - LIVE_EDGE, UTC_MICROSECONDS)
    of_day = pl.col("detector").is_in(DAY_DETECTORS) & (ended >= pl.lit(now - DAY_IS_NEWS, UTC_MICROSECONDS))
    return lately | of_day


def unsaid(attempts: Iterable[Attempt], *, channel: str) -> int:
    """Events held back over a channel since the last notice that said how many were."""
    count = 0
    for attempt in attempts:
        if attempt.channel == channel:
            if attempt.outcome is Outcome.HELD_BACK:
                count += 1
            elif attempt.outcome is Outcome.SENT:
                count = 0
    return count
