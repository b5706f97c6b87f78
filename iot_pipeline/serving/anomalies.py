"""Flags of published minutes and, after them, the flags that the live layer sees: one list, each flag once.

A minute that the batch layer has looked at shows what it found and nothing of what was seen live. For pages and API.
"""

from dataclasses import dataclass
from datetime import datetime

from iot_pipeline.anomalies.feedback import Feedback, FlagKey, read_feedback
from iot_pipeline.anomalies.severity import Severity, severity_of
from iot_pipeline.clock import floor_minute
from iot_pipeline.live.model import LiveFlag
from iot_pipeline.paths import DataPaths
from iot_pipeline.serving.history import is_scored, published_flags
from iot_pipeline.serving.live_view import LiveView

LIVE_FLAGS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which flags of readings in [since, until) (UTC) are meant; None means any."""

    since: datetime
    until: datetime
    device_id: str | None = None
    detector: str | None = None
    min_score: float = 0.0
    severity: Severity | None = None

    def meets(self, flag: LiveFlag) -> bool:
        """Whether `flag` is meant."""
        return (
            self.since <= flag.event_ts < self.until
            and self.device_id in (None, flag.device_id)
            and self.detector in (None, flag.detector)
            and flag.score >= self.min_score
            and self.severity in (None, severity_of(flag.score))
        )


@dataclass(frozen=True, slots=True)
class SeenFlag:
    """A flag, whether the batch layer stands by it, and what was said about it last."""

    flag: LiveFlag
    published: bool
    feedback: Feedback | None

    @property
    def severity(self) -> Severity:
        """How much attention it asks for, by its score."""
        return severity_of(self.flag.score)


def key_of(flag: LiveFlag) -> FlagKey:
    """What names a flag."""
    return FlagKey(flag.device_id, flag.metric, flag.unit, flag.event_ts, flag.detector)


def flags(paths: DataPaths, live: LiveView, wanted: Wanted) -> list[SeenFlag]:
    """The flags that are meant, newest first, then by device, metric, unit and detector.

    Raises:
        NotPublished: no minute was ever looked at, or the flags are being made again.
    """
    rows = published_flags(
        paths, wanted.since, wanted.until, device_id=wanted.device_id, detector=wanted.detector
    ).select(LiveFlag.__slots__)
    known = [LiveFlag(**row) for row in rows.iter_rows(named=True)]
    scored: dict[datetime, bool] = {}
    seen = []
    for flag in live.flags(since=wanted.since, device_id=wanted.device_id, limit=LIVE_FLAGS):
        minute = floor_minute(flag.event_ts)
        if minute not in scored:
            scored[minute] = is_scored(paths, minute)
        if not scored[minute]:
            seen.append(flag)
    said = {one.flag: one for one in read_feedback(paths)}
    found = [SeenFlag(flag, published=True, feedback=said.get(key_of(flag))) for flag in known if wanted.meets(flag)]
    found += [SeenFlag(flag, published=False, feedback=said.get(key_of(flag))) for flag in seen if wanted.meets(flag)]
    return sorted(found, key=lambda one: order_of(one.flag))


def order_of(flag: LiveFlag) -> tuple[float, str, str, str, str]:
    """Sorting key: newest first."""
    return (-flag.event_ts.timestamp(), flag.device_id, flag.metric, flag.unit or "", flag.detector)
