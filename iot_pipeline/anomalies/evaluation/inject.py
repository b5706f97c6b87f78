"""Typed faults put into real series that are clean, with the truth beside them.

The size of a fault follows from the series itself: drawn between what just shows among its usual changes from row
to row and a few of its standard deviations. Equal seeds give equal faults; which detectors find them is not asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.anomalies.evaluation.sets import LabelledSet

Values = NDArray[np.float64]

ROUGHNESS = 1.4826
"""Median absolute deviation to standard deviation, for what is normally distributed."""


class Fault(StrEnum):
    """What is injected."""

    SPIKE = "spike"
    STUCK = "stuck"
    DRIFT = "drift"
    STEP = "step"
    NOISE = "noise"
    GAP = "gap"


HOURS: Mapping[Fault, tuple[float, float]] = {
    Fault.SPIKE: (0.0, 0.5),
    Fault.STUCK: (6.0, 24.0),
    Fault.DRIFT: (12.0, 36.0),
    Fault.STEP: (12.0, 36.0),
    Fault.NOISE: (6.0, 24.0),
    Fault.GAP: (6.0, 24.0),
}
"""How long each lasts; a spike at least one row."""


def clean_windows(source: LabelledSet, *, devices: int = 160, days: int = 40, seed: int = 0) -> pl.DataFrame:
    """Stretches without a label and almost without holes, each as a device of its own.

    Args:
        source: a set in long form.
        devices: how many are taken; fewer where there are not as many. Two of one series share half of their days
            at most.
        days: length of each.
        seed: which are taken.

    Returns:
        Columns series (`<series>/<first day>`), ts (UTC) and value, in order of series and time.
    """
    span = timedelta(days=days)
    candidates = []
    for rows in source.frame.partition_by("series", maintain_order=True):
        rows = rows.unique("ts", keep="first", maintain_order=True).sort("ts")  # noqa: PLW2901
        step = rows["ts"].diff().median()
        if rows.is_empty() or not isinstance(step, timedelta):
            continue
        begin = rows["ts"][0].replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        while begin + span <= rows["ts"][-1]:
            window = rows.filter(pl.col("ts").is_between(begin, begin + span, closed="left"))
            known = window["value"].is_finite().sum()
            if not window["label"].any() and known >= 0.95 * (span / step):
                name = f"{rows['series'][0]}/{begin:%Y-%m-%d}"
                candidates.append(window.select(pl.lit(name).alias("series"), "ts", "value"))
                begin += span / 2
            else:
                begin += timedelta(days=2)
    order = np.random.default_rng(seed).permutation(len(candidates))[:devices]
    return pl.concat([candidates[place] for place in sorted(order)]) if candidates else _nothing()


def inject(
    clean: pl.DataFrame,
    *,
    seed: int,
    learning: timedelta = timedelta(days=14),
    kinds: Sequence[Fault] = tuple(Fault),
) -> pl.DataFrame:
    """Put one fault into each series; the kinds take turns.

    Args:
        clean: columns series, ts and value; series by series, in order of time, evenly spaced.
        seed: equal seeds give equal faults.
        learning: no fault begins before so much time has passed since the series began.
        kinds: what is injected.

    Returns:
        The same rows with label (Boolean) and fault (null where there is none). In a gap the value is null.
        Labels cover the rows that were changed; of a step also the first one after it, where the level comes back.
    """
    faulty = []
    series = clean.partition_by("series", maintain_order=True)
    turns = np.random.default_rng(seed).permutation(len(series))
    for rows, turn in zip(series, turns, strict=True):
        random = np.random.default_rng([seed, int(turn)])
        kind = kinds[int(turn) % len(kinds)]
        step = rows["ts"].diff().median()
        values = rows["value"].to_numpy().astype(np.float64).copy()
        if not isinstance(step, timedelta):
            faulty.append(rows.with_columns(label=pl.lit(value=False), fault=pl.lit(None, pl.String)))
            continue
        length = max(round(random.uniform(*HOURS[kind]) * timedelta(hours=1) / step), 1)
        earliest = int(rows["ts"].search_sorted(rows["ts"][0] + learning))
        first = int(random.integers(earliest, max(rows.height - length - 1, earliest + 1)))
        span = slice(first, min(first + length, rows.height))
        values[span] = _CHANGES[kind](_Spot(values, span, _Sizes.of(values), random))
        label = np.zeros(rows.height, dtype=bool)
        label[first : span.stop + (kind is Fault.STEP)] = True
        faulty.append(
            rows.with_columns(
                pl.Series("value", values).fill_nan(None),
                pl.Series("label", label),
                pl.when(pl.Series(label)).then(pl.lit(kind.value)).alias("fault"),
            )
        )
    return pl.concat(faulty) if faulty else _nothing(label=pl.Boolean, fault=pl.String)


def injected_set(
    source: LabelledSet, *, seed: int, devices: int = 160, days: int = 40, learning: timedelta = timedelta(days=14)
) -> LabelledSet:
    """Faults of `seed` in clean stretches of `source`; the frame has the column fault besides."""
    frame = inject(clean_windows(source, devices=devices, days=days, seed=seed), seed=seed, learning=learning)
    first = frame.group_by("series").agg(pl.col("ts").min() + learning)
    return LabelledSet(f"injected-{seed}", frame, dict(first.iter_rows()))


@dataclass(frozen=True, slots=True)
class _Sizes:
    """What is usual in a series, in its unit: change from row to row, and deviation over all of it."""

    change: float
    deviation: float

    @classmethod
    def of(cls, values: Values) -> "_Sizes":
        known = values[np.isfinite(values)]
        if known.size < 2:
            return cls(1.0, 1.0)
        steps = np.abs(np.diff(known))
        resolution = float(steps[steps > 0].min()) if (steps > 0).any() else 1.0
        change = max(ROUGHNESS * float(np.median(steps)), float(np.quantile(steps, 0.9)) / 1.645, resolution)
        return cls(change, max(float(known.std()), change))

    def between(self, changes: float, deviations: float, random: np.random.Generator) -> float:
        """A size between what just shows among the usual changes and what nobody overlooks."""
        least = changes * self.change
        return float(random.uniform(least, max(deviations * self.deviation, 2 * least)))


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a fault goes: the whole series, the rows that change, its sizes, and the chance of this fault."""

    values: Values
    span: slice
    sizes: _Sizes
    random: np.random.Generator

    @property
    def rows(self) -> int:
        return int(self.span.stop - self.span.start)

    @property
    def clean(self) -> Values:
        return self.values[self.span]

    def size(self, changes: float, deviations: float) -> float:
        return self.sizes.between(changes, deviations, self.random)

    def away(self, changes: float, deviations: float) -> float:
        """A size up or down."""
        return float(self.random.choice((-1.0, 1.0))) * self.size(changes, deviations)


def _stuck(spot: _Spot) -> Values:
    before = spot.values[: spot.span.start]
    before = before[np.isfinite(before)]
    return np.full(spot.rows, before[-1] if before.size else 0.0)


_CHANGES: Mapping[Fault, Callable[[_Spot], Values]] = {
    Fault.SPIKE: lambda spot: spot.clean + spot.away(8.0, 5.0),
    Fault.STUCK: _stuck,
    Fault.DRIFT: lambda spot: spot.clean + spot.away(12.0, 5.0) * np.linspace(0.0, 1.0, spot.rows),
    Fault.STEP: lambda spot: spot.clean + spot.away(8.0, 4.0),
    Fault.NOISE: lambda spot: spot.clean + spot.random.normal(0.0, spot.size(3.0, 1.5), spot.rows),
    Fault.GAP: lambda spot: np.full(spot.rows, np.nan),
}


def _nothing(**more: type[pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame(schema={"series": pl.String, "ts": pl.Datetime("us", "UTC"), "value": pl.Float64, **more})
