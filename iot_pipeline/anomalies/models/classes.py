"""Classes of series: what is measured alike, so that one can lend another what it has learned.

A class is fleet, type, metric and unit. Names in it come from outside and are only ever compared.
"""

import polars as pl

from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import dim_device_file


def class_of(paths: DataPaths, series: pl.DataFrame) -> pl.DataFrame:
    """`series` with a column `class`: `fleet/type metric unit`; empty where fleet, type or unit are not known."""
    path = dim_device_file(paths)
    known = (
        pl.read_parquet(path, columns=["device_id", "fleet", "type"], hive_partitioning=False)
        if path.exists()
        else pl.DataFrame(schema={"device_id": pl.String(), "fleet": pl.String(), "type": pl.String()})
    )
    prefix = pl.format("{}/{}", pl.col("fleet").fill_null(""), pl.col("type").fill_null("")).alias("class")
    named = series.select(pl.exclude("class")).join(
        known.select("device_id", prefix).unique("device_id", keep="first", maintain_order=True),
        on="device_id",
        how="left",
        maintain_order="left",
    )
    parts = [pl.col("class").fill_null("/"), *(pl.col(name).fill_null("") for name in ("metric", "unit"))]
    return named.rechunk().with_columns(pl.format("{} {} {}", *parts).alias("class"))
