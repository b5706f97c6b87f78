"""What every detector is: the flags it gives, and the rules it keeps.

No detector is here (one file each beside this one), nothing about what it looks at (`window.py`) and nothing that
reads or writes files (see `anomalies/flags.py`).

The one law: the flags of a minute depend only on the readings of that minute and on the
`lookback` before it. Nothing is carried from minute to minute, so a minute that late data
touched can be made again alone, and a range gives the same flags however it is cut.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

import polars as pl

from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.stats.relations import FLAGS_SCHEMA


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
    def moments_lookback(self) -> timedelta:
        """How far those of all series are looked at for more than their means."""

    def spans(self) -> pl.DataFrame:
        """Columns low, high: which devices, from `low` to `high` in the order of bytes, are only scored together."""

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """Flag readings of `window.first` to `window.last`.

        Returns:
            FLAGS_SCHEMA, in any order; `score` is at least 1.0, which is the threshold.
        """


class ByItself:
    """A detector that looks at each minute of each device by itself, as far as it does not say otherwise."""

    __slots__ = ()

    @property
    def lookback(self) -> timedelta:
        """None."""
        return timedelta(0)

    @property
    def moments_lookback(self) -> timedelta:
        """None."""
        return timedelta(0)

    def spans(self) -> pl.DataFrame:
        """None."""
        return pl.DataFrame(schema={"low": pl.String(), "high": pl.String()})


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


def shown(column: str, digits: int = 5) -> pl.Expr:
    """A number as people read it in a sentence: five significant digits, `21.3` and not `21.299999237`."""
    return pl.col(column).round_sig_figs(digits).cast(pl.String).str.strip_suffix(".0")


def shown_unit() -> pl.Expr:
    """The unit with a space before it, or nothing where it is unknown."""
    return pl.when(pl.col("unit").is_null()).then(pl.lit("")).otherwise(pl.concat_str(pl.lit(" "), pl.col("unit")))
