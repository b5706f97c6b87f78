"""`iot up` is killed outright in the middle of a Dagster run; the next one on the folder goes on where it stopped.

One product and one story: the whole of it dies during a run, comes back, and then the worker of the run that was
begun again dies alone.
"""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import psutil
import pytest

from iot_pipeline.clock import MINUTE, floor_minute, minute_key, utc_now
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.operations.runstate import leftovers, read_report
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.readings.build import intake_tree
from iot_pipeline.settings import load_settings
from iot_pipeline.stats.relations import device_minute_tree
from tests.bench.instance import Instance, Run
from tests.faults.world import Device, device
from tests.product.live import environment, iot
from tests.servers import Child, RunningBroker, free_loopback_port, wait_until
from tests.sources.publishing import landed_payloads

MINUTES = 4
A_MINUTE = 60  # messages landed in each of them
BOOT_SECONDS = 300.0
RUN_SECONDS = 240.0


class Product:
    """`iot up --no-simulator` on a folder and ports of its own."""

    def __init__(self, folder: Path) -> None:
        self.data, self.log = folder / "data", folder / "up.log"
        self.ports = {name: free_loopback_port() for name in ("dagster", "broker", "web")}
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def paths(self) -> DataPaths:
        return DataPaths(self.data)

    @property
    def broker(self) -> RunningBroker:
        return RunningBroker("embedded", self.ports["broker"], Child([], self.log))

    def start(self) -> None:
        """Give the command and wait until it says that everything runs."""
        options = [text for name, port in self.ports.items() for text in (f"--{name}-port", str(port))]
        command = iot("up", "--data", str(self.data), "--no-simulator", *options)
        before = read_report(self.paths)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=PROJECT_ROOT, env=environment(), stdout=output, stderr=subprocess.STDOUT
            )
        self.wait(
            lambda: (
                (report := read_report(self.paths)) is not None
                and report.ready_at is not None
                and (before is None or report.run_id != before.run_id)
            ),
            "everything runs",
            BOOT_SECONDS,
        )

    def kill(self) -> None:
        """SIGKILL to `iot up` alone; the kernel must take the rest with it."""
        assert self.process is not None
        report = read_report(self.paths)
        assert report is not None
        assert leftovers(report.run_id)
        self.process.kill()
        self.process.wait()
        wait_until(lambda: leftovers(report.run_id) == [], "all processes of it to be gone")

    def stop(self) -> None:
        """SIGTERM; whatever happened, nothing is left."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            finally:
                self.process.kill()
        if report := read_report(self.paths):
            for process in leftovers(report.run_id):
                process.kill()

    def wait(self, condition: Callable[[], bool], what: str, seconds: float) -> None:
        """Wait; fail with the log of `iot up` when it does not come true."""

        def met() -> bool:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            return condition()

        wait_until(met, what, seconds=seconds)

    def runs(self) -> list[Run]:
        """All runs that Dagster knows, newest first."""
        return Instance(self.data, 0, self.ports["dagster"]).runs()

    def statuses(self, first: datetime) -> list[str]:
        """How the runs whose range begins with this minute stand, oldest first."""
        return [run.status for run in reversed(self.runs()) if run.first == minute_key(first)]

    def workers(self) -> list[psutil.Process]:
        """Processes of Dagster runs."""
        report = read_report(self.paths)
        assert report is not None
        return [process for process in leftovers(report.run_id) if "spawn_main" in " ".join(process.cmdline())]


@dataclass(frozen=True)
class Story:
    """What was seen after everything was killed, and then a worker alone."""

    first: datetime
    device: Device
    product: Product
    retried: list[str]
    """How the killed run and the one that Dagster began in its place ended."""
    statistics: pl.DataFrame
    """Of device `d`, after the minutes were asked for again."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, parsed_dbt: Path) -> Iterator[Story]:
    product = Product(tmp_path_factory.mktemp("killed"))
    shutil.copytree(parsed_dbt, product.paths.tmp / "dbt")
    first = floor_minute(utc_now()) - (MINUTES + 3) * MINUTE
    last = first + (MINUTES - 1) * MINUTE
    land(product.paths, first)
    try:
        product.start()
        with device(product.broker) as one:
            one.begin(rate=200)
            wait_until(lambda: len(one.promised) > 200, "some messages promised")
            decoded = intake_tree(product.paths).file(last)
            product.wait(decoded.exists, "a run that has decoded and not counted yet", RUN_SECONDS)
            product.kill()
            assert not device_minute_tree(product.paths).file(last).exists()
        promised = one.promised

        product.start()
        product.wait(lambda: promised <= set(landed_payloads(product.paths)), "what was promised to land", RUN_SECONDS)
        product.wait(
            lambda: product.statuses(first) == ["FAILURE", "STARTED"] and bool(product.workers()),
            "the killed run to be told as failed and begun again",
            RUN_SECONDS,
        )
        for worker in product.workers():
            worker.kill()
        product.wait(lambda: product.statuses(first) == ["FAILURE"] * 2, "its loss to be noticed", RUN_SECONDS)
        retried = product.statuses(first)

        span = f"{minute_key(first)}..{minute_key(last)}"
        command = iot("backfill", "--data", str(product.data), span)
        subprocess.run(command, cwd=PROJECT_ROOT, env=environment(), check=True)

        def statistics() -> pl.DataFrame:
            return device_minute_tree(product.paths).read(first, last).filter(pl.col("device_id") == "d")

        product.wait(lambda: statistics().height == MINUTES, "the minutes to be counted", RUN_SECONDS)
        yield Story(first, one, product, retried, statistics())
    finally:
        product.stop()


def test_everything_promised_before_it_was_killed_has_landed(story: Story) -> None:
    assert story.device.promised <= set(landed_payloads(story.product.paths))


def test_a_killed_run_is_told_as_failed_and_begun_again(story: Story) -> None:
    assert story.retried == ["FAILURE", "FAILURE"]


def test_minutes_of_killed_runs_are_built_again_exactly(story: Story) -> None:
    found = story.statistics.sort("minute").select("minute", "count", "min", "max").rows()
    numbers = [index * A_MINUTE for index in range(MINUTES)]
    assert found == [
        (story.first + index * MINUTE, A_MINUTE, number, number + A_MINUTE - 1) for index, number in enumerate(numbers)
    ]


def land(paths: DataPaths, first: datetime) -> None:
    """What a collector landed some minutes ago: observations of device `d`, one a second."""
    times = [first + timedelta(seconds=index + 0.5) for index in range(MINUTES * A_MINUTE)]
    messages = [
        Message(
            at + timedelta(seconds=10),
            "mqtt",
            "weather/d/observation",
            f'{{"deviceid": "d", "temperature": {number}, "time": "{at:%Y-%m-%dT%H:%M:%S.%fZ}"}}'.encode(),
            1,
            False,
        )
        for number, at in enumerate(times)
    ]
    delay = load_settings(data=paths.root).intake_delay
    BatchWriter(paths, "collector-1", intake_delay=delay).write(messages)
