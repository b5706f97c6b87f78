"""Decoding: what a reading of a batch and a message of its own cost, and a minute that holds nine million.

CPU time of one process, best of three. Beside each figure stands how often longer it takes than parsing the same
payloads as JSON does, which says more than the figure alone on a machine that is busy with other things.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path

import msgspec
import polars as pl

from iot_pipeline.clock import MINUTE
from iot_pipeline.files import write_parquet
from iot_pipeline.landing.layout import landing_file
from iot_pipeline.landing.message import LANDING_SCHEMA
from iot_pipeline.paths import DataPaths
from iot_pipeline.readings.build import build_minutes
from iot_pipeline.readings.decoding.decoder import MessageDecoder, limits_of
from iot_pipeline.readings.decoding.sink import Sink
from iot_pipeline.readings.frames import decode_rows
from iot_pipeline.readings.language.mapping import MappingSet, load_mappings, parse_mapping
from iot_pipeline.settings import load_settings
from sensors_sim.load import PLACEHOLDER, batch_payload
from sensors_sim.registry import build_fleet
from tests.bench.figures import Figure

RECEIVED = datetime(2026, 11, 22, 10, 0, 30, tzinfo=UTC)
PER_BATCH = 100
BATCHES = 1_000
SINGLES = 50_000
# Of the large minute: messages of 50 meters with two readings each.
LARGE_MINUTE = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
GATEWAYS, ROUNDS, METERS = 22_500, 4, 50
LANDED_AT_ONCE = 5_000
_PLAIN = """
name: plain
fleet: bench
topic: plain/{gateway}
device_id: "{device}"
metric: "{metric}"
timestamp: {paths: ts, unit: ms}
values: [{path: value}]
unit: "{unit}"
"""
Sent = tuple[str, bytes]


def decode(folder: Path) -> list[Figure]:
    """All figures of this part."""
    mappings = MappingSet((parse_mapping(_PLAIN, "plain.yaml", default_name="plain"), *load_mappings(None)))
    batches = {"utility": _utility(), "one value a record": _plain()}
    singles = {
        "weather": _fleet("weather", ""),
        "us_states": _fleet("us_states", ""),
        "line_electrical": _fleet("industrial_line", "/electrical"),
    }
    return [
        *(_cost(f"decode {name}, a reading", mappings, sent, 0.6, each="reading") for name, sent in batches.items()),
        *(_cost(f"decode {name}, a message", mappings, sent, 3.0, each="message") for name, sent in singles.items()),
        *_large_minute(folder / "decode"),
    ]


def _cost(name: str, mappings: MappingSet, sent: Sequence[Sent], at_most: float, *, each: str) -> Figure:
    landed = _landed(sent, 0).with_columns(message_id=pl.lit(""))
    found = Sink()
    limits = limits_of(load_settings())
    readings = decode_rows(landed, MessageDecoder(mappings, limits), found).height
    if found.problems or readings < len(sent):
        raise RuntimeError(f"{name}: {readings} readings of {len(sent)} messages, {found.problems[:1]}")
    count = readings if each == "reading" else len(sent)
    seconds = _best(lambda: decode_rows(landed, MessageDecoder(mappings, limits), Sink()))
    parsing = _best(lambda: [msgspec.json.decode(payload) for _, payload in sent])
    note = f"{seconds / parsing:.1f} times msgspec.json.decode ({parsing / count * 1e6:.2f} µs)"
    return Figure(name, seconds / count * 1e6, "µs", at_most, note)


def _best(run: Callable[[], object]) -> float:
    """CPU seconds of the best of three."""
    taken = []
    for _ in range(3):
        began = time.process_time()
        run()
        taken.append(time.process_time() - began)
    return min(taken)


def _landed(sent: Sequence[Sent], first_row: int) -> pl.DataFrame:
    rows = [
        (RECEIVED, "mqtt", topic, payload, 1, False, "collector-1", 1, row)
        for row, (topic, payload) in enumerate(sent, first_row)
    ]
    return pl.DataFrame(rows, schema=LANDING_SCHEMA, orient="row")


def _milliseconds(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def _utility() -> list[Sent]:
    gateways = 200
    bodies = [batch_payload(gateway, PER_BATCH) for gateway in range(gateways)]
    at_ms = _milliseconds(RECEIVED) - BATCHES
    return [
        (f"utility/gateway/load-{number % gateways}", bodies[number % gateways].replace(PLACEHOLDER, b"%d" % at))
        for number, at in enumerate(range(at_ms, at_ms + BATCHES))
    ]


def _plain() -> list[Sent]:
    def rows(batch: int) -> list[dict[str, object]]:
        told = {"metric": "temperature", "unit": "°C", "ts": _milliseconds(RECEIVED) - batch}
        return [{"device": f"d-{batch % 100}-{row}", **told, "value": 20 + row / 7} for row in range(PER_BATCH)]

    return [(f"plain/{batch % 100}", msgspec.json.encode(rows(batch))) for batch in range(BATCHES)]


def _fleet(name: str, ending: str) -> list[Sent]:
    """Messages of a simulated fleet, all as if received at RECEIVED."""
    fleet = build_fleet(name, seed=1, start=RECEIVED - timedelta(hours=1))

    def sent() -> Iterator[Sent]:
        for step in range(1, 7_000):
            for message in fleet.messages(RECEIVED - timedelta(hours=1) + step * timedelta(seconds=0.5)):
                if message.topic.endswith(ending):
                    yield message.topic, message.payload

    return list(islice(sent(), SINGLES))


def _large_minute(data: Path) -> list[Figure]:
    """Land the minute, then build it in a process of its own, whose peak of memory is its own too."""
    _land_large(DataPaths(data))
    command = [sys.executable, "-m", "tests.bench.decode", str(data)]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if process.returncode != 0:
        raise RuntimeError(f"building the large minute ended with {process.returncode}")
    readings = GATEWAYS * ROUNDS * METERS * 2
    note = f"{readings / 1e6:g} million readings of {GATEWAYS * METERS / 1e6:g} million devices, start included"
    return [
        Figure("large minute, wall", wall, "s", 25, note),
        Figure("large minute, CPU", used.ru_utime + used.ru_stime, "s"),
        Figure("large minute, peak memory", used.ru_maxrss / 1e6, "GB", 4),
    ]


def _land_large(paths: DataPaths) -> None:
    bodies = [batch_payload(gateway, METERS) for gateway in range(GATEWAYS)]
    total = GATEWAYS * ROUNDS
    for batch, first in enumerate(range(0, total, LANDED_AT_ONCE)):
        rows = []
        for row, number in enumerate(range(first, min(first + LANDED_AT_ONCE, total))):
            # What is received in [m + 10 s, m + 70 s) is the landing minute m.
            at = LARGE_MINUTE + timedelta(seconds=10) + number / total * MINUTE
            payload = bodies[number % GATEWAYS].replace(PLACEHOLDER, b"%013d" % (_milliseconds(at) - 100))
            topic = f"utility/gateway/load-{number % GATEWAYS}"
            rows.append((at, "mqtt", topic, payload, 1, False, "collector-1", batch, row))
        frame = pl.DataFrame(rows, schema=LANDING_SCHEMA, orient="row")
        write_parquet(frame, landing_file(paths, LARGE_MINUTE, "collector-1", batch))


def _build_large(data: Path) -> None:
    settings = load_settings(data=data, minute_start=date(2026, 11, 15))
    (built,) = build_minutes(settings, load_mappings(None), [LARGE_MINUTE])
    expected = GATEWAYS * ROUNDS * METERS * 2
    if built.readings != expected:
        raise RuntimeError(f"{built.readings} readings stored of {expected}")


if __name__ == "__main__":
    _build_large(Path(sys.argv[1]))
