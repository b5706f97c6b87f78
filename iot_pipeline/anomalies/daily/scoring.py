"""Flags of one day: learned from the hours before it, never from the day itself. Pure; files are `flags.py`'s."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from iot_pipeline.anomalies.daily.members import NAMES, UNION
from iot_pipeline.anomalies.detectors.base import no_flags, shown_unit
from iot_pipeline.anomalies.detectors.numbering import SERIES
from iot_pipeline.anomalies.engine.explain import shown
from iot_pipeline.anomalies.engine.grid import Grid
from iot_pipeline.anomalies.engine.levels import UnionModel
from iot_pipeline.anomalies.engine.scale import Scale
from iot_pipeline.anomalies.engine.union import USUAL_SPREADS
from iot_pipeline.stats.relations import FLAGS_SCHEMA

REVISION = 2
"""Of all code that learns and scores days: one more whenever the same hours give other flags."""

NO_FACTORS = pl.DataFrame(schema={"detector": pl.String(), "class": pl.String(), "factor": pl.Float64()})
"""Nobody said anything."""


def day_flags(
    grid: Grid, past: int, *, classes: Sequence[str], budget: float, factors: pl.DataFrame = NO_FACTORS
) -> pl.DataFrame:
    """Flag the hours of `grid` from column `past` on; what lies before is learned from.

    An alert of the union is flagged from its first hour to the last one without a break that is still above a
    threshold; `day_drift` or `day_shape` is told by the detector that began it. An hour's flag depends on the hours up
    to it only.

    Args:
        grid: means of hours.
        past: columns that are learned from.
        classes: class of each series: they share shapes, weights and what one series alone saw too little of.
        budget: false alerts allowed a day and series.
        factors: columns detector, class, factor: what false alarms that people told of raise thresholds by, on their
            logarithms.

    Returns:
        FLAGS_SCHEMA by series and time; `minute` and `event_ts` are the begin of the hour, `value` is its mean.
    """
    model = _raised(UNION.fit(grid.head(past), budget=budget, classes=classes), factors)
    scored = UNION.score(grid, model, slice(past, grid.width))
    return _told(_lasting(scored.with_columns(_usual(grid, model, past))))


def _raised(model: UnionModel, factors: pl.DataFrame) -> UnionModel:
    table = model.thresholds
    for member, name in NAMES.items():
        own = factors.filter(pl.col("detector") == name).select("class", "factor")
        table = table.join(own, on="class", how="left", maintain_order="left").with_columns(
            ((pl.col(member).log1p() * pl.col("factor").fill_null(1.0)).exp() - 1).alias(member)
        )
        table = table.drop("factor")
    return replace(model, thresholds=table)


def _lasting(scored: pl.DataFrame) -> pl.DataFrame:
    """The hours of each alert, with the detector that began it; hours above a threshold without a begin are no news."""
    mine = pl.col("detector").is_in(list(NAMES))
    stretch = (pl.col("level") < 1).cum_sum().over(SERIES)
    return (
        scored.with_columns(pl.when(mine).then("detector").alias("began"), stretch.alias("stretch"))
        .with_columns(pl.col("began").forward_fill().over(*SERIES, "stretch"))
        .filter(pl.col("level") >= 1, pl.col("began").is_not_null(), pl.col("value").is_not_null())
    )


def _usual(grid: Grid, model: UnionModel, past: int) -> list[pl.Series]:
    """What was usual at the hour of each cell, in the unit of the series: the band of what has no band of its own."""
    part = Grid(grid.series, grid.start + past * grid.step, grid.step, grid.values[:, past:])
    middle, spread = UNION.band.band(part, model.detectors[UNION.band.name])
    scale = Scale.from_table(model.scale)
    bounds = {"usual_low": middle - USUAL_SPREADS * spread, "usual_high": middle + USUAL_SPREADS * spread}
    return [
        pl.Series(name, (bound * scale.spread + scale.level).ravel(), pl.Float64).fill_nan(None)
        for name, bound in bounds.items()
    ]


def _told(flagged: pl.DataFrame) -> pl.DataFrame:
    if flagged.is_empty():
        return no_flags()
    flagged = flagged.with_columns(
        pl.col("began").replace_strict(dict(NAMES), return_dtype=pl.String).alias("detector"),
        pl.lit(f"{REVISION}").alias("detector_version"),
        pl.col("ts").alias("minute"),
        pl.col("ts").alias("event_ts"),
        pl.col("level").alias("score"),
        pl.coalesce("expected_low", "usual_low").alias("expected_low"),
        pl.coalesce("expected_high", "usual_high").alias("expected_high"),
    ).rechunk()
    return flagged.with_columns(_reason().alias("reason")).select(
        pl.col(name).cast(kind) for name, kind in FLAGS_SCHEMA.items()
    )


def _reason() -> pl.Expr:
    """One sentence by the detector that began the alert."""
    value = pl.format("{}{}", shown("value"), shown_unit())
    band = pl.format("{} to {}{}", shown("expected_low"), shown("expected_high"), shown_unit())
    shape = pl.format("the last 24 hours look like none of the days before; {} in this hour, usual is {}", value, band)
    said = {
        "drift": pl.format("the last 12 hours moved away from the same hours of the day before; now {}", value),
        "usual_week": pl.format("{} on average in this hour, the same hour of other weeks lets expect {}", value, band),
        "window_kmeans": shape,
        "window_forest": shape,
    }
    sentence = pl.format("{} on average in this hour, the hours and the day before let expect {}", value, band)
    for name, text in said.items():
        sentence = pl.when(pl.col("began") == name).then(text).otherwise(sentence)
    return sentence
