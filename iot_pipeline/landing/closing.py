"""Which landing minutes are closed, and which of them a run should take next.

Pure: from the clock, the collectors' heartbeats and the ledger to ranges of minutes. What is
done with the answer is the sensor's business.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import msgspec
from msgspec import structs

from iot_pipeline.clock import MINUTE, MinuteRange, contiguous_ranges, floor_minute, minutes_between
from iot_pipeline.landing.heartbeat import CollectorHeartbeat
from iot_pipeline.landing.ledger import LedgerCursor


class IntakeCursor(msgspec.Struct, frozen=True):
    """What the sensor knows between two ticks.

    Attributes:
        ledger: how far the collectors' ledgers are read.
        next_minute: first minute of the contiguous front that was not requested yet.
        pending: minutes with landed files that no run was asked for yet; those of open minutes wait here.
    """

    ledger: LedgerCursor
    next_minute: datetime | None = None
    pending: tuple[datetime, ...] = ()

    @classmethod
    def load(cls, text: str | None) -> Self:
        """Read a cursor that `dump` wrote; nothing gives the beginning."""
        if not text:
            return cls(ledger=LedgerCursor())
        return msgspec.json.decode(text, type=cls)

    def dump(self) -> str:
        """As JSON text."""
        return msgspec.json.encode(self).decode()


@dataclass(frozen=True, slots=True)
class Request:
    """Minutes that one run should take: either the front or minutes that changed behind it."""

    first: datetime
    last: datetime


def closed_through(
    now: datetime,
    heartbeats: Iterable[CollectorHeartbeat],
    *,
    intake_delay: timedelta,
) -> datetime | None:
    """The last landing minute that can get no more files, or None when no collector is alive.

    A minute m is closed when the clock and every living collector have passed m + 1 min + D: the slowest
    decides. One that stopped or fell silent decides nothing, whatever it last said; what it lands later
    is taken behind the front. Without a living collector nothing says that a minute is over: the front
    stands still, and the gap is seen as stale data.
    """
    passed = [beat.landed_through for beat in heartbeats if beat.alive(now)]
    if not passed:
        return None
    return floor_minute(min(now, *passed) - intake_delay) - MINUTE


def note_landed(cursor: IntakeCursor, minutes: Iterable[datetime], ledger: LedgerCursor) -> IntakeCursor:
    """Remember minutes that got files; the first one ever becomes the beginning of the front."""
    pending = tuple(sorted({*cursor.pending, *minutes}))
    start = cursor.next_minute or (pending[0] if pending else None)
    return structs.replace(cursor, ledger=ledger, pending=pending, next_minute=start)


def next_request(
    cursor: IntakeCursor, closed: datetime | None, first_minute: datetime, longest: int
) -> tuple[Request | None, IntakeCursor]:
    """The range to ask for now, and the cursor after it.

    The front goes first and without holes, so that an empty minute is a partition without rows and a
    hole means that the pipeline did not run. Behind it, minutes whose landing changed are taken again.
    Minutes before the window have no partition any more and are dropped here; the job `old_landing` finds them.
    """
    if closed is None or cursor.next_minute is None:
        return None, cursor
    start = max(cursor.next_minute, first_minute)
    if start <= closed:
        last = min(closed, start + (longest - 1) * MINUTE)
        taken = set(minutes_between(start, last))
        after = structs.replace(
            cursor,
            next_minute=last + MINUTE,
            pending=tuple(m for m in cursor.pending if m not in taken and m >= first_minute),
        )
        return Request(start, last), after
    behind = [minute for minute in cursor.pending if first_minute <= minute < start]
    if not behind:
        return None, cursor
    first, last = _first_range(behind, longest)
    taken = set(minutes_between(first, last))
    after = structs.replace(cursor, pending=tuple(m for m in cursor.pending if m not in taken))
    return Request(first, last), after


def _first_range(minutes: Sequence[datetime], longest: int) -> MinuteRange:
    return contiguous_ranges(minutes, longest)[0]
