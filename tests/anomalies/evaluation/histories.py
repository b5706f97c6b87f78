"""Histories to evaluate on: a river, a pump, and labelled sets in small."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

START = datetime(2026, 3, 1, tzinfo=UTC)
STEP = timedelta(minutes=15)
DAYS = 12
SETS_START = datetime(2020, 1, 1)  # noqa: DTZ001 -- the files hold times without a zone


def long(seed: int = 0, *, days: int = DAYS, series: str = "river", step: timedelta = STEP) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    rows = timedelta(days=days) // step
    hours = np.arange(rows) * (step / timedelta(hours=1))
    value = 20 + 3 * np.sin(hours * 2 * np.pi / 24) + random.normal(0, 0.1, rows)
    ts = [START + place * step for place in range(rows)]
    return pl.DataFrame({"series": [series] * rows, "ts": ts, "value": value})


def wide(seed: int = 0, *, rows: int = 1_500, series: str = "pump") -> pl.DataFrame:
    random = np.random.default_rng(seed)
    load = np.cumsum(random.normal(0, 0.1, rows))
    ts = [START + timedelta(seconds=place) for place in range(rows)]
    channels = {
        name: load * factor + random.normal(0, 0.05, rows) for name, factor in (("flow", 1), ("power", 2), ("heat", -1))
    }
    return pl.DataFrame({"series": [series] * rows, "ts": ts, **channels})


def write_sets(folder: Path) -> None:
    """Small files of the form of the real ones."""
    random = np.random.default_rng(0)

    def series(name: str, rows: int, step: timedelta) -> pl.DataFrame:
        ts = [SETS_START + place * step for place in range(rows)]
        value = 10 + np.sin(np.arange(rows) * (step / timedelta(days=1)) * 2 * np.pi) + random.normal(0, 0.05, rows)
        label = np.zeros(rows, np.int8)
        label[rows // 2 : rows // 2 + 20] = 1
        return pl.DataFrame({"series": [name] * rows, "ts": ts, "value": value + 4 * label, "label": label})

    minutes = timedelta(minutes=15)
    nab = pl.concat([series("a", 600, minutes), series("b", 600, minutes)])
    nab.with_columns(category=pl.lit("x"), label_point=pl.lit(0)).write_parquet(folder / "nab.parquet")
    skab = series("valve", 600, timedelta(seconds=1))
    skab = skab.with_columns(Current=pl.col("value") * 2, changepoint=pl.lit(0)).rename({"value": "Flow"})
    calm = skab.with_columns(pl.lit("calm").alias("series"), pl.lit(0, pl.Int8).alias("label"))
    pl.concat([skab, calm]).write_parquet(folder / "skab.parquet")
    lro = series("river", 60 * 96, minutes)
    sentinel = pl.int_range(pl.len()) == 5_000
    lro = lro.with_columns(pl.when(sentinel).then(-9999.0).otherwise("value").alias("value"))
    lro = lro.with_columns(label=pl.when(sentinel).then(1).otherwise("label").cast(pl.Int8))
    quiet = lro.with_columns(pl.lit("lake").alias("series"), pl.lit(0, pl.Int8).alias("label"))
    pl.concat([lro, quiet]).write_parquet(folder / "lro_water.parquet")
    ucr = series("u", 800, minutes).with_columns(t=pl.int_range(pl.len()), train_end=pl.lit(300)).drop("ts")
    ucr.write_parquet(folder / "ucr6.parquet")
    ucr.write_parquet(folder / "nasa_smap_msl_ch0.parquet")
