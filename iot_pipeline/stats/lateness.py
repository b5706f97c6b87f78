"""Which minutes and days have to be built again because readings came late, were decoded anew or were corrected.

Pure functions over the journals of the readings stage and of corrections and the times at which marts
were last published; asking for the runs is the sensors' business. The rule is that of make: a mart
partition is stale when its inputs changed after it was made.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

import msgspec
import structlog

from iot_pipeline.clock import MINUTE, parse_day, parse_minute
from iot_pipeline.paths import DataPaths

log = structlog.get_logger(__name__)
Published = Callable[[datetime], datetime | None]


class Touch(msgspec.Struct, frozen=True):
    """One line of a journal: decoding landing minute `minute` changed readings of these event minutes.

    In the journal of corrections, `minute` is the one in which a correction was recorded or removed.

    `days` are those that readings older than the minute window went to directly.
    """

    minute: datetime
    built_at: datetime
    minutes: tuple[datetime, ...]
    days: tuple[date, ...]


class _Line(msgspec.Struct):
    minute: str
    built_at: datetime
    touched_minutes: list[str]
    touched_days: list[str]


def journal_path(paths: DataPaths) -> Path:
    """The journal of the readings stage."""
    return paths.ledger / "readings.jsonl"


def corrections_journal(paths: DataPaths) -> Path:
    """The journal of corrections. One of its own: several processes write it, and lines must not mix."""
    return paths.ledger / "corrections.jsonl"


def read_touches(path: Path, offset: int) -> tuple[list[Touch], int]:
    """Whole lines of a journal from byte `offset` on, and the offset after them.

    A journal that is shorter than `offset` was removed by hand; it is read from its beginning.
    """
    if not path.exists():
        return [], 0
    with path.open("rb") as journal:
        if path.stat().st_size < offset:
            log.warning("journal_shrank", path=str(path), offset=offset)
            offset = 0
        journal.seek(offset)
        content = journal.read()
    whole = content[: content.rfind(b"\n") + 1]
    return [touch for line in whole.splitlines() if (touch := _parse(line)) is not None], offset + len(whole)


def _parse(line: bytes) -> Touch | None:
    try:
        raw = msgspec.json.decode(line, type=_Line)
    except msgspec.DecodeError:
        # A crash in mid-append leaves a torn line; the readings of that minute are built again by its rerun.
        log.warning("journal_line_skipped", size=len(line))
        return None
    return Touch(
        parse_minute(raw.minute),
        raw.built_at,
        tuple(parse_minute(key) for key in raw.touched_minutes),
        tuple(parse_day(key) for key in raw.touched_days),
    )


def stale_minutes(
    touches: Iterable[Touch], published_at: Published, *, first_minute: datetime, front: datetime
) -> set[datetime]:
    """Event minutes whose statistics are older than their readings.

    Args:
        touches: journal lines that were not looked at before.
        published_at: when the statistics of a minute were published last; None for never.
        first_minute: begin of the minute window; older minutes have no partition.
        front: the newest minute that was built in the normal course. Later ones will come by themselves.
    """
    stale: set[datetime] = set()
    for touch in touches:
        for minute in touch.minutes:
            if not first_minute <= minute <= front:
                continue
            published = published_at(minute)
            if published is None or published < touch.built_at:
                stale.add(minute)
    return stale


def corrected_minutes(touches: Iterable[Touch], *, first_minute: datetime, front: datetime) -> set[datetime]:
    """Event minutes that a correction touched; nobody builds them in the normal course, so no time is compared.

    Minutes after the front will be built, with the correction. Each line is read once, so each is asked for once.
    """
    return {minute for touch in touches for minute in touch.minutes if first_minute <= minute <= front}


def flags_behind(stale: Iterable[datetime], lookback: timedelta, front: datetime) -> set[datetime]:
    """Minutes whose flags look back at a stale minute, the stale minutes included."""
    reach = int(lookback / MINUTE)
    return {
        minute + ahead * MINUTE for minute in stale for ahead in range(reach + 1) if minute + ahead * MINUTE <= front
    }


def note_days(pending: Mapping[date, datetime], touches: Iterable[Touch]) -> dict[date, datetime]:
    """Days that wait for a build, with the time of their newest change."""
    newest = dict(pending)
    for touch in touches:
        for day in {*touch.days, *(minute.date() for minute in touch.minutes)}:
            newest[day] = max(touch.built_at, newest.get(day, touch.built_at))
    return newest


def due_days(
    pending: Mapping[date, datetime],
    published_at: Callable[[date], datetime | None],
    now: datetime,
    *,
    today_every: timedelta,
    closing: timedelta,
) -> tuple[set[date], dict[date, datetime]]:
    """Days to build now, and those that keep waiting.

    A past day is due when it changed after it was published; yesterday only once `closing` has passed
    since midnight, because the schedule seals it then anyway. The present day is built "so far", at most
    every `today_every`. Days that were published after their last change are done.
    """
    due: set[date] = set()
    waiting: dict[date, datetime] = {}
    for day, changed in pending.items():
        published = published_at(day)
        if published is not None and published >= changed:
            continue
        age = now.date() - day
        if age <= timedelta(0):
            ready = published is None or now - published >= today_every
        else:
            midnight = datetime(now.year, now.month, now.day, tzinfo=now.tzinfo)
            ready = age > timedelta(days=1) or now - midnight >= closing
        if ready:
            due.add(day)
        waiting[day] = changed
    return due, waiting
