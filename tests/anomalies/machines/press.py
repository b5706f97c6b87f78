"""A machine that tells its state, second by second: it rests, is set up, starts with an inrush and runs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from iot_pipeline.anomalies.detectors import ScoringWindow
from iot_pipeline.anomalies.detectors.told_states import BEFORE, STATE_METRIC, told_states
from iot_pipeline.clock import MINUTE
from iot_pipeline.readings.schema import READING_SCHEMA
from tests.anomalies.frames import device_minutes

BEGIN = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
PRESS = "line/press"
LEVELS = {"idle": 1.0, "setup": 4.0, "running": 30.0}
PHASES = ("current_l1", "current_l2", "current_l3")
INRUSH = 5.0
TELL_EVERY_S = 10
LOOKBACK = 60 * MINUTE

CYCLE = (("idle", 180), ("setup", 20), ("running", 400))
"""Ten minutes."""


def states(*stays: tuple[str, int]) -> list[str]:
    """What the machine does in each second."""
    return [state for state, seconds in stays for _ in range(seconds)]


def cycles(count: int) -> list[str]:
    """So many cycles of ten minutes."""
    return states(*CYCLE * count)


def machine(told: list[str], *, begin: datetime = BEGIN, device: str = PRESS, seed: int = 1) -> pl.DataFrame:
    """READING_SCHEMA: a reading a second of three phases, and the state every ten seconds and when it changes."""
    rng = np.random.default_rng(seed)
    now = np.array(told)
    level = np.array([LEVELS[state] for state in told])
    runs = np.r_[True, now[1:] != now[:-1]]
    age = np.arange(now.size) - np.maximum.accumulate(np.where(runs, np.arange(now.size), 0))
    level = level + np.where(now == "running", 30.0 * INRUSH * np.exp(-age / 0.6), 0.0)
    times = [begin + timedelta(seconds=n) for n in range(now.size)]
    said = runs | (np.arange(now.size) % TELL_EVERY_S == 0)
    parts = [
        _series(times, device, phase, "A", (level * (1 + 0.01 * rng.normal(size=now.size))).round(3))
        for phase in PHASES
    ]
    at = [one for one, tell in zip(times, said, strict=True) if tell]
    parts.append(_series(at, device, STATE_METRIC, None, text=now[said].tolist()))
    return pl.concat(parts)


def velocities(values: list[float], *, begin: datetime = BEGIN, device: str = PRESS) -> pl.DataFrame:
    """READING_SCHEMA: a velocity each ten seconds."""
    times = [begin + timedelta(seconds=10 * n) for n in range(len(values))]
    return _series(times, device, "v_rms", "mm/s", np.array(values))


def changed(
    readings: pl.DataFrame, since: datetime, until: datetime, value: pl.Expr, metrics: tuple[str, ...] = PHASES
) -> pl.DataFrame:
    """`readings` with other values of `metrics` from `since` on and before `until`."""
    here = pl.col("metric").is_in(metrics) & pl.col("event_ts").is_between(since, until, closed="left")
    return readings.with_columns(pl.when(here).then(value).otherwise("value").alias("value"))


def window(
    readings: pl.DataFrame, first: datetime, last: datetime | None = None, *, statistics: pl.DataFrame | None = None
) -> ScoringWindow:
    """No more of `readings` than what `windows.Windows` reads to score `first` to `last`.

    `statistics` are `device_minutes` of them, where they are known already.
    """
    last = last or first
    end = last + MINUTE
    inside = readings.filter(pl.col("event_ts").is_between(first, end, closed="left"))
    machines = told_states(inside)["device_id"].unique().implode()
    of_machines = readings.filter(pl.col("device_id").is_in(machines))
    before = of_machines.filter(pl.col("event_ts").is_between(first - BEFORE, end, closed="left"))
    if statistics is None:
        statistics = device_minutes(readings.filter(pl.col("event_ts").is_between(first - LOOKBACK, end)))
    found = ScoringWindow(
        readings=inside,
        minutes=statistics.filter(pl.col("minute").is_between(first - LOOKBACK, last)),
        first=first,
        last=last,
        states=told_states(before),
    )
    recent = of_machines.filter(pl.col("event_ts").is_between(first - MINUTE, first, closed="left"))
    return replace(found, recent=recent)


def _series(  # noqa: PLR0917 -- the columns in their order
    times: list[datetime],
    device: str,
    metric: str,
    unit: str | None,
    values: np.ndarray | None = None,
    text: list[str] | None = None,
) -> pl.DataFrame:
    frame = pl.DataFrame({"event_ts": times}, schema={"event_ts": READING_SCHEMA["event_ts"]})
    return frame.with_columns(
        received_at=pl.col("event_ts"),
        source=pl.lit("mqtt"),
        device_id=pl.lit(device),
        metric=pl.lit(metric),
        value=pl.lit(None, pl.Float64) if values is None else pl.Series(values),
        text=pl.lit(None, pl.String) if text is None else pl.Series(text),
        unit=pl.lit(unit, pl.String),
        quality=pl.lit("good"),
        message_id=pl.format("{}-{}", pl.lit(metric), pl.int_range(pl.len())),
    ).select(pl.col(name).cast(kind) for name, kind in READING_SCHEMA.items())
