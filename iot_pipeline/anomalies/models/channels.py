"""Machines with several channels: which series are judged together, and the table of what was learned of them.

A device with three or more numeric series is a machine. Where devices have fewer, those of one parent are one: a
Sparkplug device is often a single sensor, and its edge node the machine. How channels are compared is in
`anomalies/channels/minutes.py`, learning in `channels_learning.py`, scoring in `scoring/channels.py`.
"""

from collections.abc import Iterator

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.models.history import CELLS_AT_ONCE, History
from iot_pipeline.anomalies.models.members import MOSTLY
from iot_pipeline.anomalies.models.model import SeriesState
from iot_pipeline.trees import Schema

LEAST_CHANNELS = 3
"""Of two channels that part, nobody can say which one left the other."""

MOST_CHANNELS = 32
"""A device with more is judged in parts, in order of its metrics. So many siblings are no longer one machine."""

MOST_BETWEEN = 1000
"""Devices, in the order of names, among which siblings are looked for: they are read and scored together."""

LEAST_TOGETHER = 0.8
"""Share of the minutes of its machine's busiest channel that a channel must have spoken in."""

LEARNED = ("centre", "spread", "usual", "lowest", "highest")
"""Columns of what was learned of each channel."""

MACHINE = ("machine", "siblings", "part")

CHANNEL_SCHEMA: Schema = {
    "number": pl.Int64(),
    "machine": pl.String(),
    "channel": pl.Int64(),
    "device_id": pl.String(),
    "metric": pl.String(),
    "unit": pl.String(),
    **dict.fromkeys(LEARNED, pl.Float64()),
    "threshold": pl.Float64(),
    "weights": pl.List(pl.Float64()),
}
"""One row a channel of a machine, sorted by number and channel. Machines are numbered; `machine` is a device, or the
parent of several. Centre, spread, lowest and highest are in the unit of the series; weights (one for each channel of
the machine, in order) and usual are in spreads; the threshold, in `usual`, is that of the machine."""


def machines_of(series: pl.DataFrame) -> pl.DataFrame:
    """The channels of machines among what was learned of single series.

    Left out are running totals, what is still learned, and states, which rest nearly always.

    Args:
        series: columns SERIES, class, state, minutes, resting_share; one row a series.

    Returns:
        Columns number, machine, channel, SERIES, class; sorted by number and channel.
    """
    usable = series.filter(
        (pl.col("state") == SeriesState.READY.value) & (pl.col("resting_share") <= MOSTLY),
    ).select(*SERIES, "class", "minutes", pl.col("device_id").rank("dense").alias("order"))
    enough = pl.len().over("device_id") >= LEAST_CHANNELS
    parent = pl.col("device_id").str.extract(r"^(.+)/[^/]*$")
    named = usable.with_columns(
        pl.when(enough).then("device_id").otherwise(parent).alias("machine"), (~enough).alias("siblings")
    ).drop_nulls("machine")
    together = named.filter(
        pl.col("minutes") >= LEAST_TOGETHER * pl.col("minutes").max().over("machine", "siblings")
    ).sort("machine", "siblings", *SERIES)
    count, place = pl.len().over("machine", "siblings"), pl.int_range(pl.len()).over("machine", "siblings")
    near = (pl.col("order").max() - pl.col("order").min() < MOST_BETWEEN).over("machine", "siblings")
    # Parts as equal as can be: 33 channels are 17 and 16.
    parts = (count + MOST_CHANNELS - 1) // MOST_CHANNELS
    chosen = (
        together.with_columns((place * parts // count).alias("part"), count.alias("count"))
        .filter(~pl.col("siblings") | ((pl.col("count") <= MOST_CHANNELS) & near))
        .filter(pl.len().over(MACHINE) >= LEAST_CHANNELS)
    )
    return chosen.with_columns(
        (pl.struct(MACHINE).rle_id().cast(pl.Int64)).alias("number"),
        pl.int_range(pl.len(), dtype=pl.Int64).over(MACHINE).alias("channel"),
    ).select("number", "machine", "channel", *SERIES, "class")


def in_parts(channels: pl.DataFrame, minutes: int) -> Iterator[pl.DataFrame]:
    """Some machines of `channels` (a column `number`, sorted by it) at a time: so many that grids fit into memory."""
    part = channels["number"].rle_id().to_frame("machine").with_row_index("row")
    size = max(CELLS_AT_ONCE // max(minutes, 1), MOST_CHANNELS)
    # The machine goes where its first row falls.
    begins = part.group_by("machine", maintain_order=True).agg(pl.col("row").first() // size)
    for _, rows in part.join(begins.rename({"row": "part"}), on="machine", maintain_order="left").group_by(
        "part", maintain_order=True
    ):
        yield channels[rows["row"]]


def rows_of(past: History, channels: pl.DataFrame) -> pl.DataFrame:
    """The minutes of these channels, and of devices between them."""
    first, last = (pl.lit(name, pl.String) for name in (channels["device_id"].min(), channels["device_id"].max()))
    return past.rows.filter(pl.col("device_id").is_between(first, last)).collect()
