"""Point reads of history: hours and single readings of a sealed day of one device out of a million.

The files are written here and asked about in a process of its own: what a process kept of writing a hundred million
rows is no part of a question's cost.
"""

import multiprocessing
import os
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import polars as pl

from iot_pipeline.paths import DataPaths
from iot_pipeline.sealed_days import VERSION_FORMAT
from iot_pipeline.serving.history import device_history
from iot_pipeline.serving.readings import device_readings
from iot_pipeline.stats.relations import prepare_relations, published_file, sealed_readings
from iot_pipeline.stats.sealing import ROW_GROUP
from tests.bench.figures import Figure, percentile

DEVICES_OF_A_DAY = 1_000_000
READINGS_OF_A_DAY = 48
QUESTIONS = 1_000


def history(folder: Path) -> list[Figure]:
    """Hours and single readings of a day of one device out of many, from the files of that day."""
    day = datetime(2026, 11, 20, tzinfo=UTC)
    _write(DataPaths(folder), day)
    os.sync()  # The files of a day that is over were written long ago.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:
        return other.submit(_asked, folder, day).result()


def _write(paths: DataPaths, day: datetime) -> None:
    """The files of the day, as the day chain would publish them."""
    prepare_relations(paths)
    path = published_file(paths, "device_hour", day.date())
    path.parent.mkdir(parents=True)
    duckdb.execute(
        f"""copy (
            select timestamptz '2026-11-20 00:00:00+00' + to_hours(cast(i % 24 as int)) as hour,
                'd-' || lpad(cast(i // 72 as varchar), 7, '0') as device_id,
                'm' || (i // 24) % 3 as metric, 'C' as unit,
                cast(60 as bigint) as count, random() as min, random() as max, random() as mean, random() as stddev,
                random() as first, random() as last, random() as p50, random() as p95
            from range({DEVICES_OF_A_DAY * 72}) as t(i)
        ) to '{path}' (format parquet, compression zstd)"""
    )
    sealed = (
        sealed_readings(paths).root / f"dt={day:%Y-%m-%d}" / f"v={day.strftime(VERSION_FORMAT)}" / "part-000.parquet"
    )
    sealed.parent.mkdir(parents=True)
    duckdb.execute(
        f"""copy (
            select
                timestamptz '{day.isoformat()}' + to_minutes(cast(i % {READINGS_OF_A_DAY} * 30 as int)) as event_ts,
                event_ts + to_seconds(1) as received_at, 'mqtt' as source,
                'd-' || lpad(cast(i // {READINGS_OF_A_DAY} as varchar), 7, '0') as device_id, 'm0' as metric,
                random() as value, cast(null as varchar) as text, 'C' as unit, 'good' as quality,
                'collector-1-17953352' || lpad(cast(hash(i) % 100000000 as varchar), 8, '0') || '-7' as message_id,
                event_ts as landing_minute
            from range({DEVICES_OF_A_DAY * READINGS_OF_A_DAY}) as t(i)
        ) to '{sealed}' (format parquet, compression zstd, row_group_size {ROW_GROUP})"""
    )


def _asked(folder: Path, day: datetime) -> list[Figure]:
    paths, until = DataPaths(folder), day + timedelta(days=1)
    questions: list[tuple[str, int, Callable[[str], pl.DataFrame]]] = [
        ("hours", 72, lambda device: device_history(paths, device, "hour", day, until)),
        ("readings", READINGS_OF_A_DAY, lambda device: device_readings(paths, device, day, until)),
    ]
    figures = []
    for name, expected, question in questions:
        milliseconds, used = [], time.process_time()
        for _ in range(QUESTIONS):
            device = f"d-{random.randrange(DEVICES_OF_A_DAY):07d}"
            began = time.perf_counter()
            rows = question(device).height
            milliseconds.append((time.perf_counter() - began) * 1e3)
            assert rows == expected
        note = f"of {DEVICES_OF_A_DAY:,} devices; CPU {(time.process_time() - used) / QUESTIONS * 1e3:.1f} ms each"
        figures += [
            Figure(f"{name} of one device's sealed day, p50", percentile(milliseconds, 0.5), "ms", None, note),
            Figure(f"{name} of one device's sealed day, p99", percentile(milliseconds, 0.99), "ms", 20),
        ]
    return figures
