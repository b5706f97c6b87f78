"""Small pictures for the metadata of an asset, as PNG. What they show is computed by the marts."""

import io
from datetime import date

import polars as pl

from iot_pipeline.paths import DataPaths
from iot_pipeline.stats.relations import dim_device_file, published_file


def readings_per_hour(paths: DataPaths, day: date) -> bytes:
    """Numeric readings of each UTC hour of `day`, one colour a fleet, from the published `device_hour`.

    Returns:
        A PNG of about 10 kB. A day without rows gives empty axes.
    """
    # Slow to import, and wanted by day runs only. No pyplot: it would look for a display.
    from matplotlib.figure import Figure  # noqa: PLC0415

    hours = pl.scan_parquet(published_file(paths, "device_hour", day), hive_partitioning=False)
    fleets = pl.scan_parquet(dim_device_file(paths), hive_partitioning=False).select("device_id", "fleet")
    counts = (
        hours.join(fleets, on="device_id", how="left")
        .with_columns(pl.col("fleet").fill_null("unknown"))
        .group_by("fleet", hour=pl.col("hour").dt.hour())
        .agg(pl.col("count").sum())
        .sort("fleet", "hour")
        .collect()
    )
    figure = Figure(figsize=(6, 2.2), dpi=90, layout="constrained")
    axes = figure.subplots()
    below = [0] * 24
    for (fleet,), rows in counts.partition_by("fleet", as_dict=True, maintain_order=True).items():
        by_hour = dict(zip(rows["hour"], rows["count"], strict=True))
        heights = [by_hour.get(hour, 0) for hour in range(24)]
        axes.bar(range(24), heights, bottom=below, label=str(fleet), width=0.9)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_xlim(-0.5, 23.5)
    axes.set_xlabel(f"hour of {day} (UTC)")
    axes.set_ylabel("readings")
    axes.spines[["top", "right"]].set_visible(False)
    if counts.height:
        figure.legend(loc="outside right center", fontsize="small", frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()
