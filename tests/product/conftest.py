"""One product for all tests of this folder: started once, used side by side, stopped by the last module.

The fixtures are events in the life of that instance (the first minute, a replay that was published); a test asks
for those that it needs, so each can be run alone, too.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from iot_pipeline.operations.runstate import leftovers, read_report
from iot_pipeline.trees import MinuteTree
from tests.product import catalog_holder
from tests.product.live import Live, environment, newest_filled
from tests.product.replays import WEATHER, Played, play_awkward, play_weather

FIRST_MINUTE_SECONDS = 300.0


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A running product with its simulators. `test_zz_stopping.py` stops it; whatever happened, nothing is left."""
    folder = tmp_path_factory.mktemp("product")
    product = Live(folder / "data", folder / "up.log")
    try:
        product.start()
        yield product
    finally:
        if product.process.poll() is None:
            product.process.terminate()
            try:
                product.process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                product.process.kill()
        if report := read_report(product.paths):
            for process in leftovers(report.run_id):
                process.kill()


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that keeps the catalog open, and how to make it query."""

    process: "subprocess.Popen[str]"

    def ask(self) -> tuple[int, float]:
        """How many minutes it sees, and the newest as seconds since 1970."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        count, newest = self.process.stdout.readline().split()
        return int(count), float(newest)


@pytest.fixture(scope="session")
def holder(live: Live) -> Iterator[Holder]:
    """Another program that opened the catalog for writing as soon as there was one, and holds it."""
    live.wait(live.paths.warehouse.exists, "warehouse.duckdb", seconds=60)
    process = subprocess.Popen(
        [sys.executable, catalog_holder.__file__, str(live.paths.warehouse)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield Holder(process)
    process.communicate(timeout=20)


@pytest.fixture(scope="session")
def first_minute(live: Live, holder: Holder) -> float:
    """Seconds from the command to the first minute with statistics and flags."""
    flags, marts = MinuteTree(live.paths.flags, {}), live.paths.marts / "device_minute"
    seconds = FIRST_MINUTE_SECONDS - (time.monotonic() - live.started)

    def flagged() -> bool:
        minute = newest_filled(marts)
        return minute is not None and flags.file(minute).exists()

    live.wait(flagged, "the first minute and its flags", seconds=seconds)
    return time.monotonic() - live.started


@pytest.fixture(scope="session")
def sent(live: Live, first_minute: float, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    """Replayed files by data set. Their days take minutes to be built, so the first module sends them already."""
    files = [play_awkward(live, tmp_path_factory.mktemp("awkward"))]
    if WEATHER.exists():
        files.append(play_weather(live, tmp_path_factory.mktemp("weather")))
    return {file.dataset: file for file in files}
