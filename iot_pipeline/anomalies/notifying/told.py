"""What was told to people: a journal by day, written before and after each attempt.

    <root>/YYYY-MM-DD.jsonl    one JSON object a line, in order

An attempt that has a beginning and no end was cut short by a crash. Nobody knows whether it arrived, and it is not
repeated: an alarm told twice is taken for two.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from enum import StrEnum
from pathlib import Path

import msgspec

from iot_pipeline.clock import DAY
from iot_pipeline.files import append_line
from iot_pipeline.paths import DataPaths


class Outcome(StrEnum):
    """What became of telling one event over one channel."""

    BEGUN = "begun"
    SENT = "sent"
    FAILED = "failed"  # it did not arrive; tried again while the event is new
    HELD_BACK = "held_back"  # more than people can read; a later notice says how many


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One line: at `at` (UTC), event `event_id` over `channel`. Its continuation after midnight shares `key`."""

    at: datetime
    event_id: str
    channel: str
    outcome: Outcome
    key: tuple[str, str, str | None, str]
    detail: str = ""


def note(paths: DataPaths, attempt: Attempt) -> None:
    """Write one line down, durably. Raises StorageUnavailable: then nothing may be sent."""
    append_line(_file(paths, attempt.at.date()), msgspec.json.encode(attempt).decode())


def told_since(paths: DataPaths, now: datetime) -> list[Attempt]:
    """All attempts of the present and the previous UTC day, oldest first."""
    return [attempt for day in (now.date() - DAY, now.date()) for attempt in _read(paths, day)]


def settled(attempts: Iterable[Attempt], *, now: datetime, waits: Sequence[timedelta]) -> set[tuple[str, str]]:
    """(event_id, channel) of what must not be tried now: that has an end, or failed too lately or too often.

    Args:
        attempts: oldest first.
        now: present instant (UTC).
        waits: after the first failure, the second, ...; after one more nothing is tried again.
    """
    last: dict[tuple[str, str], Attempt] = {}
    failures: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        name = (attempt.event_id, attempt.channel)
        last[name] = attempt
        failures[name] += attempt.outcome is Outcome.FAILED
    return {name for name, one in last.items() if not _again(one, failures[name], now, waits)}


def _again(last: Attempt, failures: int, now: datetime, waits: Sequence[timedelta]) -> bool:
    return last.outcome is Outcome.FAILED and failures <= len(waits) and now >= last.at + waits[failures - 1]


def _read(paths: DataPaths, day: date) -> list[Attempt]:
    try:
        lines = _file(paths, day).read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [attempt for line in lines if (attempt := _decode(line)) is not None]


def _decode(line: bytes) -> Attempt | None:
    try:
        return msgspec.json.decode(line, type=Attempt)
    except msgspec.DecodeError:
        return None  # torn by a crash


def _file(paths: DataPaths, day: date) -> Path:
    return paths.notifications / f"{day:%Y-%m-%d}.jsonl"
