"""One customer's live usage and last 24 hours over HTTP, while readings keep landing.

A feeder process (`python -m tests.bench.api FOLDER METERS RATE`) lands gateway batches straight into the data folder,
as a collector would; `iot serve` is the real process. Each meter has two series and a customer of its own.
"""

import argparse
import os
import random
import signal
import sys
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.build import intake_tree
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import device_minute_tree, prepare_relations, published_file
from sensors_sim.load import PLACEHOLDER, batch_payload
from tests.bench.figures import Figure, percentile
from tests.bench.opcua import cpu_seconds, running
from tests.servers import free_loopback_port, wait_until

METERS, RATE = 1_500_000, 150_000
BATCH = 100
SERIES_OF_A_METER = 2
REQUESTS, REQUESTS_A_SECOND = 5_000, 100


def api(folder: Path, meters: int = METERS, rate: int = RATE) -> list[Figure]:
    """Land `rate` readings a second of `meters` meters, wait until all are live, and ask about customers."""
    folder = folder / "api"
    folder.mkdir()
    port = free_loopback_port()
    data = folder / "data"
    publish_hours(DataPaths(data), meters, utc_now())
    serve = [sys.executable, "-m", "iot_pipeline.serving.server"]
    feed = [sys.executable, "-m", "tests.bench.api", str(data), str(meters), str(rate)]
    options = {"IOT_DATA": str(data), "IOT_WEB_PORT": str(port), "IOT_API_RATE": "100000", "IOT_LIVE_MEMORY_MB": "3450"}
    with (
        running(serve, folder / "serve.log", **options) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        wait_until(lambda: ready(client), "the live layer to be rebuilt", seconds=600)
        with running(feed, folder / "feed.log"):
            # Every meter has told once whose it is.
            told = 1.1 * meters * SERIES_OF_A_METER
            wait_until(lambda: live(client, "readings") >= told, "all meters", seconds=120 + 10 * told / rate)
            before, began, readings = cpu_seconds(server), time.monotonic(), live(client, "readings")
            milliseconds = asked(client, meters)
            seconds = time.monotonic() - began
            used = (cpu_seconds(server) - before) / seconds * 100
            taken = (live(client, "readings") - readings) / seconds
            memory = psutil.Process(server.pid).memory_full_info().pss
    note = (
        f"{meters * SERIES_OF_A_METER:,} live keys, {taken:,.0f} readings/s, {REQUESTS:,} requests, "
        f"{REQUESTS_A_SECOND} a second; 24 hours held"
    )
    return [
        Figure("API, a customer's usage now and 24 h, p50", percentile(milliseconds, 0.5), "ms", 8, note),
        Figure("API, a customer's usage now and 24 h, p99", percentile(milliseconds, 0.99), "ms", 20),
        Figure("`iot serve` meanwhile, CPU", used, "% of a core"),
        Figure("`iot serve` meanwhile, memory (PSS)", memory / 1e6, "MB"),
    ]


def publish_hours(paths: DataPaths, meters: int, now: datetime) -> None:
    """The last 25 hours of all meters, as the batch layer would publish them, and an empty newest minute."""
    prepare_relations(paths)
    newest = floor_minute(now) - MINUTE
    for tree in (device_minute_tree(paths), intake_tree(paths)):
        tree.write(newest, tree.empty())
    this_hour = now.replace(minute=0, second=0, microsecond=0)
    hours = [this_hour - timedelta(hours=back) for back in range(25, 0, -1)]
    for day in sorted({hour.date() for hour in hours}):
        told = ", ".join(f"timestamptz '{hour.isoformat()}'" for hour in hours if hour.date() == day)
        path = published_file(paths, "device_hour", day)
        path.parent.mkdir(parents=True, exist_ok=True)
        duckdb.execute(
            f"""copy (
                select unnest([{told}]) as hour, 'm-load-' || lpad(cast(i // 2 + 1 as varchar), 8, '0') as device_id,
                    if(i % 2 = 0, 'rate', 'register') as metric, if(i % 2 = 0, 'kW', 'kWh') as unit,
                    cast(720 as bigint) as count, (i % 977)::double as min, (i % 977 + 2)::double as max,
                    (i % 977 + 1)::double as mean, 1e0 as stddev, (i % 977)::double as first,
                    (i % 977 + 2)::double as last, (i % 977 + 1)::double as p50, (i % 977 + 2)::double as p95
                from range({meters * SERIES_OF_A_METER}) as t(i)
            ) to '{path}' (format parquet, compression zstd)"""
        )
        os.utime(path, (now.timestamp(), now.timestamp()))


def ready(client: httpx.Client) -> bool:
    """Whether live questions are answered."""
    time.sleep(0.5)
    try:
        return client.get("/readyz", timeout=30).status_code == 200
    except httpx.TransportError:
        return False


def asked(client: httpx.Client, meters: int) -> list[float]:
    """Milliseconds of each request from when it was due, so that one that waits for another counts its waiting."""
    began, milliseconds = time.perf_counter(), []
    for number in range(REQUESTS):
        due = began + number / REQUESTS_A_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        ask(client, random.randrange(meters) + 1)
        milliseconds.append((time.perf_counter() - due) * 1e3)
    return milliseconds


def ask(client: httpx.Client, number: int) -> None:
    """One customer's usage, checked."""
    answer = client.get("/api/v1/customers/usage", params={"customer": f"c-load-{number:08d}"})
    told = answer.json()["series"]
    assert len(told) == SERIES_OF_A_METER, answer.text
    assert all(len(one["hours"]) >= 24 for one in told), answer.text


def live(client: httpx.Client, name: str) -> float:
    """A figure of the live layer (`series`, `readings`); 0 while nobody answers."""
    time.sleep(0.2)
    try:
        families = text_string_to_metric_families(client.get("/metrics", timeout=30).text)
        return next((family.samples[0].value for family in families if family.name == f"iot_live_{name}"), 0)
    except httpx.TransportError:
        return 0


def feed(data: Path, meters: int, rate: int, stop: threading.Event) -> None:
    """Land `rate` readings a second, meters in turn, a batch a second."""
    settings = load_settings(data=data)
    writer = BatchWriter(settings.paths, settings.collector_id, intake_delay=settings.intake_delay)
    payloads = [batch_payload(gateway, BATCH) for gateway in range(-(-meters // BATCH))]
    # What is due is counted from the beginning, so that rounding does not change the rate.
    sent, began = 0, time.monotonic()
    while not stop.is_set():
        due = int((time.monotonic() - began + 1) * rate / SERIES_OF_A_METER / BATCH)
        now = utc_now()
        at = str(int(now.timestamp() * 1000)).encode()
        writer.write(
            [
                Message(
                    received_at=now,
                    source="mqtt",
                    topic=f"utility/gateway/load-{index % len(payloads) + 1:04d}",
                    payload=payloads[index % len(payloads)].replace(PLACEHOLDER, at),
                    qos=1,
                )
                for index in range(sent, due)
            ]
        )
        sent = due
        stop.wait(max(0.0, 1 - (time.monotonic() - began) % 1))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("meters", type=int)
    parser.add_argument("rate", type=int)
    given = parser.parse_args()
    told = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    feed(given.folder, given.meters, given.rate, told)
