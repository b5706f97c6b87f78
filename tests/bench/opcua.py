"""1,000 OPC UA nodes at 5 changes a second: what a real collector process lands of what a real server wrote.

The server is a process of its own (`python -m tests.bench.opcua PORT NODES RATE SECONDS`). It is written in Python
as well and is the first of the two to be out of breath, near 5,000 changes a second on one core.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import psutil
import yaml
from asyncua import Server, ua

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.layout import landed_minutes, read_minute
from iot_pipeline.paths import DataPaths
from tests.bench.figures import Figure, percentile
from tests.bench.instance import PROJECT
from tests.servers import free_loopback_port, listens, wait_until

NODES = 1_000
RATE = 5
URI = "urn:bench:counters"


def opcua(folder: Path, seconds: int = 60) -> list[Figure]:
    """Let a server count for `seconds`, collect it, and compare every value of every node."""
    folder = folder / "opcua"
    folder.mkdir()
    port = free_loopback_port()
    config = {
        "name": "bench",
        "url": f"opc.tcp://127.0.0.1:{port}",
        "browse": [{"exclude": ["done"]}],
        "publishing_interval_ms": 200,
        "queue_size": 100,
    }
    (folder / "opcua.yaml").write_text(yaml.safe_dump({"servers": [config]}))
    paths = DataPaths(folder / "data")
    serve = [sys.executable, "-m", "tests.bench.opcua", str(port), str(NODES), str(RATE), str(seconds)]
    collect = [sys.executable, "-m", "iot_pipeline.sources.collector", "--source", "opcua"]
    told = folder / "server.json"
    with running(serve, told) as server:
        wait_until(lambda: listens(port), "the server to listen")
        with running(
            collect, folder / "collector.log", IOT_DATA=str(paths.root), IOT_OPCUA=str(folder / "opcua.yaml")
        ) as collector:
            before = cpu_seconds(collector)
            wait_until(lambda: told.stat().st_size > 0, "the server to have counted", seconds=seconds * 4 + 60)
            used = {"collector": cpu_seconds(collector) - before, "server": cpu_seconds(server)}
            memory = psutil.Process(collector.pid).memory_info().rss
            time.sleep(3)
    written = json.loads(told.read_text())
    return _figures(paths, written["rounds"], written["seconds"], used, memory)


def _figures(paths: DataPaths, rounds: int, seconds: float, used: dict[str, float], memory: int) -> list[Figure]:
    seen: dict[str, Counter[float]] = {f"n{number}": Counter() for number in range(NODES)}
    delays: list[float] = []
    for minute in landed_minutes(paths, None):
        for received_at, payload in read_minute(paths, minute).select("received_at", "payload").iter_rows():
            changes = msgspec.json.decode(payload)["changes"]
            for change in changes:
                seen[change["metric"]][change["value"]] += 1
            oldest = min(change["source_ts"] for change in changes)
            delays.append((received_at - datetime.fromisoformat(oldest)).total_seconds())
    expected = {float(number) for number in range(1, rounds + 1)}
    missing = sum(len(expected - set(values)) for values in seen.values())
    twice = sum(count - 1 for values in seen.values() for count in values.values())
    wrong = sum(len(set(values) - expected - {0.0}) for values in seen.values())
    rate = rounds * NODES / seconds
    return [
        Figure("OPC UA changes written and missing in landing", missing, "", 0, f"of {rounds * NODES}"),
        Figure("OPC UA changes landed that were never written", wrong, "", 0, f"{twice} landed twice"),
        Figure("OPC UA, time per 1,000 changes written", 1_000_000 / rate, "ms", 205, f"{rate:.0f} changes/s"),
        Figure("OPC UA collector, CPU", used["collector"] / seconds * 100, "% of a core", 40),
        Figure("OPC UA collector, CPU per change", used["collector"] / (rounds * NODES) * 1e6, "us"),
        Figure("OPC UA collector, memory (RSS)", memory / 1e6, "MB"),
        Figure("OPC UA simulated server, CPU", used["server"] / seconds * 100, "% of a core"),
        Figure("OPC UA source time to collector, oldest of a message, p95", percentile(delays, 0.95), "s"),
    ]


@contextlib.contextmanager
def running(command: list[str], output: Path, **environment: str) -> "Iterator[subprocess.Popen[bytes]]":
    """A process for a `with` block, ended by SIGTERM; its output goes to a file."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("IOT_")}
    with output.open("wb") as handle:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=handle, env={**clean, **environment})
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def cpu_seconds(process: "subprocess.Popen[bytes]") -> float:
    """CPU time that a process has used."""
    times = psutil.Process(process.pid).cpu_times()
    return float(times.user + times.system)


async def _serve(port: int, count: int, rate: float, seconds: float) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace(URI)
    nodes = [ua.NodeId(f"n{number}", index) for number in range(count)]
    for node in nodes:
        await server.nodes.objects.add_variable(node, f"{index}:{node.Identifier}", 0.0)
    async with server:
        subscriptions = server.iserver.subscription_service.subscriptions
        while not any(len(told.monitored_item_srv._monitored_items) == count for told in subscriptions.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        rounds, began = 0, time.monotonic()
        while rounds < seconds * rate:
            rounds += 1
            now = utc_now()
            value = ua.DataValue(ua.Variant(float(rounds), ua.VariantType.Double), ua.StatusCode(), now, now)
            for position, node in enumerate(nodes):
                await server.write_attribute_value(node, value)
                if position % 50 == 0:
                    await asyncio.sleep(0)  # publishing has its turn
            await asyncio.sleep(max(0.0, began + rounds / rate - time.monotonic()))
        sys.stdout.write(json.dumps({"rounds": rounds, "seconds": time.monotonic() - began}))
        sys.stdout.flush()
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("port", "nodes", "rate", "seconds"):
        parser.add_argument(name, type=int)
    given = parser.parse_args()
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    asyncio.run(_serve(given.port, given.nodes, given.rate, given.seconds))
