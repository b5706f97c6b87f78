"""Labelled sets that detectors are measured on, read from a folder that is given: none is part of the product.

Each becomes one frame of rows in order of time, with a label, and the instants until which may be learned.
What is measured on them is in `benchmark.py`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.anomalies.evaluation.metrics.nab import PROBATION_ROWS, PROBATION_SHARE
from iot_pipeline.errors import ConfigurationError

SENTINEL = -999.0
"""Loggers write this and below where there was no measurement: a matter of the range rule, not of models."""

SKAB_LEARNING_ROWS = 400
LRO_LEARNING = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class LabelledSet:
    """Rows with the truth.

    Attributes:
        name: of the set.
        frame: columns series, ts (UTC) and then value (long form) or one column a channel (wide form), and label
            (Boolean); series by series, in order of time.
        fit_until: for each series, the first instant that is scored (UTC).
        gates: whether figures on it may decide anything. False where labels are known to be weak.
    """

    name: str
    frame: pl.DataFrame
    fit_until: Mapping[str, datetime]
    gates: bool = True

    def pick(self, series: list[str]) -> "LabelledSet":
        """The same with some of the series only."""
        chosen = self.frame.filter(pl.col("series").is_in(series))
        return LabelledSet(self.name, chosen, {name: self.fit_until[name] for name in series}, self.gates)


def load_nab(folder: Path) -> LabelledSet:
    """Numenta's series; the label is the benchmark's window. The first 15 %, at most 750 rows, are for learning."""
    frame = _read(folder, "nab.parquet").select("series", _naive("ts"), "value", pl.col("label") > 0)
    learned = pl.min_horizontal((pl.len() * PROBATION_SHARE).floor(), PROBATION_ROWS).cast(pl.Int64)
    return LabelledSet("nab", frame, _until(frame, learned))


def load_skab(folder: Path) -> LabelledSet:
    """Runs of a pump loop, eight channels each; as in their repository the first 400 rows of a run are for learning."""
    frame = _read(folder, "skab.parquet")
    frame = frame.select(
        "series", _naive("ts"), pl.exclude("series", "ts", "label", "changepoint"), pl.col("label") > 0
    )
    frame = frame.filter(pl.col("label").any().over("series"))
    return LabelledSet("skab", frame, _until(frame, pl.lit(SKAB_LEARNING_ROWS)))


def load_lro_water(folder: Path, *, sentinels: bool = False) -> LabelledSet:
    """River sensors every 15 minutes; the label is a technician's remark. The first 30 days are for learning.

    Args:
        folder: of the sets.
        sentinels: leave in what loggers write for "no measurement". They are removed by default, with their labels:
            a plain range rule finds them all, and would hide what models do not find.
    """
    frame = _read(folder, "lro_water.parquet").select("series", _naive("ts"), "value", pl.col("label") > 0)
    if not sentinels:
        frame = frame.filter(pl.col("value").is_null() | (pl.col("value") > SENTINEL))
    first = frame.group_by("series").agg(pl.col("ts").min() + LRO_LEARNING)
    return LabelledSet("lro_water", frame, dict(first.iter_rows()))


def load_ucr(folder: Path) -> LabelledSet:
    """Two series of the UCR archive with one anomaly each, a row a second; learning ends where the archive says."""
    return _counted("ucr6", _read(folder, "ucr6.parquet"))


def load_nasa(folder: Path) -> LabelledSet:
    """First channels of two spacecraft. Their labels are known to be weak, so that figures on them decide nothing."""
    return _counted("nasa", _read(folder, "nasa_smap_msl_ch0.parquet"), gates=False)


LOADERS: Mapping[str, Callable[[Path], LabelledSet]] = {
    "nab": load_nab,
    "skab": load_skab,
    "lro_water": load_lro_water,
    "ucr6": load_ucr,
    "nasa": load_nasa,
}


def _read(folder: Path, file: str) -> pl.DataFrame:
    path = folder / file
    if not path.is_file():
        raise ConfigurationError(f"{path}: there is no such labelled set; name the folder that holds {file}")
    return pl.read_parquet(path)


def _naive(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")


def _until(frame: pl.DataFrame, learned: pl.Expr) -> dict[str, datetime]:
    until = frame.group_by("series").agg(pl.col("ts").sort().get(learned.first(), null_on_oob=True))
    return dict(until.drop_nulls().iter_rows())


def _counted(name: str, frame: pl.DataFrame, *, gates: bool = True) -> LabelledSet:
    """Rows that are numbered and not timed: a row is a second."""
    ts = pl.from_epoch(pl.col("t"), time_unit="s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    until = frame.group_by("series").agg(
        pl.from_epoch(pl.col("train_end").first(), time_unit="s").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    rows = frame.select("series", ts.alias("ts"), "value", pl.col("label") > 0)
    return LabelledSet(name, rows, dict(until.iter_rows()), gates)
