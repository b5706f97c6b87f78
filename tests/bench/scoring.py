"""Anomalies at size: one minute of a large fleet scored by all detectors, and a model learned from a large day.

The data is made here as the minute chain would publish it; reading it from files is part of what is measured. The
minute runs in a process of its own, so that the peak of memory is its own.
"""

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from iot_pipeline.anomalies.flags import score_minutes
from iot_pipeline.anomalies.models.fitting import fit_day
from iot_pipeline.anomalies.models.members import LEARNED, LOOKBACK, THRESHOLDS
from iot_pipeline.anomalies.models.model import SERIES_SCHEMA, SeriesState
from iot_pipeline.anomalies.models.store import Verdict, keep, promote
from iot_pipeline.clock import DAY, MINUTE, day_start
from iot_pipeline.files import write_parquet
from iot_pipeline.paths import DataPaths, minute_folder
from iot_pipeline.readings.schema import READING_SCHEMA
from iot_pipeline.readings.store import landed_name, open_root
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import DEVICE_MINUTE_SCHEMA, device_minute_tree
from iot_pipeline.trees import PARTITION_MINUTE
from tests.bench.figures import Figure

TODAY = date(2026, 11, 22)
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
PER_MINUTE = 12
DEVICES = int(os.environ.get("IOT_BENCH_DEVICES", "1000000"))
"""Devices of the minute; a figure is scaled to a million where these are fewer."""

DAY_SERIES = int(os.environ.get("IOT_BENCH_SERIES", "1160"))
"""Series of the day: 1,160 are 1.67 million rows of `device_minute`, 20 million readings."""

SILENT = 0.001
"""Share of series that say nothing in a minute."""

STRANGE = 0.0001
"""Share of series with a spike in the minute."""

INTAKE_DELAY = timedelta(seconds=10)
MILLION = 1_000_000
DAY_READINGS = 100_000_000


def scoring(folder: Path) -> list[Figure]:
    """All figures of this part."""
    return [*_minute(folder / "scoring"), *_day(folder / "learning")]


def _minute(data: Path) -> list[Figure]:
    settings = load_settings(data=data)
    _write_fleet(settings.paths)
    command = [sys.executable, "-m", "tests.bench.scoring", str(data)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900).stdout.split()
    wall, cpu, memory, flags = (float(word) for word in told[-4:])
    scale = MILLION / DEVICES
    readings = DEVICES * PER_MINUTE
    note = f"{DEVICES} devices x {PER_MINUTE} readings, {LOOKBACK} min look-back from files, {flags:.0f} flags"
    scaled = "" if scale == 1 else f"; measured {wall:.2f} s and {memory:.2f} GB, scaled by {scale:g}"
    return [
        Figure("score a minute of 1 M devices", wall * scale, "s", at_most=10, note=note + scaled),
        Figure("the same, CPU", cpu * scale, "s", note=f"{cpu / readings * 1e6:.2f} µs a reading"),
        Figure("the same, peak memory", memory * scale, "GB", at_most=4, note=f"{memory:.2f} GB as measured"),
    ]


def _day(data: Path) -> list[Figure]:
    settings = load_settings(data=data)
    rng = np.random.default_rng(2)
    yesterday = TODAY - DAY
    minutes = pl.Series([day_start(yesterday) + n * MINUTE for n in range(1440)], dtype=DEVICE_MINUTE_SCHEMA["minute"])
    values = 20 + rng.normal(0, 1, (1440, DAY_SERIES)).round(3)
    rows = _statistics(_names(DAY_SERIES), np.stack([values[0], values[1]], axis=1)).select(
        pl.exclude("minute", "mean")
    )
    frame = pl.concat(
        [rows.with_columns(minute=pl.lit(at), mean=pl.Series(one)) for at, one in zip(minutes, values, strict=True)]
    )
    with device_minute_tree(settings.paths).sealed.publishing(yesterday) as building:
        frame.select(pl.col(name).cast(kind) for name, kind in DEVICE_MINUTE_SCHEMA.items()).with_columns(
            pl.col("minute").alias(PARTITION_MINUTE)
        ).write_parquet(building / "part-000.parquet")
    start, cpu = time.perf_counter(), time.process_time()
    fitted = fit_day(settings, TODAY)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert fitted is not None
    readings = frame.height * PER_MINUTE
    scale = DAY_READINGS / readings
    note = f"{DAY_SERIES} series, {frame.height} minutes, {readings} readings in {wall:.1f} s; scaled by {scale:.3g}"
    return [
        Figure("learn from a day of 100 M readings", wall * scale, "s", at_most=600, note=note),
        Figure("the same, CPU", cpu * scale, "s", note=f"{cpu / frame.height * 1e6:.2f} µs a row of device_minute"),
    ]


def _write_fleet(paths: DataPaths) -> None:
    """An hour of statistics, a promoted model of the day before, and the readings of the minute."""
    rng = np.random.default_rng(1)
    names = _names(DEVICES)
    _write_hour(paths, names, rng)
    values = 20 + rng.normal(0, 1, (DEVICES, PER_MINUTE)).round(3)
    values[rng.random(DEVICES) < STRANGE, PER_MINUTE // 2] += 50
    spoke = rng.random(DEVICES) >= SILENT
    names, values = names.filter(pl.Series(spoke)), values[spoke]
    _write_minute(paths, NOW, _statistics(names, values))
    seconds = pl.Series([NOW + timedelta(seconds=5 * n) for n in range(PER_MINUTE)], dtype=READING_SCHEMA["event_ts"])
    readings = names.join(pl.DataFrame({"event_ts": seconds}), how="cross").with_columns(
        value=pl.Series(values.ravel()),
        received_at=pl.col("event_ts"),
        source=pl.lit("mqtt"),
        text=pl.lit(None),
        quality=pl.lit("good"),
        message_id=pl.lit("bench-1-0"),
    )
    # What is read within the intake delay after a minute began lands with the minute before.
    early = pl.col("event_ts") < NOW + INTAKE_DELAY
    for landed, rows in ((NOW - MINUTE, early), (NOW, ~early)):
        told = readings.filter(rows).select(pl.col(name).cast(kind) for name, kind in READING_SCHEMA.items())
        write_parquet(told, minute_folder(open_root(paths), NOW) / landed_name(landed))
    _promote_model(paths, names, rng)


def _write_hour(paths: DataPaths, names: pl.DataFrame, rng: np.random.Generator) -> None:
    """In each minute one series of a thousand says nothing, so that no two minutes name the same."""
    for lag in range(LOOKBACK, 0, -1):
        rows = _statistics(names, 20 + rng.normal(0, 1, (names.height, 2)).round(3))
        _write_minute(paths, NOW - lag * MINUTE, rows.filter(pl.Series(rng.random(names.height) >= SILENT)))


def _write_minute(paths: DataPaths, minute: datetime, rows: pl.DataFrame) -> None:
    told = rows.with_columns(minute=pl.lit(minute))
    device_minute_tree(paths).write(
        minute, told.select(pl.col(name).cast(kind) for name, kind in DEVICE_MINUTE_SCHEMA.items())
    )


def _promote_model(paths: DataPaths, names: pl.DataFrame, rng: np.random.Generator) -> None:
    """What some series taught, said of all with small differences: learning from all is measured by itself."""
    some = DataPaths(paths.root.with_name("some"))
    _write_hour(some, names.head(1000), rng)
    fitted = fit_day(load_settings(data=some.root), TODAY + DAY)
    assert fitted is not None
    usual = fitted.model.series.select(pl.col(*LEARNED, *THRESHOLDS).median()).row(0, named=True)
    series = names.with_columns(
        pl.lit(fitted.model.series["class"][0]).alias("class"),
        # An hour is too short a past; for measuring it counts.
        pl.lit(SeriesState.READY.value).alias("state"),
        pl.lit(LOOKBACK).alias("minutes"),
        *(pl.Series(name, number * rng.uniform(1, 1.001, names.height)) for name, number in usual.items()),
    ).select(pl.col(name).cast(kind) for name, kind in SERIES_SCHEMA.items())
    manifest = msgspec.structs.replace(fitted.manifest, day=TODAY)
    keep(paths, replace(fitted.model, series=series), manifest)
    promote(paths, manifest, (Verdict(name="bench", passed=True, said="made for measuring"),))


def _names(count: int) -> pl.DataFrame:
    return pl.DataFrame({"device_id": [f"meter-{n:07d}" for n in range(count)]}).with_columns(
        metric=pl.lit("rate"), unit=pl.lit("kW")
    )


def _statistics(names: pl.DataFrame, values: np.ndarray) -> pl.DataFrame:
    """Of `values`, (series, readings), told as of PER_MINUTE readings."""
    return names.with_columns(
        mean=pl.Series(values.mean(axis=1)),
        count=pl.lit(PER_MINUTE),
        min=pl.Series(values.min(axis=1)),
        max=pl.Series(values.max(axis=1)),
        stddev=pl.Series(values.std(axis=1, ddof=1)),
        first=pl.Series(values[:, 0]),
        last=pl.Series(values[:, -1]),
        p50=pl.Series(np.quantile(values, 0.5, axis=1)),
        p95=pl.Series(np.quantile(values, 0.95, axis=1)),
        minute=pl.lit(NOW),
    )


def _score(data: Path) -> None:
    """In the process of its own: seconds, CPU seconds, gigabytes, flags."""
    settings = load_settings(data=data)
    start, cpu = time.perf_counter(), time.process_time()
    report = score_minutes(settings, NOW, NOW)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(wall, cpu, memory, report.flags)


if __name__ == "__main__":
    _score(Path(sys.argv[1]))
