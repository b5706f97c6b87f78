"""How often series speak, by their statistics of days gone by, so that events of slow ones are counted in readings.

What follows from it for events is `event.py`. Events are not looked at here, and no model is needed.
"""

from datetime import date, timedelta

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.clock import DAY
from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import DEVICE_DAY_SCHEMA, published_file
from iot_pipeline.trees import Schema

SETTLED = 2
"""Days after which the statistics of a day are there whenever somebody asks: those of yesterday come after midnight,
and an event of today must not depend on whether they have come already."""

LOOK_BACK = 7
"""Days that are looked at: machines that rest at the weekend have a pace on Monday."""

MOST_INTERVAL = timedelta(hours=1)
"""Longer intervals count as that, which bounds how far apart flags of one event are."""

PACE_SCHEMA: Schema = {
    **{name: DEVICE_DAY_SCHEMA[name] for name in SERIES},
    "day": pl.Date(),
    "interval": pl.Duration(),
}

UNKNOWN = pl.DataFrame(schema=PACE_SCHEMA)
"""The pace of nobody."""


def paces(paths: DataPaths, series: pl.DataFrame, first: date, last: date) -> pl.DataFrame:
    """Usual interval between readings, for each day `first` to `last` (UTC), both included.

    A day has the interval of the busiest day among the `LOOK_BACK` that lie `SETTLED` days and more before it: an
    outage, or a first day that was only half a day, makes no series slow. Nothing younger is looked at.

    Args:
        paths: where the statistics are.
        series: columns SERIES.
        first: first day.
        last: last day.

    Returns:
        PACE_SCHEMA, one row a series and day; series that did not speak on these days are missing.
    """
    days = [first + offset * DAY for offset in range((last - first).days + 1)]
    learned = [first + offset * DAY for offset in range(1 - SETTLED - LOOK_BACK, (last - first).days + 1 - SETTLED)]
    files = [path for day in learned if (path := published_file(paths, "device_day", day)).exists()]
    if not files or series.is_empty():
        return UNKNOWN
    known = (
        pl.scan_parquet(files, hive_partitioning=False)
        .select("day", *SERIES, "count")
        .filter(pl.col("device_id").is_in(series["device_id"].unique().implode()), pl.col("count") > 0)
        .join(series.select(SERIES).unique().lazy(), on=SERIES, how="semi", nulls_equal=True)
        .rename({"day": "spoke_on"})
        .collect()
    )
    age = (pl.col("day") - pl.col("spoke_on")).dt.total_days()
    shortest = pl.duration(microseconds=DAY // timedelta(microseconds=1) // pl.col("count").max())
    return (
        known.join(pl.DataFrame({"day": days}, schema={"day": pl.Date()}), how="cross")
        .filter(age.is_between(SETTLED, SETTLED + LOOK_BACK - 1))
        .group_by(*SERIES, "day")
        .agg(pl.min_horizontal(shortest, pl.lit(MOST_INTERVAL)).alias("interval"))
        .select(pl.col(name).cast(kind) for name, kind in PACE_SCHEMA.items())
    )


def with_interval(frame: pl.DataFrame, pace: pl.DataFrame, at: str = "opened_at") -> pl.DataFrame:
    """`frame` with a last column `interval` as of the day of its instants `at`; null where nothing is known.

    Args:
        frame: SERIES and the column `at` (UTC).
        pace: PACE_SCHEMA.
        at: name of the column with the instants.
    """
    keys = [*SERIES, "day"]
    return (
        frame.with_columns(pl.col(at).dt.date().alias("day"))
        .join(pace, on=keys, how="left", nulls_equal=True, maintain_order="left")
        .drop("day")
    )
