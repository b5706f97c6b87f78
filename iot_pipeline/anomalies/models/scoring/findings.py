"""Findings of machines and valves as flags: starts, strokes, changes of state and unbalanced phases of a minute.

The formulas are in `signals/`, what is learned of the past in `machines.py`. Each is judged in the minute in which all
that belongs to it is known, so that a minute alone says what a range says.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors.base import ByItself, no_flags, shown, shown_unit
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.past import RELATIVE_FLOOR, THRESHOLD, compared
from iot_pipeline.anomalies.detectors.told_states import STATE_METRIC, telling
from iot_pipeline.anomalies.detectors.window import ScoringWindow
from iot_pipeline.anomalies.models.machines import MachineTables, machine_class
from iot_pipeline.anomalies.signals.inrush import LONGEST, starts
from iot_pipeline.anomalies.signals.states import illegal, transitions
from iot_pipeline.anomalies.signals.unbalance import LEAST_LOAD, unbalance_percent
from iot_pipeline.clock import MINUTE
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import FLAGS_SCHEMA

PHASES = ("current_l1", "current_l2", "current_l3")
UNIT = "A"

UNBALANCE_BORDER = 10.0
"""Per cent. No standard limits the unbalance of currents; this is what a few per cent of unbalanced voltages, beyond
which NEMA MG 1 (14.36) derates motors, come to in the currents."""

HOLE = 1.5
"""Times the usual pause between readings, from which one was lost."""

STRANGE = 2.0
"""Score of a change of state that never came before: there is no measure of it."""

LEAST_STROKES = 50
"""Strokes that must have been seen before another one is called slow or fast."""

STROKE_FLOOR = 0.01
"""Least believable spread as a share of the travel time: the pressure of the air moves it, and controllers that look
each ten milliseconds tell it in steps."""

FINDINGS = ("start", "stroke", "transition", "unbalance")
"""Names of the flags' detectors."""

_MACHINE_MINUTE = ("device_id", "minute")


@dataclass(frozen=True, slots=True)
class MachineFindings(ByItself):
    """Flags starts, strokes, changes of state and unbalanced phases.

    Args:
        tables: what was learned.
        version: of the model.
        paths: where the classes of machines are found.
    """

    tables: MachineTables
    version: str
    paths: DataPaths

    @property
    def name(self) -> str:
        """Of all findings together; flags carry one of FINDINGS instead."""
        return "machines"

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """FLAGS_SCHEMA."""
        found = pl.concat([self._starts(window), self._strokes(window), self._changes(window), self._unbalance(window)])
        return found.with_columns(pl.lit(self.version).alias("detector_version"))

    def _starts(self, window: ScoringWindow) -> pl.DataFrame:
        """Starts whose LONGEST ended in a minute to score, against the machine's own of earlier days."""
        told = [part.select("event_ts", *SERIES, "value", "quality") for part in (window.recent, window.readings)]
        readings = pl.concat(told).filter(
            pl.col("metric").is_in(PHASES)
            & (pl.col("unit") == UNIT)
            & pl.col("value").is_finite().fill_null(value=False)
            & (pl.col("quality") != "bad")
        )
        phases = readings.join(self.tables.starts.select("device_id"), on="device_id", how="semi")
        instants = phases.group_by("device_id", pl.col("event_ts").alias("ts")).agg(
            pl.col("value").mean().alias("current"), pl.col("metric").n_unique().alias("phases")
        )
        loads = self.tables.starts.select("device_id", pl.col("load_a").alias("load")).filter(pl.col("load") > 0)
        whole = instants.filter(pl.col("phases") == len(PHASES)).drop("phases")
        known = pl.col("started_at") + LONGEST
        found = (
            starts(whole, loads, by=["device_id"])
            .filter(known >= window.first, known < window.last + MINUTE)
            .with_columns(known.dt.truncate("1m").alias("minute"))
            .join(telling(window.states), on=_MACHINE_MINUTE, how="semi")
            .join(_without_holes(whole), on=["device_id", "started_at"], how="semi")
            .join(self.tables.starts, on="device_id", how="inner")
        )
        strongest = _judged(_judged(found, "peak_ratio"), "inrush_seconds")
        by_peak = pl.col("peak_ratio_score") >= pl.col("inrush_seconds_score")
        strongest = strongest.with_columns(
            pl.max_horizontal("peak_ratio_score", "inrush_seconds_score").alias("score"),
            *(
                pl.when(by_peak).then(pl.col(f"peak_ratio_{side}") * pl.col("load")).alias(f"expected_{side}")
                for side in ("low", "high")
            ),
        ).filter(pl.col("score") >= 1.0)
        peak = pl.format(
            "the start at {} drew {} times the working current, usual are {} to {} of {} starts",
            pl.col("started_at").dt.strftime("%H:%M:%S"),
            shown("peak_ratio", 3),
            shown("peak_ratio_low", 3),
            shown("peak_ratio_high", 3),
            "peak_ratio_support",
        )
        duration = pl.format(
            "the start at {} took {} s until the current had settled, usual are {} to {} s of {} starts",
            pl.col("started_at").dt.strftime("%H:%M:%S"),
            shown("inrush_seconds", 3),
            shown("inrush_seconds_low", 3),
            shown("inrush_seconds_high", 3),
            "inrush_seconds_support",
        )
        flags = strongest.rechunk().select(
            "minute",
            pl.col("minute").alias("event_ts"),
            "device_id",
            pl.lit(PHASES[0]).alias("metric"),
            pl.lit(UNIT).alias("unit"),
            pl.col("peak").alias("value"),
            pl.lit("start").alias("detector"),
            "score",
            "expected_low",
            "expected_high",
            pl.when(by_peak).then(peak).otherwise(duration).alias("reason"),
        )
        return window.at_readings(_typed(flags))

    def _strokes(self, window: ScoringWindow) -> pl.DataFrame:
        """Travel times far from those of the valve's strokes of earlier days, in the same direction."""
        learned = self.tables.strokes.filter(pl.col("support") >= LEAST_STROKES)
        if learned.is_empty():
            return no_flags()
        # Lowest and highest tell which valves of this window have a stroke outside of the narrowest band there can be.
        here = window.minutes.filter(pl.col("minute") >= window.first)
        here = here.join(learned, on=SERIES, how="inner", nulls_equal=True)
        half = THRESHOLD * pl.max_horizontal("spread", STROKE_FLOOR * pl.col("usual").abs())
        left = here.filter((pl.col("max") - pl.col("usual") > half) | (pl.col("usual") - pl.col("min") > half))
        found = (
            window.numbers(left["device_id"].unique().sort())
            .join(learned, on=SERIES, how="inner", nulls_equal=True)
            .rename({"support": "value_support", "usual": "value_usual", "spread": "value_spread"})
        )
        judged = _judged(found, "value", relative_floor=STROKE_FLOOR).filter(pl.col("value_score") >= 1.0).rechunk()
        reason = pl.format(
            "the valve took {}{} to {}, usual are {} to {}{} of {} strokes",
            shown("value", 4),
            shown_unit(),
            pl.col("metric").str.strip_prefix("travel_time_"),
            shown("value_low", 4),
            shown("value_high", 4),
            shown_unit(),
            "value_support",
        )
        return _typed(
            judged.with_columns(
                pl.lit("stroke").alias("detector"),
                pl.col("value_score").alias("score"),
                pl.col("value_low").alias("expected_low"),
                pl.col("value_high").alias("expected_high"),
                reason.alias("reason"),
            )
        )

    def _changes(self, window: ScoringWindow) -> pl.DataFrame:
        """Changes that machines of the class never made in many changes out of that state."""
        changed = transitions(window.states, by=["device_id"]).filter(
            pl.col("ts") >= window.first, pl.col("ts") < window.last + MINUTE
        )
        strange = illegal(machine_class(self.paths, changed), self.tables.changes, by=["class"])
        reason = pl.format(
            "went from {} to {}, which machines of its class did not in {} changes from {}",
            "from_state",
            "to_state",
            "exits",
            "from_state",
        )
        return _typed(
            strange.rechunk().select(
                pl.col("ts").dt.truncate("1m").alias("minute"),
                pl.col("ts").alias("event_ts"),
                "device_id",
                pl.lit(STATE_METRIC).alias("metric"),
                pl.lit(None, pl.String).alias("unit"),
                pl.lit("transition").alias("detector"),
                pl.lit(STRANGE).alias("score"),
                reason.alias("reason"),
            )
        )

    def _unbalance(self, window: ScoringWindow) -> pl.DataFrame:
        """The phase furthest from the mean of the three, where that is more than UNBALANCE_BORDER."""
        rows = window.minutes.filter(
            (pl.col("minute") >= window.first) & pl.col("metric").is_in(PHASES) & (pl.col("unit") == UNIT)
        )
        wide = (
            rows.join(self.tables.starts.select("device_id", "load_a"), on="device_id", how="inner")
            .group_by(*_MACHINE_MINUTE, "load_a")
            .agg(
                *(pl.col("mean").filter(pl.col("metric") == phase).first().alias(phase) for phase in PHASES),
                # Means over different instants are no phases of one current.
                pl.col("count").n_unique().alias("counts"),
            )
            .filter(pl.col("counts") == 1)
            .drop_nulls(PHASES)
            .sort(_MACHINE_MINUTE)
        )
        phases = wide.select(PHASES).to_numpy().reshape(-1, len(PHASES))
        mean = phases.mean(axis=1)
        loaded = mean >= LEAST_LOAD * wide["load_a"].to_numpy()
        percent = np.where(loaded, np.nan_to_num(unbalance_percent(phases)), 0.0)
        guilty = np.abs(phases - mean[:, None]).argmax(axis=1)
        judged = wide.select(_MACHINE_MINUTE).with_columns(
            pl.col("minute").alias("event_ts"),
            pl.Series("metric", np.array(PHASES)[guilty], pl.String),
            pl.lit(UNIT).alias("unit"),
            pl.Series("value", phases[np.arange(len(phases)), guilty]),
            pl.Series("score", percent / UNBALANCE_BORDER),
            pl.Series("expected_low", mean * (1 - UNBALANCE_BORDER / 100)),
            pl.Series("expected_high", mean * (1 + UNBALANCE_BORDER / 100)),
            pl.Series("percent", percent),
            pl.Series("mean", mean),
            pl.lit("unbalance").alias("detector"),
        )
        reason = pl.format(
            "{}{} is {} % away from the mean of the three phases, {}{}: more than {} %",
            shown("value"),
            shown_unit(),
            shown("percent", 3),
            shown("mean"),
            shown_unit(),
            pl.lit(f"{UNBALANCE_BORDER:g}"),
        )
        flags = judged.filter(pl.col("score") >= 1.0).rechunk().with_columns(reason.alias("reason"))
        return window.at_readings(_typed(flags))


def _without_holes(instants: pl.DataFrame) -> pl.DataFrame:
    """Columns device_id, started_at: instants (device_id, ts) with no reading lost within LONGEST before and after.

    Of an inrush of a second or two, one lost message is half.
    """
    times = instants.sort("device_id", "ts").with_columns(pl.col("ts").diff().over("device_id").alias("pause"))
    longest = pl.col("pause").max().rolling(index_column="ts", period=2 * LONGEST, offset=-LONGEST, closed="both")
    usual = pl.col("pause").median().over("device_id")
    held = times.with_columns(longest.over("device_id").alias("longest"), usual.alias("usual"))
    whole = held.filter(pl.col("longest") <= HOLE * pl.col("usual"))
    return whole.select("device_id", pl.col("ts").alias("started_at"))


def _judged(events: pl.DataFrame, signal: str, *, relative_floor: float = RELATIVE_FLOOR) -> pl.DataFrame:
    """Adds {signal}_score, _low and _high, from {signal}_support, _usual and _spread."""
    value = events[signal].cast(pl.Float64).fill_null(np.nan).to_numpy()
    support = events[f"{signal}_support"].fill_null(0).to_numpy().astype(np.float64)
    usual, spread = (
        events[f"{signal}_{figure}"].fill_null(np.nan).to_numpy().astype(np.float64) for figure in ("usual", "spread")
    )
    found = compared(value, support, usual, spread, relative_floor=relative_floor)
    return events.with_columns(
        pl.Series(f"{signal}_score", found.score),
        pl.Series(f"{signal}_low", found.low),
        pl.Series(f"{signal}_high", found.high),
    )


def _typed(flags: pl.DataFrame) -> pl.DataFrame:
    """FLAGS_SCHEMA, with null for columns that `flags` lacks."""
    return flags.select(
        (pl.col(name) if name in flags.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in FLAGS_SCHEMA.items()
    )
