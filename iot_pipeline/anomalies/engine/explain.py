"""One sentence for each flagged cell that a technician understands: `3.1 bar, usual for Tue 14:00 is 4 to 4.4 bar`.

Words only; nothing is decided here. Made for flagged cells, never for all: texts cost more than scores.
"""

from datetime import timedelta

import polars as pl

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def sentences(flagged: pl.DataFrame, step: timedelta, offset: timedelta = timedelta(0)) -> pl.Series:
    """Say why each row was flagged.

    Args:
        flagged: columns ts (UTC), value, detector, raw (score of the detector, in its own measure), expected_low,
            expected_high, usual_low and usual_high (of the hour of the week; null where unknown), and unit if known.
        step: of the grid.
        offset: of the site's clock from UTC.

    Returns:
        One text a row.
    """
    unit = pl.lit("")
    if "unit" in flagged.columns:
        unit = pl.when(pl.col("unit").is_null()).then(unit).otherwise(pl.format(" {}", "unit"))
    value = pl.format("{}{}", shown("value"), unit)
    band = pl.format("{} to {}{}", shown("expected_low"), shown("expected_high"), unit)
    usual = pl.when(pl.col("usual_low").is_not_null() & pl.col("usual_high").is_not_null()).then(
        pl.format(", usual for {} is {} to {}{}", _hour(offset), shown("usual_low"), shown("usual_high"), unit)
    )
    lasting = _duration(pl.col("raw") * step.total_seconds())
    said = {
        "stuck": pl.format("has not changed for {}, stays at {}", lasting, value),
        "gap": silence(pl.col("raw") * step.total_seconds()),
        "range_rule": pl.format("{} cannot be a measurement, usual is {}", value, band),
        "usual_range": pl.format("{} is outside of all that was usual, {}", value, band),
        "drift": pl.format("the last hours have drifted out of {}, where they were a day before; now {}", band, value),
        "rate_of_change": pl.format("{}, farther from the reading before than it moves at once: {}", value, band),
        "creep": pl.format("has drifted out of {} within a day, on average of the last readings; now {}", band, value),
        "step": pl.format("the level has moved from {} to {}", band, value),
        "shape": pl.format(
            "the last cycle is like none before it; now {}, the one most like it was at {}", value, band
        ),
        "noise": pl.format("changes far more from reading to reading than usual; now {}", value),
        "ridge_16": pl.format(
            "{}, moved away from the {} that the last readings let expect{}", value, band, usual.fill_null("")
        ),
    }
    sentence = pl.format("{}, expected from its last readings {}{}", value, band, usual.fill_null(""))
    for name, text in said.items():
        sentence = pl.when(pl.col("detector") == name).then(text).otherwise(sentence)
    return flagged.select(sentence.alias("reason"))["reason"]


def silence(seconds: pl.Expr) -> pl.Expr:
    """Of a gap that lasted so long."""
    return pl.format("nothing was read for {}", _duration(seconds))


def shown(column: str, digits: int = 4) -> pl.Expr:
    """A number as people read it: four significant digits, `21.3` and not `21.299999237`; `?` where it is unknown."""
    text = pl.col(column).cast(pl.Float64).round_sig_figs(digits).cast(pl.String).str.strip_suffix(".0")
    return text.fill_null("?")


def _hour(offset: timedelta) -> pl.Expr:
    local = pl.col("ts").dt.offset_by(f"{round(offset.total_seconds())}s")
    day = local.dt.weekday().cast(pl.Int32) - 1
    return pl.format("{} {}", day.replace_strict(range(7), DAYS, return_dtype=pl.String), local.dt.strftime("%H:00"))


def _duration(seconds: pl.Expr) -> pl.Expr:
    """`50 s`, `42 min`, `7 h`, `3 days`."""
    units = (("days", 86_400, 2 * 86_400), ("h", 3600, 7200), ("min", 60, 120), ("s", 1, 0))
    text = pl.lit("")
    for name, length, least in reversed(units):
        number = (seconds / length).round().cast(pl.Int64, strict=False)
        text = pl.when(seconds >= least).then(pl.format("{} {}", number, pl.lit(name))).otherwise(text)
    return text
