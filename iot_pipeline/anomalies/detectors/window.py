"""What detectors look at to score some minutes, and how a flag finds the message behind it.

Nothing is read from files here: who fills a window is `anomalies/windows.py`, and the live layer. Of a large fleet a
window holds statistics of all devices and lets its detectors ask for single readings, which only few have to.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from iot_pipeline.anomalies.detectors.minute_grids import MinuteGrids
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.told_states import no_states
from iot_pipeline.clock import MINUTE
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.stats.relations import FLAGS_SCHEMA


@dataclass(frozen=True, slots=True)
class Asked:
    """Readings that are read when a detector asks for them.

    Attributes:
        read: gives the readings (`ScoringWindow.readings`) of the devices named, sorted and each once; None for all.
        beside: devices with readings in the minutes to score that statistics leave out, sorted.
    """

    read: Callable[[pl.Series | None], pl.DataFrame]
    beside: pl.Series


@dataclass(frozen=True, slots=True)
class ScoringWindow:
    """The minutes to score and what a detector may look at to score them.

    Attributes:
        readings: columns of READING_SCHEMA, each reading once, of any minute; at least those of `first` to `last`.
            Where there is `asked`, only those of the machines in `states`.
        minutes: columns of `device_minute`, one row per (minute, device_id, metric, unit); at
            least those of every detector's `lookback` before `first`, up to `last`. Where there are `grids`, those
            before `first` are there only of the machines in `states`.
        first: first minute to score (UTC).
        last: last minute to score (UTC), included.
        states: STATES_SCHEMA of `told_states.py`: what machines that told their state in one of these minutes told of
            it since BEFORE the first; without rows, all series are taken for series without a state.
        recent: READING_SCHEMA: readings of the machines in `states` in the minute before the first.
        grids: the same minutes as arrays, of all series; None where nobody made them yet.
        spoke: columns minute, series: how many series said something, running totals left out, where the window
            holds only some of the devices; None where it holds all.
        asked: how single readings are read; None where `readings` has all.
        apart: columns device_id, minute: whose readings `numbers` leaves out.
    """

    readings: pl.DataFrame
    minutes: pl.DataFrame
    first: datetime
    last: datetime
    states: pl.DataFrame = field(default_factory=no_states)
    recent: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=READING_SCHEMA))
    grids: MinuteGrids | None = None
    spoke: pl.DataFrame | None = None
    asked: Asked | None = None
    apart: pl.DataFrame | None = None

    def history(self) -> MinuteGrids:
        """Statistics of all series by minute."""
        return self.grids if self.grids is not None else MinuteGrids.of(self.minutes)

    def numbers(self, devices: pl.Series | None = None) -> pl.DataFrame:
        """The readings to score: numeric, finite, not of bad quality, in [first, last].

        Args:
            devices: others may be left out, and of a large fleet are. [default: all]

        Returns:
            Columns minute, event_ts (UTC), device_id, metric, unit, value; in the order of `readings`.
        """
        if self.asked is None:
            return self._to_score(self.readings)
        if devices is not None:
            devices = pl.concat([devices, self.asked.beside]).unique().sort()
        return self._to_score(self.asked.read(devices))

    def numbers_of_machines(self) -> pl.DataFrame:
        """As `numbers`, at least of the machines in `states`."""
        return self._to_score(self.readings)

    def at_readings(self, flags: pl.DataFrame) -> pl.DataFrame:
        """Move each flag to the last reading of its minute, so that a message stands behind it; a gap has none."""
        if flags.is_empty():
            return flags
        wanted = flags.select("minute", *SERIES).unique()
        last = (
            self.numbers(wanted["device_id"])
            .join(wanted, on=["minute", *SERIES], how="semi", nulls_equal=True)
            .group_by("minute", *SERIES)
            .agg(pl.col("event_ts").max().alias("last_at"))
        )
        return (
            flags.join(last, on=["minute", *SERIES], how="left", nulls_equal=True, maintain_order="left")
            .with_columns(pl.coalesce("last_at", "event_ts").alias("event_ts"))
            .select(list(FLAGS_SCHEMA))
        )

    def _to_score(self, readings: pl.DataFrame) -> pl.DataFrame:
        value = pl.col("value")
        numbers = readings.filter(
            pl.col("event_ts").is_between(self.first, self.last + MINUTE, closed="left")
            & value.is_finite().fill_null(value=False)
            & (pl.col("quality") != "bad")
        ).select(pl.col("event_ts").dt.truncate("1m").alias("minute"), "event_ts", *SERIES, "value")
        return numbers if self.apart is None else numbers.join(self.apart, on=["device_id", "minute"], how="anti")
