"""What is learned of machines that tell their state (levels by state, starts, which state follows which) and of valves.

Which machines these are, their starts, and the strokes of valves, the day marts say; levels and changes need single
readings. How a minute is scored with it is in `scoring/findings.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.past import GAUSSIAN
from iot_pipeline.anomalies.detectors.rolling_z import RollingZ
from iot_pipeline.anomalies.detectors.told_states import STATE_METRIC, told_states, with_told_state
from iot_pipeline.anomalies.models.classes import class_of
from iot_pipeline.anomalies.models.history import day_files
from iot_pipeline.anomalies.models.state_level import StateLevel
from iot_pipeline.anomalies.signals.states import transitions
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.paths import DataPaths
from iot_pipeline.settings import Settings
from iot_pipeline.stats.current import read_series
from iot_pipeline.stats.relations import published_file
from iot_pipeline.trees import Schema

STATES_LEARNED_SCHEMA: Schema = {
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    "state": pl.String(),
    "phase": pl.String(),  # entering: within SETTLING after a change; steady
    "support": pl.Int64(),
    "stays": pl.Int64(),
    "usual": pl.Float64(),
    "spread": pl.Float64(),
}
"""One row a series, state and phase: median and spread in the unit of the series."""

STARTS_LEARNED_SCHEMA: Schema = {
    "device_id": pl.String(),
    "load_a": pl.Float64(),
    **{
        f"{signal}_{figure}": pl.Int64() if figure == "support" else pl.Float64()
        for signal in ("peak_ratio", "inrush_seconds")
        for figure in ("support", "usual", "spread")
    },
}
"""One row a machine that started: what it draws when it works, and median and spread of its starts."""

CHANGES_LEARNED_SCHEMA: Schema = {
    "class": pl.String(),
    "from_state": pl.String(),
    "to_state": pl.String(),
    "seen": pl.Int64(),
}
"""One row a class of machines and change of state."""

STROKES_LEARNED_SCHEMA: Schema = {
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    "support": pl.Int64(),
    "usual": pl.Float64(),
    "spread": pl.Float64(),
}
"""One row a valve, direction and unit: strokes, and median and spread of their travel times in that unit."""

DAYS = 3
"""Newest days that are learned from: single readings of a machine are three hundred times its minutes."""

GAUSSIAN_P95 = 1.6449
"""Standard deviations of Gaussian noise from its median to its 95th percentile."""

READINGS_AT_ONCE = 8_000_000
"""Readings in memory at a time; a single machine may have more."""


@dataclass(frozen=True, slots=True)
class MachineTables:
    """What was learned.

    Attributes:
        states: STATES_LEARNED_SCHEMA, sorted.
        starts: STARTS_LEARNED_SCHEMA, sorted.
        changes: CHANGES_LEARNED_SCHEMA, sorted.
        strokes: STROKES_LEARNED_SCHEMA, sorted.
    """

    states: pl.DataFrame
    starts: pl.DataFrame
    changes: pl.DataFrame
    strokes: pl.DataFrame

    def tables(self) -> dict[str, pl.DataFrame]:
        """By name, as they are stored."""
        return {"states": self.states, "starts": self.starts, "changes": self.changes, "strokes": self.strokes}


def nothing_learned() -> MachineTables:
    """Of a plant without machines that tell their state, and without valves."""
    return MachineTables(
        states=pl.DataFrame(schema=STATES_LEARNED_SCHEMA),
        starts=pl.DataFrame(schema=STARTS_LEARNED_SCHEMA),
        changes=pl.DataFrame(schema=CHANGES_LEARNED_SCHEMA),
        strokes=pl.DataFrame(schema=STROKES_LEARNED_SCHEMA),
    )


def read_machines(folder: Path) -> MachineTables:
    """The tables in the folder of a model. Models of before one was learned do not have it, and go on scoring."""
    tables = {
        name: pl.read_parquet(path, hive_partitioning=False) if (path := folder / f"{name}.parquet").exists() else empty
        for name, empty in nothing_learned().tables().items()
    }
    return MachineTables(**tables)


def learn_machines(settings: Settings, days: list[date]) -> MachineTables:
    """Learn from the newest DAYS of `days` (oldest first, UTC)."""
    days = days[-DAYS:]
    states, changes = [], []
    for machines in _machines(settings.paths, days):
        learned, changed = _learn(settings, machines, days)
        states.append(learned)
        changes.append(changed)
    nothing = nothing_learned()
    return MachineTables(
        states=pl.concat([nothing.states, *states]).sort(list(STATES_LEARNED_SCHEMA)[:5]),
        starts=_starts(settings.paths, days),
        changes=_counted(settings.paths, changes),
        strokes=_strokes(settings.paths, days),
    )


def _machines(paths: DataPaths, days: list[date]) -> Iterator[pl.Series]:
    """Machines that told a state on one of the days, some at a time: sorted, READINGS_AT_ONCE in all."""
    telling = _mart(paths, "machine_state_hour", days, "device_id").unique()
    if telling.is_empty():
        return
    files = [path for day in days for path in day_files(paths, day)]
    counts = (
        pl.scan_parquet(files, hive_partitioning=False, missing_columns="insert", extra_columns="ignore")
        .select("device_id", "count")
        .group_by("device_id")
        .agg(pl.col("count").sum())
        .collect()
    )
    sized = telling.join(counts, on="device_id", how="left").sort("device_id")
    part = (pl.col("count").fill_null(0).cum_sum() // READINGS_AT_ONCE).alias("part")
    for _, machines in sized.with_columns(part).group_by("part", maintain_order=True):
        yield machines["device_id"]


def _learn(settings: Settings, machines: pl.Series, days: list[date]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Levels by state, and changes of state (device_id, from_state, to_state), of some machines."""
    numbers, told = [], []
    for day in days:
        begin = day_start(day)
        readings = read_series(settings, begin, begin + DAY - MINUTE, machines)
        states = told_states(readings)
        minute = pl.col("event_ts").dt.truncate("1m").alias("minute")
        usable = (
            pl.col("value").is_finite().fill_null(value=False)
            & (pl.col("quality") != "bad")
            & ~pl.col("metric").is_in(RollingZ().cumulative)
        )
        found = with_told_state(readings.filter(usable).select(minute, "event_ts", *SERIES, "value"), states)
        numbers.append(
            found.filter("is_sure").rename({"event_ts": "ts"}).select("ts", *SERIES, "value", "state", "state_age")
        )
        told.append(states)
    levels = StateLevel().fit(pl.concat(numbers))
    changed = transitions(pl.concat(told), by=["device_id"])
    return (
        levels.select(pl.col(name).cast(kind) for name, kind in STATES_LEARNED_SCHEMA.items()),
        changed.select("device_id", "from_state", "to_state"),
    )


def _starts(paths: DataPaths, days: list[date]) -> pl.DataFrame:
    found = _mart(paths, "machine_start", days, "device_id", "load_a", "peak_ratio", "inrush_seconds")
    figures = []
    for signal in ("peak_ratio", "inrush_seconds"):
        value = pl.col(signal)
        away = (value - value.median().over("device_id")).abs()
        figures += [
            value.count().alias(f"{signal}_support"),
            value.median().alias(f"{signal}_usual"),
            (pl.col(f"{signal}_away").median() * GAUSSIAN).alias(f"{signal}_spread"),
        ]
        found = found.with_columns(away.alias(f"{signal}_away"))
    table = found.group_by("device_id").agg(pl.col("load_a").median(), *figures).sort("device_id")
    return table.select(pl.col(name).cast(kind) for name, kind in STARTS_LEARNED_SCHEMA.items())


def _strokes(paths: DataPaths, days: list[date]) -> pl.DataFrame:
    """Spread is that within a day and that of the days' medians together; one stroke in twenty does not move it."""
    found = _mart(paths, "valve_travel_day", days, "device_id", "direction", "unit", "strokes", "p50", "p95")
    within = (pl.col("p95") - pl.col("p50")).median() / GAUSSIAN_P95
    between = pl.col("p50").std().fill_null(0.0)
    table = found.group_by("device_id", pl.format("travel_time_{}", "direction").alias("metric"), "unit").agg(
        pl.col("strokes").sum().alias("support"),
        pl.col("p50").median().alias("usual"),
        (within**2 + between**2).sqrt().alias("spread"),
    )
    return table.select(pl.col(name).cast(kind) for name, kind in STROKES_LEARNED_SCHEMA.items()).sort(SERIES)


def _counted(paths: DataPaths, changes: list[pl.DataFrame]) -> pl.DataFrame:
    if not changes:
        return pl.DataFrame(schema=CHANGES_LEARNED_SCHEMA)
    together = machine_class(paths, pl.concat(changes))
    counts = together.group_by("class", "from_state", "to_state").agg(pl.len().alias("seen"))
    table = counts.select(pl.col(name).cast(kind) for name, kind in CHANGES_LEARNED_SCHEMA.items())
    return table.sort("class", "from_state", "to_state")


def machine_class(paths: DataPaths, rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` (column device_id) with the class of machines that each belongs to: fleet and type."""
    named = rows.with_columns(pl.lit(STATE_METRIC).alias("metric"), pl.lit(None, pl.String).alias("unit"))
    return class_of(paths, named).drop("metric", "unit")


def _mart(paths: DataPaths, model: str, days: list[date], *columns: str) -> pl.DataFrame:
    files = [path for day in days if (path := published_file(paths, model, day)).exists()]
    if not files:
        return pl.DataFrame(schema=dict.fromkeys(columns, pl.String()) | dict.fromkeys(columns[1:], pl.Float64()))
    return pl.read_parquet(files, columns=list(columns), hive_partitioning=False)
