"""What a correction is, and how one is made or removed.

Where corrections are kept is `store.py`, what several of them come to is `pieces.py`.
"""

import math
import re
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import polars as pl

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import ConfigurationError
from iot_pipeline.trees import UTC_MICROSECONDS

ID = re.compile(r"^[0-9]{8}T[0-9]{6}-[0-9a-f]{4}$")


class Action(StrEnum):
    """What is done to the readings of a range."""

    DROP = "drop"  # they count no more
    SCALE = "scale"  # value * factor + addend
    REPLACE = "replace"  # value becomes `replacement`


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """One correction.

    Attributes:
        id: made by us, sorts by time.
        created_at: UTC; where several corrections meet a reading, they apply in this order.
        author: who made it.
        reason: why, in the author's words.
        device_id: the device, exactly.
        metric: the metric, exactly.
        unit: its unit, exactly; None for every unit, "" for readings without one.
        from_ts: begin of the range of event time (UTC), included.
        to_ts: its end, not included.
        action: what is done. `scale` and `replace` leave readings of text as they are.
        factor: of `scale`.
        addend: of `scale`.
        replacement: of `replace`.
        removed_at: when it was removed; None while it is in force.
        removed_by: who removed it.
        removal_reason: why.
    """

    id: str
    created_at: datetime
    author: str
    reason: str
    device_id: str
    metric: str
    unit: str | None
    from_ts: datetime
    to_ts: datetime
    action: Action
    factor: float | None = None
    addend: float | None = None
    replacement: float | None = None
    removed_at: datetime | None = None
    removed_by: str | None = None
    removal_reason: str | None = None

    @property
    def numbers_only(self) -> bool:
        """Whether it leaves readings of text alone."""
        return self.action is not Action.DROP


CORRECTION_SCHEMA: dict[str, pl.DataType] = {
    "id": pl.String(),
    "created_at": UTC_MICROSECONDS,
    "author": pl.String(),
    "reason": pl.String(),
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    "from_ts": UTC_MICROSECONDS,
    "to_ts": UTC_MICROSECONDS,
    "action": pl.String(),
    "factor": pl.Float64(),
    "addend": pl.Float64(),
    "replacement": pl.Float64(),
    "removed_at": UTC_MICROSECONDS,
    "removed_by": pl.String(),
    "removal_reason": pl.String(),
}


def new_correction(
    *,
    device_id: str,
    metric: str,
    unit: str | None,
    from_ts: datetime,
    to_ts: datetime,
    action: Action,
    author: str,
    reason: str,
    factor: float | None = None,
    addend: float | None = None,
    replacement: float | None = None,
) -> Correction:
    """A correction that is not recorded yet.

    Raises:
        ConfigurationError: the range is empty, a text is missing or a number is not finite.
    """
    if not from_ts < to_ts:
        raise ConfigurationError(f"--from {from_ts.isoformat()} is not before --to {to_ts.isoformat()}")
    for name, text in (("--device", device_id), ("--metric", metric), ("--why", reason), ("--author", author)):
        if not text.strip():
            raise ConfigurationError(f"{name} is empty: a correction says what, who and why")
    for number in (factor, addend, replacement):
        if number is not None and not math.isfinite(number):
            raise ConfigurationError(f"{number} is no finite number; use --drop for readings that shall not count")
    now = utc_now()
    return Correction(
        id=f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:4]}",
        created_at=now,
        author=author,
        reason=reason,
        device_id=device_id,
        metric=metric,
        unit=unit,
        from_ts=from_ts,
        to_ts=to_ts,
        action=action,
        factor=factor,
        addend=addend,
        replacement=replacement,
    )


def removed(correction: Correction, *, author: str, reason: str) -> Correction:
    """The same correction, removed now. Raises ConfigurationError when it is removed already."""
    if correction.removed_at is not None:
        raise ConfigurationError(
            f"{correction.id} was removed on {correction.removed_at:%Y-%m-%d %H:%M} UTC by {correction.removed_by}"
        )
    return replace(correction, removed_at=utc_now(), removed_by=author, removal_reason=reason)
