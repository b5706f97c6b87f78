"""Figures of vibration: of waveforms, and the zones of severity that velocities fall into.

The borders of the zones are data with their source (dbt seed `vibration_zone`); no number of a standard is here.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from iot_pipeline.errors import ConfigurationError
from iot_pipeline.paths import DBT_PROJECT

Array = NDArray[np.float64]

ZONE_TABLE = DBT_PROJECT / "seeds" / "vibration_zone.csv"
BORDERS = ("zone_b_from", "zone_c_from", "zone_d_from")
STRICTEST = ("group_2", "rigid")
"""Class with the lowest borders: for a machine that does not tell its own, as in the mart `machine_vibration_hour`."""


@dataclass(frozen=True, slots=True)
class Waveform:
    """Figures of bursts of samples, each (...), in the unit of the samples; ratios have none.

    Attributes:
        rms: root mean square.
        peak: largest magnitude.
        crest: peak / rms; 1.414 of a sine. It rises early in the life of a fault and falls again when damage
            spreads (Beckhoff TF3600 documentation, condition monitoring), so a fall is no recovery.
        kurtosis: fourth central moment over the square of the second; 3 for Gaussian noise, 1.5 for a sine.
    """

    rms: Array
    peak: Array
    crest: Array
    kurtosis: Array


def waveform(samples: Array) -> Waveform:
    """Figures of bursts, (..., samples), without a constant offset (take it off first where a sensor has one).

    NaN where a sample is missing or there is none; crest and kurtosis also where nothing moves.
    """
    count = samples.shape[-1]
    if not count:
        nothing = np.full(samples.shape[:-1], np.nan)
        return Waveform(nothing, nothing, nothing, nothing)
    rms = np.sqrt((samples**2).mean(axis=-1))
    peak = np.abs(samples).max(axis=-1)
    away = samples - samples.mean(axis=-1, keepdims=True)
    # In units of the largest deviation: fourth powers of small samples would vanish.
    size = np.abs(away).max(axis=-1, keepdims=True)
    moves = (size > 0)[..., 0]
    away = away / np.where(size > 0, size, 1.0)
    second, fourth = (away**2).mean(axis=-1), (away**4).mean(axis=-1)
    crest = np.where(rms > 0, peak / np.where(rms > 0, rms, 1.0), np.nan)
    return Waveform(rms, peak, crest, np.where(moves, fourth / np.where(moves, second, 1.0) ** 2, np.nan))


def read_zones(path: Path = ZONE_TABLE) -> pl.DataFrame:
    """The table of zones: machine_group, support, zone_b_from, zone_c_from, zone_d_from (mm/s rms of velocity).

    The same file that dbt seeds: one truth for marts and scoring. Its source is told in `vibration_zone.yml`.

    Raises:
        ConfigurationError: the file is missing, or borders do not rise.
    """
    try:
        zones = pl.read_csv(path, schema_overrides=dict.fromkeys(BORDERS, pl.Float64))
        rising = zones.select(
            pl.col(BORDERS[0]) > 0, pl.col(BORDERS[1]) > pl.col(BORDERS[0]), pl.col(BORDERS[2]) > pl.col(BORDERS[1])
        )
    except (OSError, pl.exceptions.PolarsError) as error:
        raise ConfigurationError(f"{path}: {error}; expected machine_group, support, {', '.join(BORDERS)}") from error
    if not all(rising.select(pl.all().all()).row(0)):
        raise ConfigurationError(f"{path}: the borders of the zones must rise from B to D in every row")
    return zones


def severity(velocities: pl.DataFrame, classes: pl.DataFrame, zones: pl.DataFrame) -> pl.DataFrame:
    """The zone of each velocity; a border belongs to the higher zone.

    Never for accelerations: g must be integrated to velocity, 10 to 1000 Hz, before it is compared.

    Args:
        velocities: columns device_id, value (mm/s rms) and any others.
        classes: columns device_id, machine_group, support, as far as machines tell them.
        zones: as of `read_zones`.

    Returns:
        `velocities` with zone (A to D; null without a value). Unknown classes count as STRICTEST.
    """
    value = pl.col("value")
    reached = [value >= pl.col(name) for name in BORDERS]
    zone = pl.when(reached[2]).then(pl.lit("D")).when(reached[1]).then(pl.lit("C")).when(reached[0]).then(pl.lit("B"))
    return (
        with_borders(velocities, classes, zones)
        .with_columns(pl.when(value.is_finite()).then(zone.otherwise(pl.lit("A"))).alias("zone"))
        .drop(BORDERS)
    )


def with_borders(velocities: pl.DataFrame, classes: pl.DataFrame, zones: pl.DataFrame) -> pl.DataFrame:
    """`velocities` with BORDERS of the machine's class, as of `severity`; unknown classes have those of STRICTEST."""
    told = classes.join(zones, on=["machine_group", "support"], how="inner")
    group, support = STRICTEST
    strictest = zones.filter((pl.col("machine_group") == group) & (pl.col("support") == support))
    return velocities.join(
        told.select("device_id", *BORDERS), on="device_id", how="left", maintain_order="left"
    ).with_columns(pl.col(name).fill_null(strictest[name][0]) for name in BORDERS)
