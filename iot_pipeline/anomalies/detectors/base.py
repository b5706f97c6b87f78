"""What every detector is: the window it gets, the flags it gives, and the rules it keeps.

No detector is here (one file each beside this one) and nothing that reads or writes files
(see `anomalies/flags.py`).

The one law: the flags of a minute depend only on the readings of that minute and on the
`lookback` before it. Nothing is carried from minute to minute, so a minute that late data
touched can be made again alone, and a range gives the same flags however it is cut.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import polars as pl

from iot_pipeline.anomalies.detectors.minute_grids import MinuteGrids
from iot_pipeline.anomalies.detectors.told_states import no_states
from iot_pipeline.clock import MINUTE
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.stats.relations import FLAGS_SCHEMA

SERIES = ("device_id", "metric", "unit")
"""What identifies one series of numbers. The unit may be null, which is a unit of its own."""


@dataclass(frozen=True, slots=True)
class ScoringWindow:
    """The minutes to score and what a detector may look at to score them.

    Attributes:
        readings: columns of READING_SCHEMA, each reading once, of any minute; at least those of
            `first` to `last` and of every detector's `readings_lookback` before them.
        minutes: columns of `device_minute`, one row per (minute, device_id, metric, unit); at
            least those of every detector's `lookback` before `first`, up to `last`. Where there are `grids`, only those
            of the machines in `states`.
        first: first minute to score (UTC).
        last: last minute to score (UTC), included.
        states: STATES_SCHEMA of `told_states.py`: what machines that told their state in one of these minutes told of
            it since BEFORE the first; without rows, all series are taken for series without a state.
        grids: the same minutes as arrays, of all series; None where nobody made them yet.
        spoke: columns minute, series: how many series said something, running totals left out, where the window
            holds only some of the devices; None where it holds all.
    """

    readings: pl.DataFrame
    minutes: pl.DataFrame
    first: datetime
    last: datetime
    states: pl.DataFrame = field(default_factory=no_states)
    recent: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=READING_SCHEMA))
    grids: MinuteGrids | None = None
    spoke: pl.DataFrame | None = None

    def history(self) -> MinuteGrids:
        """Statistics of all series by minute."""
        return self.grids if self.grids is not None else MinuteGrids.of(self.minutes)

    def numbers(self) -> pl.DataFrame:
        """The readings to score: numeric, finite, not of bad quality, in [first, last].

        Returns:
            Columns minute, event_ts (UTC), device_id, metric, unit, value; in the order of `readings`.
        """
        value = pl.col("value")
        return self.readings.filter(
            pl.col("event_ts").is_between(self.first, self.last + MINUTE, closed="left")
            & value.is_finite().fill_null(value=False)
            & (pl.col("quality") != "bad")
        ).select(pl.col("event_ts").dt.truncate("1m").alias("minute"), "event_ts", *SERIES, "value")


class Detector(Protocol):
    """A rule or a model that finds single readings unusual, over all series at once."""

    @property
    def name(self) -> str:
        """Stable name, e.g. `rolling_z`: people filter flags by it."""

    @property
    def version(self) -> str:
        """Changes whenever the same readings could give other flags: see `version_of`."""

    @property
    def lookback(self) -> timedelta:
        """How far before its minute a reading's `device_minute` rows are looked at; fixed."""

    @property
    def readings_lookback(self) -> timedelta:
        """How far before its minute single readings are looked at; zero for most: they are many."""

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """Flag readings of `window.first` to `window.last`.

        Returns:
            FLAGS_SCHEMA, in any order; `score` is at least 1.0, which is the threshold.
        """


def version_of(revision: int, parameters: Mapping[str, object]) -> str:
    """Version of a detector: the revision of its code and a digest of its parameters, `2-1f3a9c`."""
    text = json.dumps(parameters, sort_keys=True, default=str)
    return f"{revision}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


def no_flags() -> pl.DataFrame:
    """Nothing flagged: FLAGS_SCHEMA without rows."""
    return pl.DataFrame(schema=FLAGS_SCHEMA)


def flags_of(detector: Detector, flagged: pl.DataFrame, reason: pl.Expr) -> pl.DataFrame:
    """Put the flags of `detector` into the common shape.

    Args:
        detector: who flags.
        flagged: the columns of `ScoringWindow.numbers` with score, expected_low and expected_high.
        reason: one sentence a row, over the columns of `flagged`.

    Returns:
        FLAGS_SCHEMA.
    """
    # Polars 2.1 panics when texts are put together from columns that are cut into chunks at different rows, as
    # readings of several batches with a score beside them are.
    flagged = flagged.rechunk()
    return flagged.select(
        *flagged.columns,
        pl.lit(detector.name).alias("detector"),
        pl.lit(detector.version).alias("detector_version"),
        reason.alias("reason"),
    ).select(pl.col(name).cast(kind) for name, kind in FLAGS_SCHEMA.items())


def at_readings(flags: pl.DataFrame, readings: pl.DataFrame) -> pl.DataFrame:
    """Move each flag to the last reading of its minute, so that a message stands behind it; a gap has none."""
    if flags.is_empty():
        return flags
    wanted = flags.select("minute", *SERIES).unique()
    last = (
        readings.filter(
            pl.col("device_id").is_in(wanted["device_id"].unique().implode())
            & pl.col("value").is_finite().fill_null(value=False)
            & (pl.col("quality") != "bad")
        )
        .with_columns(pl.col("event_ts").dt.truncate("1m").alias("minute"))
        .join(wanted, on=["minute", *SERIES], how="semi", nulls_equal=True)
        .group_by("minute", *SERIES)
        .agg(pl.col("event_ts").max().alias("last_at"))
    )
    return (
        flags.join(last, on=["minute", *SERIES], how="left", nulls_equal=True, maintain_order="left")
        .with_columns(pl.coalesce("last_at", "event_ts").alias("event_ts"))
        .select(list(FLAGS_SCHEMA))
    )


def shown(column: str, digits: int = 5) -> pl.Expr:
    """A number as people read it in a sentence: five significant digits, `21.3` and not `21.299999237`."""
    return pl.col(column).round_sig_figs(digits).cast(pl.String).str.strip_suffix(".0")


def shown_unit() -> pl.Expr:
    """The unit with a space before it, or nothing where it is unknown."""
    return pl.when(pl.col("unit").is_null()).then(pl.lit("")).otherwise(pl.concat_str(pl.lit(" "), pl.col("unit")))
