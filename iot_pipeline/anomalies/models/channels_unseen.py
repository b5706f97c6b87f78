"""What the channels of machines were flagged for on a day that their model has not seen; known faults are not left out.

What single series were flagged for, and what is made of both, is in `unseen.py`.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.models.channels import in_parts, rows_of
from iot_pipeline.anomalies.models.history import History
from iot_pipeline.anomalies.models.minute_grid import minute_grid
from iot_pipeline.anomalies.models.scoring.channels import BEFORE, LearnedChannels


@dataclass(frozen=True, slots=True)
class FlaggedChannels:
    """Flags of multichannel machines.

    Attributes:
        cells: SERIES, begin (UTC): each flagged minute.
        alerts: the same of the first flag of each alert of a machine.
    """

    cells: pl.DataFrame
    alerts: pl.DataFrame


def flagged_channels(scorer: LearnedChannels, past: History, first: datetime, *, quiet: timedelta) -> FlaggedChannels:
    """Score all minutes of `past` from `first` (UTC) on; flags of a machine at most `quiet` apart are one alert."""
    found = [scorer.channels.select(*SERIES).clear().with_columns(begin=pl.lit(first), new=pl.lit(value=True))]
    for part in in_parts(scorer.channels, past.minutes):
        flags = scorer.flags(minute_grid(rows_of(past, part), part, first - BEFORE, past.last), part)
        machines = flags.join(part.select(*SERIES, "number"), on=SERIES, nulls_equal=True).sort("number", "minute")
        pause = pl.col("minute").diff().over("number")
        found.append(
            machines.select(
                *SERIES, pl.col("minute").alias("begin"), (pause > quiet).fill_null(value=True).alias("new")
            )
        )
    flagged = pl.concat(found, how="vertical_relaxed")
    return FlaggedChannels(flagged.drop("new"), flagged.filter("new").drop("new"))


def of_whole_machines(spans: pl.DataFrame, channels: pl.DataFrame) -> pl.DataFrame:
    """`spans` (SERIES, begin, end) of each channel of the machines that they touch: one that is off drags others."""
    own = channels.select("number", *SERIES)
    touched = spans.join(own, on=SERIES, nulls_equal=True).select("number", "begin", "end").unique()
    return touched.join(own, on="number").select(*SERIES, "begin", "end")
