"""From the broker to durable files: broker, load and collector as processes on the same cores.

Load is prebuilt frames (`sensors_sim.load`); a C client subscribes in the same way for comparison, where
`mosquitto_sub` is installed. Nothing is decoded here.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import psutil

from iot_pipeline.landing.heartbeat import read_heartbeats
from iot_pipeline.landing.ledger import LedgerCursor, read_since
from iot_pipeline.operations.broker import broker_command
from iot_pipeline.operations.ports import free_port
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from tests.bench.figures import Figure
from tests.conftest import mosquitto_config
from tests.servers import Child, RunningBroker, collector_process, wait_until

BATCH = 100
PATIENCE_SECONDS = 120.0
FLAT_OUT = 1_000_000.0


@dataclass(frozen=True, slots=True)
class Case:
    """One load on one broker with one reader. Rates are messages a second."""

    broker: str
    reader: str
    rate: float
    batch: int
    seconds: float
    least_readings: float | None = None
    most_cpu: float | None = None

    @property
    def name(self) -> str:
        """For the table."""
        pace = "flat out" if self.rate == FLAT_OUT else f"{self.rate * self.batch:,.0f} readings/s"
        return f"intake {self.broker}/{self.reader}, {pace} by {self.batch}"


CASES = (
    Case("mosquitto", "paho", 1_500, BATCH, 60, least_readings=149_000, most_cpu=40),
    Case("mosquitto", "mqtt5", 1_500, BATCH, 20, least_readings=149_000, most_cpu=40),
    Case("mosquitto", "paho", FLAT_OUT, BATCH, 15, least_readings=300_000),
    Case("mosquitto", "mqtt5", FLAT_OUT, BATCH, 15, least_readings=300_000),
    Case("mosquitto", "paho", 10_000, 1, 20, least_readings=9_900),
    Case("mosquitto", "mqtt5", 20_000, 1, 20, least_readings=19_800),
    Case("nats", "paho", 1_500, BATCH, 20),
    Case("nats", "paho", FLAT_OUT, 1, 15),
)


@dataclass(slots=True)
class Usage:
    """CPU seconds and the largest resident memory of one process, from `start` to the last look."""

    process: psutil.Process
    began: float
    cpu: float = 0.0
    peak_bytes: int = 0

    @classmethod
    def start(cls, pid: int) -> "Usage":
        """Begin to look at a process."""
        process = psutil.Process(pid)
        return cls(process, _cpu(process))

    def look(self) -> None:
        """Read the counters of the present."""
        self.cpu = _cpu(self.process) - self.began
        self.peak_bytes = max(self.peak_bytes, self.process.memory_info().rss)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one load.

    `seconds` are those of the whole, from the start of the load to the last landed message;
    `landing_seconds` are those between the first and the last receipt: a batch waits for its fellows,
    so the end of the whole says nothing of the rate.
    """

    sent: int
    lost: int
    repeated: int
    seconds: float
    landing_seconds: float
    collector_cpu: float
    broker_cpu: float
    peak_bytes: int
    idle_bytes: int


def intake(folder: Path) -> list[Figure]:
    """Run all cases, then the C subscriber on the loads that it can be compared with."""
    figures = []
    for number, case in enumerate(CASES):
        outcome = collect(folder / f"intake-{number}", case)
        plain = subscribe(folder / f"plain-{number}", case) if case.broker == "mosquitto" else None
        figures += _figures(case, outcome, plain)
    return figures


def _figures(case: Case, found: Outcome, plain: float | None) -> list[Figure]:
    readings = found.sent * case.batch / found.landing_seconds / 1000
    per_message = found.collector_cpu / found.sent * 1e6
    cpu = found.collector_cpu / found.seconds * 100
    missing = case.broker == "mosquitto" and plain is None
    against = "; mosquitto_sub is not installed: nothing to compare with" if missing else ""
    return [
        Figure(
            f"{case.name}: landed",
            readings,
            "k readings/s",
            note=f"{found.sent / found.landing_seconds:,.0f} messages/s",
            at_least=case.least_readings and case.least_readings / 1000,
        ),
        Figure(f"{case.name}: lost", found.lost, "", 0, f"of {found.sent:,}; {found.repeated:,} came twice"),
        Figure(
            f"{case.name}: collector CPU", cpu, "% of a core", case.most_cpu, f"{per_message:.1f} us/message{against}"
        ),
        *(
            [
                Figure(
                    f"{case.name}: collector CPU against a C subscriber",
                    per_message / plain,
                    "x",
                    note=f"{plain:.1f} us",
                )
            ]
            if plain
            else []
        ),
        Figure(
            f"{case.name}: broker CPU",
            found.broker_cpu / found.seconds * 100,
            "% of a core",
            note=f"{found.broker_cpu / found.sent * 1e6:.1f} us/message",
        ),
        Figure(
            f"{case.name}: collector memory, peak",
            found.peak_bytes / 1e6,
            "MB",
            600,
            f"{found.idle_bytes / 1e6:.0f} MB before",
        ),
    ]


def collect(folder: Path, case: Case) -> Outcome:
    """Start broker and collector, send, wait until everything is landed, and count."""
    paths = DataPaths(folder / "data")
    with _broker(case.broker, folder) as broker:
        environment = {
            **{name: "" for name in os.environ if name.startswith("IOT_")},
            "IOT_DATA": str(paths.root),
            "IOT_BROKER_URL": broker.url,
            "IOT_MQTT_READER": case.reader,
            "IOT_SPARKPLUG_HOST_ID": "",
        }
        collector = collector_process(environment, folder / "collector.log")
        collector.start()
        collector.wait_for(lambda: any(beat.connected for beat in read_heartbeats(paths)), "the collector to connect")
        assert collector.process is not None
        assert broker.child.process is not None
        own, brokers = Usage.start(collector.process.pid), Usage.start(broker.child.process.pid)
        own.look()
        idle = own.peak_bytes
        began = time.monotonic()
        with _load(broker, case) as load:
            sent = 0

            def done() -> bool:
                nonlocal sent
                own.look()
                brokers.look()
                time.sleep(0.1)
                if load.poll() is None:
                    return False
                if not sent:
                    sent = _sent(load)
                return _landed_rows(paths) >= sent

            wait_until(done, "everything landed", seconds=case.seconds + PATIENCE_SECONDS)
        seconds = time.monotonic() - began
        collector.end()
    distinct, rows, receiving = duckdb.execute(
        "SELECT count(DISTINCT hash(topic, payload)), count(*), date_diff('ms', min(received_at), max(received_at)) "
        f"FROM read_parquet('{paths.landing}/**/*.parquet')"
    ).fetchone() or (0, 0, 0)
    return Outcome(
        sent=sent,
        lost=sent - distinct,
        repeated=rows - distinct,
        seconds=seconds,
        landing_seconds=receiving / 1000,
        collector_cpu=own.cpu,
        broker_cpu=brokers.cpu,
        peak_bytes=own.peak_bytes,
        idle_bytes=idle,
    )


def subscribe(folder: Path, case: Case) -> float | None:
    """CPU microseconds a message of a C client that acknowledges and forgets; None where there is none."""
    client = shutil.which("mosquitto_sub")
    if client is None:
        return None
    with _broker(case.broker, folder) as broker:
        options = ["-p", str(broker.port), "-i", "plain", "-c", "-q", "1", "-t", "#", "-F", "%l"]
        with (folder / "plain.txt").open("wb") as output:
            process = subprocess.Popen([client, *options], stdout=output)
        try:
            time.sleep(0.5)
            usage = Usage.start(process.pid)
            short = Case(case.broker, case.reader, case.rate, case.batch, min(case.seconds, 15))
            with _load(broker, short) as load:
                load.wait()
                sent = _sent(load)
            time.sleep(1)
            usage.look()
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()
        received = (folder / "plain.txt").read_bytes().count(b"\n")
    return usage.cpu / max(received, 1) * 1e6 if received >= 0.99 * sent else None


@contextmanager
def _broker(name: str, folder: Path) -> Iterator[RunningBroker]:
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    if name == "nats":
        command = broker_command(DataPaths(folder / "broker"), port)
    else:
        binary = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
        if binary is None:
            raise RuntimeError("mosquitto is not installed; on Debian: apt install mosquitto")
        config = folder / "mosquitto.conf"
        config.write_text(mosquitto_config(port, folder))
        command = [binary, "-c", str(config)]
    broker = RunningBroker(name, port, Child(command, folder / "broker.log"))
    broker.start()
    try:
        yield broker
    finally:
        broker.stop()


@contextmanager
def _load(broker: RunningBroker, case: Case) -> "Iterator[subprocess.Popen[str]]":
    command = [sys.executable, "-m", "sensors_sim.load", "--broker-url", broker.url, "--rate", str(case.rate)]
    command += ["--batch", str(case.batch), "--seconds", str(case.seconds)]
    process = subprocess.Popen(command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def _sent(load: "subprocess.Popen[str]") -> int:
    assert load.stdout is not None
    told = load.stdout.read()
    if load.returncode:
        raise RuntimeError(f"the load ended with {load.returncode}: {told}")
    return int(told.split()[0])


def _landed_rows(paths: DataPaths) -> int:
    lines, _ = read_since(paths, LedgerCursor())
    return sum(line.rows for line in lines)


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system
