"""What people say about flags: appended durably with the author, never changed, never removed.

Nothing is concluded from it here. A line is one JSON object; of several about one flag the last one counts.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec
from filelock import FileLock

from iot_pipeline.clock import utc_now
from iot_pipeline.files import append_line
from iot_pipeline.paths import DataPaths


class FeedbackLabel(StrEnum):
    """What a person says about a flag."""

    acknowledged = "acknowledged"  # seen, nothing said about it
    confirmed = "confirmed"  # something was wrong
    false_alarm = "false_alarm"  # nothing was wrong
    known_cause = "known_cause"  # unusual and expected: a test, maintenance


@dataclass(frozen=True, slots=True)
class FlagKey:
    """Which flag is meant: a reading and who flagged it."""

    device_id: str
    metric: str
    unit: str | None
    event_ts: datetime
    detector: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """One thing that one person said about one flag, at an instant in UTC."""

    id: str
    at: datetime
    author: str
    label: FeedbackLabel
    note: str
    flag: FlagKey


def record_feedback(paths: DataPaths, flag: FlagKey, label: FeedbackLabel, *, author: str, note: str = "") -> Feedback:
    """Append what `author` says, unless it is what that person said of this flag last; returns the record.

    Raises:
        StorageUnavailable: it is not recorded.
    """
    paths.feedback.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.feedback.with_suffix(".lock")):
        said = [one for one in read_feedback(paths) if one.flag == flag]
        if said and (said[-1].author, said[-1].label, said[-1].note) == (author, label, note):
            return said[-1]
        feedback = Feedback(uuid.uuid4().hex, utc_now(), author, label, note, flag)
        append_line(paths.feedback, msgspec.json.encode(feedback).decode())
    return feedback


def record_all(
    paths: DataPaths, flags: Sequence[FlagKey], label: FeedbackLabel, *, author: str, note: str = ""
) -> list[Feedback]:
    """The same about many flags at once, in their order: all of it is recorded, or nothing.

    Raises:
        StorageUnavailable: nothing is recorded.
    """
    paths.feedback.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(paths.feedback.with_suffix(".lock")):
        last = {one.flag: one for one in read_feedback(paths)}
        at, told, new = utc_now(), [], []
        for flag in dict.fromkeys(flags):
            said = last.get(flag)
            if said is None or (said.author, said.label, said.note) != (author, label, note):
                said = Feedback(uuid.uuid4().hex, at, author, label, note, flag)
                new.append(said)
            told.append(said)
        if new:
            append_line(paths.feedback, b"\n".join(msgspec.json.encode(one) for one in new).decode())
    return told


def read_feedback(paths: DataPaths) -> list[Feedback]:
    """All that was ever said, in order. A torn last line, which a crash can leave, was never confirmed to anybody."""
    try:
        lines = paths.feedback.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return [feedback for line in lines if line.endswith(b"\n") and (feedback := _decode(line)) is not None]


def _decode(line: bytes) -> Feedback | None:
    try:
        return msgspec.json.decode(line, type=Feedback)
    except msgspec.DecodeError:
        return None
