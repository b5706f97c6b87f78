"""Each labelled set with each detector: what is measured, with what, and on how much of it.

The measures are in `measure.py`, the sets in `sets.py` and `inject.py`. Nothing is tuned here.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from time import process_time

import polars as pl

from iot_pipeline.anomalies.evaluation.alone import SINGLES, alone
from iot_pipeline.anomalies.evaluation.baselines import BASELINES, Baseline
from iot_pipeline.anomalies.evaluation.inject import injected_set
from iot_pipeline.anomalies.evaluation.measure import Measures, measure
from iot_pipeline.anomalies.evaluation.methods import LEARNING, Method, method_for
from iot_pipeline.anomalies.evaluation.sets import LOADERS, LabelledSet, load_lro_water
from iot_pipeline.anomalies.evaluation.walk import channels_of, walk_forward
from iot_pipeline.clock import DAY
from iot_pipeline.errors import ConfigurationError

INJECTED = "injected"
SETS = (*(name for name in LOADERS if name != "nasa"), INJECTED)
"""What is measured when nobody says what; nasa's labels are weak."""

DEFAULT_SEED = 7
SHIPPED = "shipped"
"""What the product flags with: the union for single series, the ensemble for several channels."""

DETECTORS = (SHIPPED, *BASELINES)
"""What is measured when nobody says what."""

EACH = (*DETECTORS, *SINGLES)
"""All that can be measured."""

FOREVER = timedelta(days=365_000)


@dataclass(frozen=True, slots=True)
class Result:
    """One detector on one set.

    Attributes:
        set: name of the set.
        detector: name of the detector.
        sees_future: whether it used what came after a reading; then its figures are no promise.
        us_per_reading: microseconds of processor time to learn and score, per reading.
        measures: all of them.
        rows: what was scored, with series, ts, score, flag, reason, label and the set's own columns.
    """

    set: str
    detector: str
    sees_future: bool
    us_per_reading: float
    measures: Measures
    rows: pl.DataFrame


def load_set(folder: Path, name: str, *, seed: int = DEFAULT_SEED) -> LabelledSet:
    """A set by its name; `injected` puts faults of `seed` into clean stretches of the river's series.

    Raises:
        ConfigurationError: there is no such set, or its file is not in `folder`.
    """
    if name == INJECTED:
        return injected_set(load_lro_water(folder), seed=seed)
    if name not in LOADERS:
        raise ConfigurationError.unknown_value("set", name, [*LOADERS, INJECTED])
    return LOADERS[name](folder)


def sample(labelled: LabelledSet, *, series: int) -> LabelledSet:
    """At most so many series: those whose names have the smallest hashes, so that the choice looks at nothing else."""
    names = sorted(labelled.frame["series"].unique(), key=lambda name: hashlib.sha256(str(name).encode()).hexdigest())
    return labelled.pick(names[:series])


def half(labelled: LabelledSet, *, held_out: bool) -> LabelledSet:
    """One half of the series by the hash of their names: one to develop on, the other to hold out."""
    names = sorted(labelled.frame["series"].unique())
    chosen = [name for name in names if (hashlib.sha256(f"half {name}".encode()).digest()[0] & 1) == int(held_out)]
    return labelled.pick(chosen)


def run(
    labelled: LabelledSet,
    detector: str | Method = SHIPPED,
    *,
    budget: float = 0.1,
    at_budget: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Score a set with a detector and judge it.

    Args:
        labelled: the set.
        detector: a name of EACH, or a method.
        budget: false alerts wanted a device-day.
        at_budget: also find recall at the best threshold within the budget.
        progress: called with rows done and rows in total.
    """
    channels = _channels(labelled)
    method = _method(detector, len(channels))
    at_once = isinstance(method, Baseline) and method.at_once
    fit_until: Mapping[str, datetime] = labelled.fit_until
    first = labelled.frame["ts"].min()
    if at_once and isinstance(first, datetime):
        # One stretch that begins with the first row: all is in sight.
        fit_until = dict.fromkeys(labelled.fit_until, first)
    began = process_time()
    scored = walk_forward(
        labelled.frame,
        fit_until=fit_until,
        budget=budget,
        channels=channels,
        method=method,
        progress=progress,
        refit=FOREVER if at_once else DAY,
    )
    spent = process_time() - began
    rows = scored.hstack(labelled.frame.drop("series", "ts"))
    if at_once:
        rows = _as_learning(rows, labelled)
    found = measure(rows, budget=budget, value=channels[0], at_budget=at_budget)
    return Result(
        labelled.name,
        _name(detector, method),
        isinstance(method, Baseline) and method.sees_future,
        1e6 * spent / max(rows.height, 1),
        found,
        rows,
    )


def run_all(
    folder: Path,
    *,
    sets: Sequence[str] = SETS,
    detectors: Sequence[str] = DETECTORS,
    series: int | None = None,
    seed: int = DEFAULT_SEED,
    budget: float = 0.1,
    step: Callable[[str], None] | None = None,
) -> Iterator[Result]:
    """Each set with each detector, one after the other; single detectors on sets of single series alone.

    Args:
        folder: of the labelled sets.
        sets: names of sets.
        detectors: names of detectors.
        series: at most so many series of each set (see `sample`); None takes all.
        seed: of the injected faults.
        budget: false alerts wanted a device-day.
        step: told what comes next.
    """
    for name in sets:
        labelled = load_set(folder, name, seed=seed)
        if series is not None:
            labelled = sample(labelled, series=series)
        for detector in detectors:
            if detector in SINGLES and len(_channels(labelled)) > 1:
                continue
            if step is not None:
                step(f"{labelled.name}: {detector}, {labelled.frame.height} readings")
            yield run(labelled, detector, budget=budget, at_budget=True)


def table(results: Sequence[Result]) -> pl.DataFrame:
    """One row a result: set, detector, sees_future, us_per_reading and all fields of `Measures`."""
    return pl.DataFrame(
        [
            {
                "set": one.set,
                "detector": one.detector,
                "sees_future": one.sees_future,
                "us_per_reading": one.us_per_reading,
                **asdict(one.measures),
            }
            for one in results
        ]
    )


def _method(detector: str | Method, channels: int) -> Method:
    if not isinstance(detector, str):
        return detector
    if detector == SHIPPED:
        return method_for(channels)
    if detector in SINGLES:
        return alone(detector)
    if detector not in BASELINES:
        raise ConfigurationError.unknown_value("detector", detector, EACH)
    return BASELINES[detector]()


def _channels(labelled: LabelledSet) -> list[str]:
    return [name for name in channels_of(labelled.frame) if name != "fault"]


def _name(detector: str | Method, method: Method) -> str:
    return method.name if detector == SHIPPED or not isinstance(detector, str) else detector


def _as_learning(rows: pl.DataFrame, labelled: LabelledSet) -> pl.DataFrame:
    """Rows that the other detectors learned from do not count for this one either."""
    until = pl.DataFrame({"series": list(labelled.fit_until), "until": list(labelled.fit_until.values())})
    joined = rows.join(until, on="series", how="left", maintain_order="left")
    early = pl.col("ts") < pl.col("until").cast(rows.schema["ts"])
    return joined.with_columns(
        pl.when(early).then(pl.lit(LEARNING)).otherwise("reason").alias("reason"),
        pl.when(early).then(0.0).otherwise("score").alias("score"),
        pl.col("flag") & ~early,
    ).drop("until")


__all__ = ["DETECTORS", "EACH", "SETS", "Result", "half", "load_set", "run", "run_all", "sample", "table"]
