"""K-means with two clusters on the values of one minute of one series: a named baseline.

This is how the weather stations' former system looked for anomalies. K-means always finds two
clusters, so the rule here asks whether the smaller one is small and far enough away. It finds lone
spikes, also while the look-back of `rolling_z` is disturbed, and is blind to all that lasts a minute.
"""

from dataclasses import asdict, dataclass

import polars as pl

from iot_pipeline.anomalies.detectors.base import ByItself, flags_of, no_flags, shown, shown_unit, version_of
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.detectors.resolution import decimal_places, spread_floor
from iot_pipeline.anomalies.detectors.window import ScoringWindow

DEVICE_MINUTE = ("minute", *SERIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class KMeansMinute(ByItself):
    """Flags the smaller of two clusters of a minute's values if it is small and far away.

    The rule: of `min_readings` or more, at most `max_share` are in the smaller cluster, and the
    means of the clusters are at least `min_separation` within-cluster standard deviations apart
    (never less than half a step of the signal's resolution).

    Args:
        metric: only series of this metric are looked at.
        unit: and only in this unit; None selects those without a unit.
        min_readings: a minute with fewer readings is not looked at.
        max_share: largest share of the readings that can be unusual.
        min_separation: distance between the means, in standard deviations within the clusters.
        relative_floor: smallest believable standard deviation as a share of the level.
    """

    metric: str = "temperature"
    unit: str | None = "°C"
    min_readings: int = 20
    max_share: float = 0.1
    min_separation: float = 6.0
    relative_floor: float = 1e-6

    def __post_init__(self) -> None:
        if self.min_readings < 2 or not 0 < self.max_share < 0.5 or self.min_separation <= 0:
            raise ValueError(
                f"{self}: min_readings must be 2 or more, max_share within 0 to 0.5, min_separation above 0"
            )

    @property
    def name(self) -> str:
        """Stable name of the rule."""
        return "kmeans_minute"

    @property
    def version(self) -> str:
        """Revision of this code and digest of the parameters."""
        return version_of(1, asdict(self))

    def score(self, window: ScoringWindow) -> pl.DataFrame:
        """Flag the readings of small, far clusters. `score` is separation / `min_separation`."""
        own = (pl.col("metric") == self.metric) & pl.col("unit").eq_missing(pl.lit(self.unit, pl.String))
        readings = window.numbers(window.minutes.filter(own)["device_id"]).filter(own)
        if readings.is_empty():
            return no_flags()
        clusters = two_means(readings.filter(pl.len().over(DEVICE_MINUTE) >= self.min_readings))
        clusters = clusters.with_columns(pl.Series("places", decimal_places(clusters["value"].to_numpy())))
        clusters = clusters.with_columns(pl.col("places").max().over("group"))
        floor = spread_floor(clusters["places"].to_numpy(), clusters["value"].to_numpy(), self.relative_floor)
        usual = pl.col("value").filter(pl.col("is_low") != pl.col("low_is_small"))
        return flags_of(
            self,
            clusters.with_columns(
                usual.min().over("group").alias("expected_low"),
                usual.max().over("group").alias("expected_high"),
                (pl.col("distance") / pl.max_horizontal("spread", pl.Series(floor)) / self.min_separation).alias(
                    "score"
                ),
            ).filter(
                pl.col("is_low") == pl.col("low_is_small"),
                pl.col("smaller") <= self.max_share * pl.col("readings"),
                pl.col("score") >= 1.0,
            ),
            pl.format(
                "{}{} is {}apart from the other {} of this minute, {} to {}{}",
                shown("value"),
                shown_unit(),
                pl.when(pl.col("smaller") > 1).then(pl.format("one of {} values ", "smaller")).otherwise(pl.lit("")),
                pl.col("readings") - pl.col("smaller"),
                shown("expected_low"),
                shown("expected_high"),
                shown_unit(),
            ),
        )


def two_means(readings: pl.DataFrame) -> pl.DataFrame:
    """Split the values of each device-minute into the two clusters with the least sum of squares.

    On a line the clusters of the optimum are neighbours in the order of the values, so trying every cut of
    the sorted values finds it exactly; running sums make that one pass over all device-minutes.
    (A general K-means starts from random centres, may stop at a worse split, and takes milliseconds
    for each device-minute.)

    Args:
        readings: columns of `ScoringWindow.numbers`, at least two readings for each device-minute.

    Returns:
        The readings sorted by device-minute and value, with: group (number of the device-minute), readings
        (in the device-minute), is_low (in the cluster of the lower values), low_is_small, smaller (size of the
        smaller cluster), distance (between the means), spread (standard deviation within the clusters).
    """
    value, group, rank, size = pl.col("value"), "group", pl.col("rank"), pl.col("readings")
    low_sum, is_low = pl.col("low_sum"), pl.col("is_low")
    return (
        readings.sort(*DEVICE_MINUTE, "value", "event_ts")
        .with_columns(pl.struct(DEVICE_MINUTE).rle_id().alias(group))
        .with_columns(
            # From the lowest value on: sums of squares of values far from zero would lose their digits.
            (value - value.first().over(group)).alias("height"),
            pl.int_range(1, pl.len() + 1).over(group).alias("rank"),
            pl.len().over(group).cast(pl.Int64).alias("readings"),
        )
        # Running sums and their last value, not sum(): the same order of additions in every window.
        .with_columns(pl.col("height").cum_sum().over(group).alias("low_sum"))
        .with_columns((low_sum.last().over(group) - low_sum).alias("high_sum"))
        .with_columns(
            pl.when(rank < size)
            .then(low_sum**2 / rank + pl.col("high_sum") ** 2 / (size - rank))
            .otherwise(-1.0)
            .alias("between")
        )
        .with_columns((rank <= pl.col("between").arg_max().over(group) + 1).alias("is_low"))
        .with_columns(
            is_low.sum().over(group).cast(pl.Int64).alias("lows"),
            low_sum.filter(is_low).last().over(group).alias("low_total"),
            pl.col("high_sum").filter(is_low).last().over(group).alias("high_total"),
        )
        .with_columns(
            (pl.col("low_total") / pl.col("lows")).alias("low_mean"),
            (pl.col("high_total") / (size - pl.col("lows"))).alias("high_mean"),
        )
        .with_columns(
            (pl.col("height") - pl.when(is_low).then("low_mean").otherwise("high_mean")).pow(2).alias("square"),
            (pl.col("high_mean") - pl.col("low_mean")).alias("distance"),
            (pl.col("lows") < size - pl.col("lows")).alias("low_is_small"),
            pl.min_horizontal("lows", size - pl.col("lows")).alias("smaller"),
        )
        .with_columns(
            (pl.col("square").cum_sum().over(group).last().over(group) / (size - 2).clip(1)).sqrt().alias("spread")
        )
        .select(*readings.columns, group, "readings", "is_low", "low_is_small", "smaller", "distance", "spread")
    )
