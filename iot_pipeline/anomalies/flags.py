"""Scoring minutes: reads what the detectors need, runs them, keeps what they flag.

No rule about what is unusual is here (see `detectors/`), and nothing about how flags are shown.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl
import structlog

from iot_pipeline.anomalies.detectors import Detector, ScoringWindow, default_detectors
from iot_pipeline.anomalies.detectors.base import SERIES
from iot_pipeline.anomalies.models.scoring import TYPES, learned_minutes
from iot_pipeline.clock import DAY, MINUTE, day_start, floor_minute, minute_key, minutes_between
from iot_pipeline.retained import Level, refuse_removed
from iot_pipeline.settings import Settings
from iot_pipeline.stats.current import read_current
from iot_pipeline.stats.relations import device_minute_tree, flags_tree
from iot_pipeline.trees import MinuteTree

log = structlog.get_logger(__name__)

CHUNK_MINUTES = 15
"""Minutes scored together: bounds memory (400 MB at 18,000 readings a minute); each chunk reads its look-back anew."""

FLAG_ORDER = ("event_ts", *SERIES, "detector")


@dataclass(frozen=True, slots=True)
class FlagReport:
    """What scoring a range of minutes came to.

    Attributes:
        first: first minute scored (UTC).
        last: last minute scored (UTC), included.
        readings: readings looked at, of all kinds.
        flags: flags written; a reading that two detectors flag counts twice.
        by_detector: flags of each detector that ran, also 0.
        by_minute: flags of each minute, also 0.
    """

    first: datetime
    last: datetime
    readings: int
    flags: int
    by_detector: Mapping[str, int]
    by_minute: Mapping[datetime, int]


def score_minutes(
    settings: Settings, first: datetime, last: datetime, detectors: Sequence[Detector] | None = None
) -> FlagReport:
    """Flag the readings of event minutes `first` to `last` and replace what was kept for them.

    Every minute gets its file, also an empty one, so that a missing file means "never scored".
    The same readings, statistics and promoted models give the same bytes of content, however the range is cut.
    A minute is scored with the newest model promoted for its day or before; with none, by the default detectors alone.

    Args:
        settings: where the data is.
        first: first minute (UTC).
        last: last minute (UTC), included.
        detectors: instead of the default ones and the model.

    Raises:
        DataError: the promoted model cannot be read; the flags are as before.
        RemovedError: retention removed readings of these minutes; the flags are as before.
        StorageUnavailable: a file cannot be written; minutes before it are done, the rest are as before.
    """
    always = tuple(detectors) if detectors is not None else default_detectors()
    first, last = floor_minute(first), floor_minute(last)
    refuse_removed(settings.paths, Level.READINGS, first.date())
    tree = flags_tree(settings.paths)
    by_detector = Counter({detector.name: 0 for detector in always})
    by_minute: dict[datetime, int] = {}
    readings = 0
    start = first
    while start <= last:
        # A day has one model.
        end = min(start + (CHUNK_MINUTES - 1) * MINUTE, last, day_start(start.date()) + DAY - MINUTE)
        learned = learned_minutes(settings.paths, start.date()) if detectors is None else None
        chosen = (*always, learned) if learned is not None else always
        window = read_window(settings, start, end, chosen)
        flags = score_window(window, chosen)
        readings += window.readings.filter(pl.col("event_ts") >= start).height
        by_detector.update(dict.fromkeys(TYPES, 0) if learned is not None else {})
        by_detector.update(dict(flags.group_by("detector").len().iter_rows()))
        by_minute |= write_flags(tree, start, end, flags)
        start = end + MINUTE
    report = FlagReport(first, last, readings, sum(by_minute.values()), dict(by_detector), by_minute)
    log.info("minutes scored", first=minute_key(first), last=minute_key(last), readings=readings, **by_detector)
    return report


def read_window(settings: Settings, first: datetime, last: datetime, detectors: Sequence[Detector]) -> ScoringWindow:
    """Read what `detectors` need to score `first` to `last`, and no more."""
    statistics = first - max(detector.lookback for detector in detectors)
    single = first - max(detector.readings_lookback for detector in detectors)
    return ScoringWindow(
        readings=read_current(settings, single, last),
        minutes=device_minute_tree(settings.paths).read(statistics, last),
        first=first,
        last=last,
    )


def score_window(window: ScoringWindow, detectors: Sequence[Detector]) -> pl.DataFrame:
    """The flags of all detectors in one order that depends on the flags alone.

    Returns:
        FLAGS_SCHEMA, sorted by event_ts, device_id, metric, unit, detector.
    """
    return pl.concat([detector.score(window) for detector in detectors]).sort(FLAG_ORDER)


def write_flags(tree: MinuteTree, first: datetime, last: datetime, flags: pl.DataFrame) -> dict[datetime, int]:
    """Replace the flags of each minute of `first` to `last`; returns how many each has."""
    frames = {minute: flags.filter(pl.col("minute") == minute) for minute in minutes_between(first, last)}
    tree.write_many(frames)
    return {minute: frame.height for minute, frame in frames.items()}
