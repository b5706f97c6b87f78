"""Flags of the minutes that the batch layer has not scored yet, by its own detectors; and its flags once it has.

Nobody is notified from here: what live flags say is provisional. Rules about what is unusual are in `anomalies`.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import polars as pl

from iot_pipeline.anomalies.detectors import Detector, ScoringWindow, default_detectors
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.told_states import BEFORE, no_states, told_states
from iot_pipeline.anomalies.flags import score_window
from iot_pipeline.clock import MINUTE, floor_minute
from iot_pipeline.live.model import LiveFlag
from iot_pipeline.live.state import Arrived, Taken
from iot_pipeline.live.truth import instant_of, number_of
from iot_pipeline.live.windows import Ids
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import DEVICE_MINUTE_SCHEMA, flags_tree

SCORED_SERIES = 20_000
KEPT_READINGS = 300_000
SCORED_MINUTES = 3
SHOWN_MINUTES = 65
MOST_FLAGS = 5_000
_READING = ("event_ts", "device_id", "metric", "unit", "value", "quality")
_ORDER = ("event_ts", *SERIES, "detector")


class LiveFlags:
    """Flags of the last hour.

    The first `SCORED_SERIES` series that became known are scored, with at most `KEPT_READINGS` readings of the
    last minutes; `skipped` says so when there are more.
    """

    def __init__(self, paths: DataPaths, detectors: Sequence[Detector] | None = None) -> None:
        self._detectors = tuple(detectors) if detectors is not None else default_detectors()
        self._lookback = max(detector.lookback for detector in self._detectors) // MINUTE
        self._tree = flags_tree(paths)
        self._statistics: dict[int, pl.DataFrame] = {}
        self._readings: list[pl.DataFrame] = []
        self._states: list[pl.DataFrame] = [no_states()]
        self._published: dict[int, tuple[int, tuple[LiveFlag, ...]]] = {}  # by minute: age of the file, flags
        self._live: tuple[LiveFlag, ...] = ()
        self.newest_first: tuple[LiveFlag, ...] = ()
        self.skipped: str | None = None

    def hear_minute(self, minute: int, rows: pl.DataFrame, ids: Ids) -> None:
        """Keep the published statistics of a minute that readings may be compared with."""
        if "stddev" not in rows.columns or (self._statistics and minute < max(self._statistics) - SHOWN_MINUTES):
            return
        own = rows.filter(pl.Series((ids >= 0) & (ids < SCORED_SERIES)))
        own = own.with_columns(
            [pl.lit(None, pl.Float64).alias(name) for name in ("p50", "p95") if name not in own.columns]
        ).select(pl.col(name).cast(kind) for name, kind in DEVICE_MINUTE_SCHEMA.items())
        if (before := self._statistics.get(minute)) is not None:
            # Read again, or a further piece of it: the newest row of a series counts.
            own = pl.concat([before, own]).unique(SERIES, keep="last", maintain_order=True)
        self._statistics[minute] = own

    def hear(self, arrived: Arrived, taken: Taken) -> None:
        """Keep the new ones of some readings."""
        rows = taken.rows[taken.ids < SCORED_SERIES]
        if len(rows):
            told = arrived.rows[rows].with_columns(event_ts=pl.col("event_us").cast(pl.Datetime("us", "UTC")))
            self._readings.append(told.select(_READING))
            self._states.append(told_states(told))

    def score(self, now: datetime, series: int) -> None:
        """Flag the last minutes anew, but for those that the batch layer has scored."""
        last = number_of(floor_minute(now))
        first = last - SCORED_MINUTES + 1
        while first in self._published and first < last:
            first += 1
        self._forget(first)
        readings = self._kept(first)
        self.skipped = self._told(series, readings.height)
        window = ScoringWindow(
            readings=readings.tail(KEPT_READINGS),
            minutes=self._minutes(first, last, readings),
            first=instant_of(first),
            last=instant_of(last),
            states=self._states_since(first),
        )
        self._live = tuple(_flags(score_window(window, self._detectors)))
        self._show(last)

    def read_published(self, now: datetime) -> None:
        """Take over the flags of minutes that the batch layer scored; they replace what was flagged here."""
        last = number_of(floor_minute(now))
        for minute in range(last - SHOWN_MINUTES + 1, last + 1):
            path = self._tree.file(instant_of(minute))
            try:
                age = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue
            if self._published.get(minute, (0, ()))[0] != age:
                found = self._tree.read_files([path]).sort(_ORDER).tail(MOST_FLAGS)
                self._published[minute] = age, tuple(_flags(found))
        self._show(last)

    def _show(self, last: int) -> None:
        self._published = {minute: told for minute, told in self._published.items() if minute > last - SHOWN_MINUTES}
        flags = [flag for _, told in self._published.values() for flag in told]
        flags += [flag for flag in self._live if number_of(floor_minute(flag.event_ts)) not in self._published]
        flags.sort(key=lambda flag: (flag.event_ts, flag.device_id, flag.metric, flag.detector), reverse=True)
        self.newest_first = tuple(flags[:MOST_FLAGS])

    def _forget(self, first: int) -> None:
        oldest = first - self._lookback
        self._statistics = {minute: rows for minute, rows in self._statistics.items() if minute >= oldest}

    def _kept(self, first: int) -> pl.DataFrame:
        """Readings from minute `first` on, as one frame, which is what is kept of them."""
        kept = pl.concat(self._readings) if self._readings else pl.DataFrame(schema=_READING_SCHEMA)
        kept = kept.filter(pl.col("event_ts") >= instant_of(first)).tail(2 * KEPT_READINGS)
        self._readings = [kept]
        return kept

    def _states_since(self, first: int) -> pl.DataFrame:
        """What machines told of their states that told one since minute `first`, as far back as detectors look.

        Of one state in a minute the first and the last telling are kept: what lies between says nothing new.
        """
        begin, minute = instant_of(first), pl.col("ts").dt.truncate("1m")
        told = pl.concat(self._states).filter(pl.col("ts") >= begin - BEFORE).sort("device_id", "ts", "state")
        run = pl.struct("device_id", "state", minute)
        kept = told.unique(["device_id", "ts"], keep="first", maintain_order=True).filter(
            (run != run.shift(1)).fill_null(value=True) | (run != run.shift(-1)).fill_null(value=True)
        )
        self._states = [kept]
        return kept.join(kept.filter(pl.col("ts") >= begin), on="device_id", how="semi", maintain_order="left")

    def _minutes(self, first: int, last: int, readings: pl.DataFrame) -> pl.DataFrame:
        """What was usual: published statistics, and those of minutes that are not published yet."""
        frames = [rows for minute, rows in self._statistics.items() if minute >= first - self._lookback]
        missing = [instant_of(minute) for minute in range(first, last) if minute not in self._statistics]
        if missing:
            frames.append(_statistics_of(readings.filter(pl.col("event_ts").dt.truncate("1m").is_in(missing))))
        return pl.concat(frames) if frames else pl.DataFrame(schema=DEVICE_MINUTE_SCHEMA)

    def _told(self, series: int, readings: int) -> str | None:
        if series > SCORED_SERIES:
            return (
                f"the {SCORED_SERIES} series that became known first are scored, of {series}; "
                "the flags of all series come with the minutes of the batch layer"
            )
        if readings > KEPT_READINGS:
            return (
                f"the last {KEPT_READINGS} readings are scored, of {readings} in {SCORED_MINUTES} minutes; "
                "the flags of all readings come with the minutes of the batch layer"
            )
        return None


_READING_SCHEMA = {
    "event_ts": pl.Datetime("us", "UTC"),
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    "value": pl.Float64(),
    "quality": pl.String(),
}


def _statistics_of(readings: pl.DataFrame) -> pl.DataFrame:
    """Statistics by minute of readings (columns of `device_minute`, without quantiles)."""
    value, when = pl.col("value"), pl.col("event_ts")
    numbers = readings.filter(value.is_finite().fill_null(value=False) & (pl.col("quality") != "bad"))
    found = numbers.group_by(when.dt.truncate("1m").alias("minute"), *SERIES).agg(
        count=pl.len(),
        min=value.min(),
        max=value.max(),
        mean=value.mean(),
        stddev=value.std(),
        first=value.sort_by(when).first(),
        last=value.sort_by(when).last(),
        p50=pl.lit(None, pl.Float64),
        p95=pl.lit(None, pl.Float64),
    )
    return found.select(pl.col(name).cast(kind) for name, kind in DEVICE_MINUTE_SCHEMA.items())


def _flags(frame: pl.DataFrame) -> Iterable[LiveFlag]:
    columns = ("event_ts", *SERIES, "value", "detector", "score", "expected_low", "expected_high", "reason")
    return [LiveFlag(*row) for row in frame.select(columns).iter_rows()]
