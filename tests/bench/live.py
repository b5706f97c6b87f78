"""The live layer under load: a million devices of three metrics each, a day of hours, 150,000 readings a second.

Batches are landed by the product's own writer in a process of its own; the layer runs in another one, where two
threads ask for one customer at a time. CPU and memory are those of the layer's process, questions included.
"""

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

import msgspec
import numpy as np
import polars as pl
import psutil
import pyarrow.parquet as pq

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.live.layer import LiveLayer
from iot_pipeline.live.model import LiveState
from iot_pipeline.readings.build import intake_tree
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import DEVICE_HOUR_SCHEMA, device_minute_tree, prepare_relations, published_file
from tests.bench.figures import Figure, percentile

DEVICES = 1_000_000
PER_MESSAGE = 100
RATE = 150_000
METRICS = ("power", "energy", "voltage")
UNITS = ("kW", "kWh", "V")
SECONDS = 40.0
LAND_EVERY = 2.0
MEMORY_MB = 3_450
_PLACEHOLDER = b"1111111111111"
_MARKER = "marker"
_MAPPING = """
name: load
fleet: load
topic: load/{gateway}
each: readings
device_id: "{meter}"
timestamp: {paths: ts, unit: ms}
values:
  - {path: power, metric: power, unit: kW}
  - {path: energy, metric: energy, unit: kWh}
  - {path: voltage, metric: voltage, unit: V}
attributes: {customer: "{customer}", region: "{region}"}
"""


def live(folder: Path) -> list[Figure]:
    """All figures of this part."""
    settings = _settings(folder / "live")
    _publish(settings, utc_now())
    command = [sys.executable, "-m", "tests.bench.live"]
    measuring = subprocess.Popen([*command, "measure", str(folder)], stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    if measuring.stdout is None or measuring.stdin is None:
        raise RuntimeError("the process that measures has no pipes")
    try:
        rebuilt = _told(measuring.stdout)
        landed = subprocess.run([*command, "land", str(folder)], check=True, capture_output=True, text=True).stdout
        measuring.stdin.write(landed.replace("\n", " ").encode() + b"\n")
        measuring.stdin.flush()
        measured = _told(measuring.stdout)
    finally:
        measuring.kill()
        measuring.wait()
    return _figures(rebuilt, measured)


def _told(stream: IO[bytes]) -> dict[str, float]:
    """The next line that is JSON; others are the log."""
    for line in stream:
        if line.startswith(b"{"):
            told: dict[str, float] = json.loads(line)
            return told
    raise RuntimeError("the process that measures has ended: its error stands above")


def _figures(rebuilt: dict[str, float], measured: dict[str, float]) -> list[Figure]:
    load = f"{measured['rate'] / 1000:.0f} thousand readings/s, {measured['series'] / 1e6:.2f} million series"
    return [
        Figure("live, rebuilding from published hours", rebuilt["seconds"], "s", note=f"CPU {rebuilt['cpu']:.0f} s"),
        Figure("live, landed to visible, longest", measured["lag_max"], "s", 3.0, load),
        Figure("live, landed to visible, p50", measured["lag_p50"], "s"),
        Figure("live, CPU", measured["cores"], "cores", 1.0, f"{measured['questions']:.0f} questions/s included"),
        Figure("live, memory", measured["rss_gb"], "GB", 4.0, f"{measured['minutes']:.0f} minute windows"),
        Figure("live, memory at its highest", measured["peak_gb"], "GB", 4.0, "rebuilding included"),
        Figure("live, latest() of a customer, p50", measured["latest_p50"], "ms"),
        Figure("live, latest() of a customer, p99", measured["latest_p99"], "ms", 10.0),
        Figure("live, hours() of a customer, p50", measured["hours_p50"], "ms"),
        Figure("live, hours() of a customer, p99", measured["hours_p99"], "ms", 10.0),
    ]


def _settings(folder: Path) -> Settings:
    mappings = folder / "mappings"
    mappings.mkdir(parents=True, exist_ok=True)
    (mappings / "load.yaml").write_text(_MAPPING)
    return load_settings(data=folder / "data", mappings=mappings, live_memory_mb=MEMORY_MB)


def _publish(settings: Settings, now: datetime) -> None:
    """The hours of the last day of all series, as the batch layer would publish them, and an empty newest minute."""
    paths = settings.paths
    prepare_relations(paths)
    newest = floor_minute(now) - MINUTE
    device_minute_tree(paths).write(newest, device_minute_tree(paths).empty())
    intake_tree(paths).write(newest, intake_tree(paths).empty())
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=back) for back in range(25, 0, -1)]
    for day in sorted({hour.date() for hour in hours}):
        path = published_file(paths, "device_hour", day)
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = pl.DataFrame(schema=DEVICE_HOUR_SCHEMA).to_arrow().schema
        with pq.ParquetWriter(path, schema, compression="zstd") as file:
            for frame in _hours([hour for hour in hours if hour.date() == day]):
                file.write_table(frame.to_arrow().cast(schema), row_group_size=120_000)
        os.utime(path, (now.timestamp(), now.timestamp()))


def _hours(hours: list[datetime]) -> Iterator[pl.DataFrame]:
    step = 10_000
    told = pl.DataFrame({"hour": hours}, schema={"hour": DEVICE_HOUR_SCHEMA["hour"]})
    metrics = pl.DataFrame({"metric": METRICS, "unit": UNITS})
    for first in range(0, DEVICES, step):
        devices = pl.DataFrame({"device_id": [f"m-{number:07d}" for number in range(first, first + step)]})
        rows = devices.join(metrics, how="cross").join(told, how="cross")
        level = (pl.int_range(pl.len()) % 977).cast(pl.Float64)
        figures = {name: level + at for at, name in enumerate(("first", "min", "mean", "p50", "p95", "max", "last"))}
        yield rows.with_columns(**figures, count=pl.lit(180, pl.Int64), stddev=pl.lit(1.0)).select(
            pl.col(name).cast(kind) for name, kind in DEVICE_HOUR_SCHEMA.items()
        )


def _body(gateway: int) -> bytes:
    rows = [
        {
            "meter": f"m-{number:07d}",
            "customer": f"c-{number:07d}",
            "region": f"region-{number % 5}",
            "ts": int(_PLACEHOLDER),
            "power": number % 31 / 10,
            "energy": 1000 + number % 977 / 7,
            "voltage": 229.5 + number % 7 / 10,
        }
        for number in range(gateway * PER_MESSAGE, (gateway + 1) * PER_MESSAGE)
    ]
    return msgspec.json.encode({"readings": rows})


def land(folder: Path) -> None:
    """Land batches at the rate; prints when each was in the ledger, as a JSON array."""
    settings = _settings(folder / "live")
    bodies = [_body(gateway) for gateway in range(DEVICES // PER_MESSAGE)]
    writer = BatchWriter(settings.paths, "collector-1", intake_delay=settings.intake_delay)
    each = round(RATE * LAND_EVERY / (PER_MESSAGE * len(METRICS)))
    landed: list[float] = []
    turn = 0
    begin = time.monotonic()
    for batch in range(round(SECONDS / LAND_EVERY)):
        time.sleep(max(0.0, begin + (batch + 1) * LAND_EVERY - time.monotonic()))
        now = utc_now()
        messages = []
        for number in range(each):
            at = now - timedelta(seconds=LAND_EVERY * (1 - number / each))
            stamp = b"%013d" % round(at.timestamp() * 1000)
            gateway = turn % len(bodies)
            messages.append(Message(at, "mqtt", f"load/{gateway}", bodies[gateway].replace(_PLACEHOLDER, stamp)))
            turn += 1
        told = {"readings": [{"meter": _MARKER, "ts": round(now.timestamp() * 1000), "power": float(batch)}]}
        messages.append(Message(now, "mqtt", "load/marker", msgspec.json.encode(told)))
        writer.write(messages)
        landed.append(time.time())
    print(json.dumps(landed), flush=True)


@dataclass
class Asked:
    """Times of questions, in milliseconds, and when each marker was first seen."""

    latest: list[float]
    hours: list[float]
    seen: dict[int, float]


def measure(folder: Path) -> None:
    """Rebuild, tell how long it took, ask until somebody tells when batches landed, tell what was measured."""
    layer = LiveLayer(_settings(folder / "live"))
    began = time.monotonic()
    layer.start()
    while layer.status().state is not LiveState.LIVE:
        time.sleep(0.2)
    _print({"seconds": time.monotonic() - began, "cpu": time.process_time()})
    asked = Asked([], [], {})
    done = threading.Event()
    threads = [
        threading.Thread(target=_ask, args=(layer, asked, done)),
        threading.Thread(target=_watch, args=(layer, asked, done)),
    ]
    told: list[str] = []
    waiting = threading.Thread(target=lambda: told.append(sys.stdin.readline()))
    waiting.start()
    while layer.status().readings == 0:
        time.sleep(0.05)
    for thread in threads:
        thread.start()
    before, cpu, at = layer.status().readings, time.process_time(), time.monotonic()
    time.sleep(SECONDS - 4 * LAND_EVERY)
    status, used, passed = layer.status(), time.process_time() - cpu, time.monotonic() - at
    waiting.join()
    time.sleep(3.0)
    done.set()
    for thread in threads:
        thread.join()
    landed = json.loads(told[0])
    lags = [asked.seen[number] - when for number, when in enumerate(landed) if number in asked.seen]
    if len(lags) < len(landed) - 1 or status.error:
        raise RuntimeError(f"{len(lags)} of {len(landed)} batches were seen; {status}")
    memory = psutil.Process().memory_info()
    _print(
        {
            "rate": (status.readings - before) / passed,
            "series": status.series,
            "minutes": status.minutes_kept,
            "lag_max": max(lags),
            "lag_p50": percentile(lags, 0.5),
            "cores": used / passed,
            "rss_gb": memory.rss / 1e9,
            "peak_gb": _peak() / 1e9,
            "questions": (len(asked.latest) + len(asked.hours)) / passed,
            "latest_p50": percentile(asked.latest, 0.5),
            "latest_p99": percentile(asked.latest, 0.99),
            "hours_p50": percentile(asked.hours, 0.5),
            "hours_p99": percentile(asked.hours, 0.99),
        }
    )
    layer.stop()


def _ask(layer: LiveLayer, asked: Asked, done: threading.Event) -> None:
    chance = random.Random(1)
    while not done.wait(0.01):
        number = chance.randrange(DEVICES)
        since = utc_now() - timedelta(hours=24)
        began = time.perf_counter()
        found = layer.latest(f"m-{number:07d}")
        middle = time.perf_counter()
        for reading in found:
            layer.hours(reading.device_id, reading.metric, reading.unit, since=since)
        asked.hours.append((time.perf_counter() - middle) * 1000)
        asked.latest.append((middle - began) * 1000)


def _watch(layer: LiveLayer, asked: Asked, done: threading.Event) -> None:
    while not done.wait(0.02):
        for reading in layer.latest(_MARKER):
            asked.seen.setdefault(int(reading.value or 0), time.time())


def _peak() -> int:
    import resource  # noqa: PLC0415  # POSIX only, as this measurement is

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _print(told: dict[str, float]) -> None:
    print(json.dumps({name: float(np.round(value, 4)) for name, value in told.items()}), flush=True)


if __name__ == "__main__":
    {"measure": measure, "land": land}[sys.argv[1]](Path(sys.argv[2]))
