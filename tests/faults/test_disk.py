"""The disk is full and has room again, is slow, or was cut off from power in the middle of a write."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from iot_pipeline.clock import MINUTE, floor_minute, minute_key, utc_now
from iot_pipeline.landing.layout import landed_minutes, torn_files
from iot_pipeline.landing.ledger import ledger_folder
from iot_pipeline.landing.message import Message
from iot_pipeline.landing.writer import BatchWriter
from iot_pipeline.paths import PROJECT_ROOT, DataPaths
from iot_pipeline.readings.build import intake_tree
from iot_pipeline.settings import Settings, load_settings
from iot_pipeline.stats.relations import device_minute_tree
from tests.faults.small_disk import SmallDisk, small_disk
from tests.faults.world import HANDICAPPED, CollectorProcess, account, assert_nothing_lost, device, running
from tests.servers import RunningBroker, wait_until
from tests.sources.publishing import landed_payloads

COLLECTOR = "collector-1"
# Enough for the readings stage and too little for dbt.
ROOM_TO_DECODE = 500_000


def test_a_collector_on_a_full_disk_holds_its_batch_and_goes_on(broker: RunningBroker, tmp_path: Path) -> None:
    with small_disk(tmp_path, "4m") as disk:
        outside = load_settings(data=disk.seen / "data")
        inside = load_settings(data=disk.mounted / "data")
        log = tmp_path / "collector.log"
        launcher = (*disk.launcher, "-m", "iot_pipeline.sources.collector")
        collector = CollectorProcess(inside, broker.url, log, launcher=launcher, seen=outside.paths)
        with running(collector), device(broker) as one:
            one.send(200)
            collector.until_landed(one.promised)
            disk.fill()
            one.send(500)
            held = collector.until(
                lambda beat: "No space left" in (beat.last_error or "") and beat.pending_rows == 500,
                "the heartbeat to say that the disk is full",
            )
            assert held.unacked == 500
            assert len(landed_payloads(outside.paths)) == 200
            # An attempt may be under way at this moment; what it began goes with it.
            wait_until(lambda: not list(outside.paths.landing.rglob("*.tmp")), "nothing half written to stay")
            assert torn_files(outside.paths, landed_minutes(outside.paths, None)) == []

            disk.free()
            collector.until_landed(one.promised)
            collector.until(lambda beat: beat.last_error is None and beat.unacked == 0, "all to be well")
        assert_nothing_lost(outside, one)


@dataclass
class Chain:
    """The minute chain inside a small disk."""

    process: "subprocess.Popen[str]"

    def run(self) -> tuple[bool, str]:
        """Run it once: whether it succeeded, and what went wrong."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("run\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["success"], "\n".join(answer["errors"])


@contextmanager
def minute_chain(disk: SmallDisk, data: Path, history: Path, *minutes: str) -> Iterator[Chain]:
    command = [*disk.launcher, "-m", "tests.faults.minute_chain", str(data), str(history), *minutes]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    with history.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n", history.with_suffix(".log").read_text()
            yield Chain(process)
            assert process.stdin is not None
            process.stdin.close()


def test_the_minute_chain_on_a_full_disk_fails_cleanly_and_is_healed_by_running_again(
    tmp_path: Path, parsed_dbt: Path
) -> None:
    first = floor_minute(utc_now()) - timedelta(hours=1)
    minutes = minute_key(first), minute_key(first + MINUTE)
    history = tmp_path / "history"
    history.mkdir()
    with small_disk(tmp_path, "64m") as disk:
        settings = load_settings(data=disk.seen / "data")
        shutil.copytree(parsed_dbt, settings.paths.tmp / "dbt")
        land(settings.paths, [observation(index, first + timedelta(seconds=10.5 + index)) for index in range(100)])
        with minute_chain(disk, disk.mounted / "data", history, *minutes) as chain:
            for leave, decoded in ((0, 0), (ROOM_TO_DECODE, 100)):
                disk.fill(leave=leave)
                succeeded, errors = chain.run()
                assert not succeeded
                assert "No space left" in errors
                disk.free()
                assert intake_tree(settings.paths).read(first, first + MINUTE)["messages"].sum() == decoded
                assert device_minute_tree(settings.paths).read(first, first + MINUTE).is_empty()
                assert unreadable(settings.paths.root) == []
            succeeded, errors = chain.run()
            assert succeeded, errors
        assert intake_tree(settings.paths).read(first, first + MINUTE)["messages"].sum() == 100
        assert device_minute_tree(settings.paths).read(first - MINUTE, first + 2 * MINUTE)["count"].sum() == 100
        assert [path for path in settings.paths.root.rglob("*.tmp") if path.is_file()] == []


def test_a_slow_disk_costs_time_and_neither_memory_nor_messages(
    settings: Settings, nats_broker: RunningBroker, tmp_path: Path
) -> None:
    """Each fsync takes a second and a batch waits for several; meanwhile the broker queues.

    This broker loses patience after 10 s and repeats what is not acknowledged; Mosquitto never does.
    """
    collector = CollectorProcess(
        settings,
        nats_broker.url,
        tmp_path / "collector.log",
        launcher=HANDICAPPED,
        FAULT_FSYNC_SECONDS="1",
        IOT_BATCH_ROWS="400",
        IOT_BATCH_SECONDS="0.2",
    )
    most = 0
    with running(collector), device(nats_broker) as one:
        one.send(1_000)

        def done() -> bool:
            nonlocal most
            beat = collector.until(lambda _: True, "a heartbeat")
            most = max(most, beat.pending_rows)
            return one.promised <= set(landed_payloads(settings.paths))

        collector.child.wait_for(done, "all messages landed", seconds=60)
    assert 400 <= most <= 1_000
    result = assert_nothing_lost(settings, one)
    print(f"{result.duplicates} copies removed, at most {most} rows in memory")


def test_what_a_power_cut_tears_is_left_out_and_told(
    settings: Settings, mosquitto_broker: RunningBroker, tmp_path: Path
) -> None:
    collector = CollectorProcess(settings, mosquitto_broker.url, tmp_path / "collector.log")
    with running(collector), device(mosquitto_broker) as one:
        one.send(100)
        collector.until_landed(one.promised)
    [whole, *_] = sorted(settings.paths.landing.rglob("*.parquet"))
    content = whole.read_bytes()
    number = int(whole.stem.rpartition("-")[2])
    torn = [whole.with_name(f"{COLLECTOR}-{number + offset}.parquet") for offset in (1, 2, 3)]
    torn[0].write_bytes(b"")
    torn[1].write_bytes(content[: len(content) // 2])
    torn[2].write_bytes(bytes(len(content)))  # Blocks that were allocated and never written.
    whole.with_name(f"{whole.name}.0123456789ab.tmp").write_bytes(content[:100])
    [journal] = ledger_folder(settings.paths, COLLECTOR).iterdir()
    with journal.open("ab") as handle:
        handle.write(b'{"file": "dt=2026-')

    with running(collector), device(mosquitto_broker, "after") as after:
        after.send(100)
        collector.until_landed(after.promised)
    assert torn_files(settings.paths, landed_minutes(settings.paths, None)) == torn
    assert account(settings).readings == 200
    assert all(path.exists() for path in torn)


def land(paths: DataPaths, messages: list[Message]) -> None:
    BatchWriter(paths, COLLECTOR, intake_delay=timedelta(seconds=10)).write(messages)


def observation(number: int, at: datetime) -> Message:
    payload = f'{{"deviceid": "d", "temperature": {number}, "time": "{at:%Y-%m-%dT%H:%M:%S.%fZ}"}}'
    return Message(at, "mqtt", "weather/d/observation", payload.encode(), 1, False)


def unreadable(root: Path) -> list[Path]:
    """Parquet files below `root` that cannot be read whole."""
    found = []
    for path in root.rglob("*.parquet"):
        try:
            pl.read_parquet(path, hive_partitioning=False)
        except (pl.exceptions.PolarsError, OSError):
            found.append(path)
    return found
