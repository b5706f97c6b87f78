"""Sensors that ask for minutes and days again when late, newly decoded or corrected readings touched them."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import msgspec

from iot_pipeline.clock import DAY, contiguous_ranges, day_key, minute_key, parse_minute, utc_now
from iot_pipeline.landing.checks import collector_evaluation
from iot_pipeline.landing.sensors import runs_in_flight
from iot_pipeline.partitions import CHAIN_TAG, PRIORITY_TAG, AssetJob, range_tags
from iot_pipeline.retained import Level, kept_since
from iot_pipeline.settings import Settings
from iot_pipeline.stats.checks import DEVICE_MINUTE, VERDICTS
from iot_pipeline.stats.correction_effect import announce_waiting
from iot_pipeline.stats.followers import followers_journal
from iot_pipeline.stats.lateness import (
    Touch,
    corrected_minutes,
    corrections_journal,
    due_days,
    flags_behind,
    journal_path,
    note_days,
    read_touches,
    stale_minutes,
)
from iot_pipeline.stats.published import front, published_day, published_minute

# Ranges in one tick: each becomes a run of some seconds, and the minute chain shares the pool.
MOST_RANGES = 6
# Partitions named in one question to Dagster's storage.
PARTITIONS_AT_ONCE = 1000
# Seconds, and no part of a minute: who looks at the same second of each can meet the minute chain each time, for good.
BETWEEN_CHAINS = 25
TODAY_EVERY = timedelta(hours=1)
CLOSING = timedelta(minutes=25)


class MinuteCursor(msgspec.Struct, frozen=True):
    """How far the journals are read, and stale minutes that wait for a run."""

    offset: int = 0
    stale: tuple[datetime, ...] = ()
    corrections: int = 0


class DayCursor(msgspec.Struct, frozen=True):
    """How far the journals are read, and days that changed after they were published."""

    offset: int = 0
    pending: dict[date, datetime] = {}
    corrections: int = 0
    followers: int = 0


def late_minutes_sensor(
    settings: Settings, *, statistics: AssetJob, flags: AssetJob, lookback: timedelta
) -> dg.SensorDefinition:
    """Ask for exactly the event minutes that late readings touched, and for the flags that look back at them."""

    @dg.sensor(
        name="late_minutes",
        jobs=[statistics, flags],
        minimum_interval_seconds=BETWEEN_CHAINS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Builds minutes again whose readings came late, were decoded anew or were corrected.",
    )
    def late_minutes(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if runs_in_flight(context.instance, "minute") or runs_in_flight(context.instance, "late"):
            return dg.SkipReason("a run of the minute chain is in flight")
        newest = front(settings.paths)
        if newest is None:
            return dg.SkipReason("no minute has been built yet")
        announce_waiting(settings)
        cursor = _minute_cursor(context.cursor)
        touches, offset = read_touches(journal_path(settings.paths), cursor.offset)
        corrected, corrections = read_touches(corrections_journal(settings.paths), cursor.corrections)
        start = settings.first_minute
        stale = stale_minutes(
            touches,
            publication_times(settings, context.instance, touches).get,
            first_minute=start,
            front=newest,
        )
        stale |= corrected_minutes(corrected, first_minute=start, front=newest)
        stale |= {minute for minute in cursor.stale if minute >= start}
        ranges = contiguous_ranges(stale, settings.catch_up_minutes)
        now, later = ranges[:MOST_RANGES], ranges[MOST_RANGES:]
        taken = {minute for minute in stale if any(first <= minute <= last for first, last in now)}
        behind = contiguous_ranges(flags_behind(taken, lookback, newest), settings.catch_up_minutes)
        waiting = tuple(sorted(minute for minute in stale if any(first <= minute <= last for first, last in later)))
        asked = f"{offset}.{corrections}.{len(waiting)}"
        requests = [_minute_request(statistics.name, asked, *span, priority=6) for span in now]
        requests += [_minute_request(flags.name, asked, *span, priority=5) for span in behind]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else "no late reading since the last look",
            cursor=msgspec.json.encode(MinuteCursor(offset, waiting, corrections)).decode(),
        )

    return late_minutes


def late_days_sensor(settings: Settings, job: AssetJob) -> dg.SensorDefinition:
    """Ask for past days that changed, and about once an hour for the present day so far."""

    @dg.sensor(
        name="late_days",
        job=job,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Builds days again that late readings or corrections touched, and the present day so far.",
    )
    def late_days(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        if runs_in_flight(context.instance, "day"):
            return dg.SkipReason("a run of the day chain is in flight")
        cursor = msgspec.json.decode(context.cursor, type=DayCursor) if context.cursor else DayCursor()
        announce_waiting(settings)
        touches, offset = read_touches(journal_path(settings.paths), cursor.offset)
        corrected, corrections = read_touches(corrections_journal(settings.paths), cursor.corrections)
        following, followers = read_touches(followers_journal(settings.paths), cursor.followers)
        due, waiting = due_days(
            _kept(settings, note_days(cursor.pending, [*touches, *corrected, *following])),
            lambda day: published_day(settings.paths, day),
            utc_now(),
            today_every=TODAY_EVERY,
            closing=CLOSING,
        )
        requests = [
            dg.RunRequest(
                run_key=f"{day_key(first)}/{day_key(last)}"
                f"@{offset}.{corrections}.{followers}.{max(waiting.values()).timestamp():.0f}",
                tags={**range_tags(day_key(first), day_key(last)), CHAIN_TAG: "day"},
            )
            for first, last in day_ranges(due)
        ]
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"{len(waiting)} changed days wait for their time",
            cursor=msgspec.json.encode(DayCursor(offset, waiting, corrections, followers)).decode(),
        )

    return late_days


def health_sensor(settings: Settings) -> dg.SensorDefinition:
    """Report every minute whether collectors live and how old the newest data is: a standstill shows without a run."""

    @dg.sensor(
        name="health",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reports as asset checks whether collectors live, and the age of the newest minute and day.",
    )
    def health() -> dg.SensorResult:
        return dg.SensorResult(
            skip_reason="checks reported; this sensor starts no runs",
            asset_events=[collector_evaluation(settings), *(verdict(settings) for verdict in VERDICTS)],
        )

    return health


def publication_times(
    settings: Settings, instance: dg.DagsterInstance, touches: Iterable[Touch]
) -> dict[datetime, datetime]:
    """When the statistics of each touched minute were published last; without those that never were.

    Minutes of open days tell it by their files. For those of sealed days Dagster is asked, and it is asked
    only what happened after the change: that is all that matters.
    """
    changed = {minute: touch.built_at for touch in touches for minute in touch.minutes}
    found = {minute: at for minute in changed if (at := published_minute(settings.paths, minute)) is not None}
    unknown = sorted(changed.keys() - found.keys())
    for start in range(0, len(unknown), PARTITIONS_AT_ONCE):
        part = unknown[start : start + PARTITIONS_AT_ONCE]
        found |= _materialised(instance, part, since=min(changed[minute] for minute in part))
    return found


def _materialised(
    instance: dg.DagsterInstance, minutes: Sequence[datetime], *, since: datetime
) -> dict[datetime, datetime]:
    wanted = dg.AssetRecordsFilter(
        asset_key=DEVICE_MINUTE,
        asset_partitions=[minute_key(minute) for minute in minutes],
        after_timestamp=since.timestamp(),
    )
    times: dict[datetime, datetime] = {}
    cursor = None
    while True:
        page = instance.fetch_materializations(wanted, limit=PARTITIONS_AT_ONCE, cursor=cursor, ascending=True)
        for record in page.records:
            if record.partition_key is not None:
                times[parse_minute(record.partition_key)] = datetime.fromtimestamp(record.timestamp, UTC)
        if not page.has_more:
            return times
        cursor = page.cursor


def day_ranges(days: set[date], most: int = 366) -> list[tuple[date, date]]:
    """Group days into (first, last) ranges without holes, each of at most `most` days."""
    ranges: list[tuple[date, date]] = []
    for day in sorted(days):
        if ranges and day - ranges[-1][1] == DAY and (day - ranges[-1][0]) < most * DAY:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def _kept(settings: Settings, days: Mapping[date, datetime]) -> Mapping[date, datetime]:
    """Without days whose readings retention removed: their statistics are final."""
    since = kept_since(settings.paths, Level.READINGS)
    return {day: changed for day, changed in days.items() if since is None or day >= since}


def _minute_cursor(text: str | None) -> MinuteCursor:
    return msgspec.json.decode(text, type=MinuteCursor) if text else MinuteCursor()


def _minute_request(job: str, asked: str, first: datetime, last: datetime, *, priority: int) -> dg.RunRequest:
    start, end = minute_key(first), minute_key(last)
    return dg.RunRequest(
        job_name=job,
        run_key=f"{job}:{start}/{end}@{asked}",
        tags={**range_tags(start, end), CHAIN_TAG: "late", PRIORITY_TAG: str(priority)},
    )
