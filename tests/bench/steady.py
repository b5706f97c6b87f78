"""The five fleets for some minutes: cost of a run, delay of flags, memory, and readers that must not fail."""

import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from iot_pipeline.clock import MINUTE, floor_minute, utc_now
from iot_pipeline.paths import DataPaths, minute_folder
from iot_pipeline.trees import MinuteTree
from tests.bench.figures import Figure, percentile
from tests.bench.instance import PROJECT, Instance, running
from tests.bench.sampling import Sampler

SQL = "select count(*), max(minute) from device_minute"


@dataclass(slots=True)
class Watch:
    """When flags of a minute were first seen, and what readers experienced meanwhile."""

    paths: DataPaths
    first_seen: dict[datetime, datetime] = field(default_factory=dict)
    held_minutes: list[datetime] = field(default_factory=list)
    held_failures: list[str] = field(default_factory=list)
    sql_calls: int = 0
    sql_failures: list[str] = field(default_factory=list)

    def look(self, now: datetime) -> None:
        """Note minutes of the last quarter of an hour whose flags are there."""
        for back in range(1, 16):
            minute = floor_minute(now) - back * MINUTE
            flags = minute_folder(MinuteTree(self.paths.flags, {}).open, minute)
            if minute not in self.first_seen and (flags / "part.parquet").exists():
                self.first_seen[minute] = now

    def ask_held(self, held: duckdb.DuckDBPyConnection) -> None:
        """Ask the connection that was opened read-write at the beginning."""
        try:
            row = held.execute(SQL).fetchone()
        except duckdb.Error as error:
            self.held_failures.append(str(error))
        else:
            if row is not None and row[1] is not None:
                self.held_minutes.append(row[1])

    def ask_iot(self) -> None:
        """Ask through `iot sql`, as a user would in another terminal."""
        command = [sys.executable, "-m", "iot_pipeline.cli", "sql", "--data", str(self.paths.root), SQL]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        self.sql_calls += 1
        if done.returncode:
            self.sql_failures.append(done.stderr)


def steady(folder: Path, minutes: int) -> list[Figure]:
    """Run the demo for `minutes` after the first flags and measure."""
    data = folder / "steady"
    began = time.monotonic()
    with running(data) as instance:
        sampler = Sampler(instance.pid).start()
        watch = Watch(DataPaths(data))
        while not watch.first_seen:
            watch.look(utc_now())
            time.sleep(0.5)
        to_first_scored = time.monotonic() - began
        held = duckdb.connect(str(watch.paths.warehouse))
        _follow(watch, held, minutes)
        held.close()
        sampler.stop()
        return [
            Figure("command to first minute scored", to_first_scored, "s", 180),
            *_runs(instance, sampler),
            *_delay(watch),
            *_readers(watch, minutes),
            Figure("memory of all processes, peak PSS", sampler.peak_pss_bytes / 1e9, "GB", 2.5),
        ]


def idle_collector(folder: Path, seconds: float = 60.0) -> list[Figure]:
    """The collector with a broker and nothing to do."""
    data = folder / "idle"
    with running(data, "--no-simulator") as instance:
        sampler = Sampler(instance.pid).start()
        time.sleep(5)
        before = sampler.matching("iot_pipeline.sources.collector --source mqtt")
        used = before.cpu_seconds if before else float("nan")
        time.sleep(seconds)
        sampler.stop()
        after = sampler.matching("iot_pipeline.sources.collector --source mqtt")
        if after is None:
            raise RuntimeError("no collector process was seen")
        return [
            Figure("idle collector, CPU", (after.cpu_seconds - used) / seconds * 100, "% of a core", 3),
            Figure("idle collector, memory (PSS)", after.pss_bytes / 1e6, "MB", 150),
        ]


def _follow(watch: Watch, held: duckdb.DuckDBPyConnection, minutes: int) -> None:
    until = utc_now() + timedelta(minutes=minutes)
    next_question = utc_now()
    while (now := utc_now()) < until:
        watch.look(now)
        if now >= next_question:
            watch.ask_held(held)
            watch.ask_iot()
            next_question = now + timedelta(seconds=30)
        time.sleep(0.5)


def _runs(instance: Instance, sampler: Sampler) -> list[Figure]:
    runs = instance.runs()
    chain = [run for run in runs if run.job == "minute_chain" and run.status == "SUCCESS"]
    # The first runs work off what landed during the boot; steady state is what comes after them.
    wall = [run.ended - run.started for run in chain[:-2] if run.ended and run.started]
    # Each run has a process of its own; both started in the same order.
    started = sorted((run for run in runs if run.started), key=lambda run: run.started or 0.0)
    pairs = list(zip(started, sampler.run_workers(), strict=False))
    cpu = [usage.cpu_seconds for run, usage in pairs if run.job == "minute_chain"][2:]
    failed = sum(run.status in {"FAILURE", "CANCELED"} for run in runs)
    return [
        Figure("run of the minute chain, wall p50", percentile(wall, 0.5), "s", 10, f"{len(wall)} runs"),
        Figure("run of the minute chain, wall p95", percentile(wall, 0.95), "s", 10),
        Figure("run of the minute chain, CPU p50", percentile(cpu, 0.5), "s", 10, f"{len(cpu)} whole processes"),
        Figure("run of the minute chain, CPU p95", percentile(cpu, 0.95), "s", 10),
        Figure("failed runs", failed, "", 0, f"of {len(runs)}"),
    ]


def _delay(watch: Watch) -> list[Figure]:
    # Minutes that were there at the first look were built during the boot.
    delays = sorted((seen - minute - MINUTE).total_seconds() for minute, seen in watch.first_seen.items())[:-1]
    return [
        Figure("minute closed to flags visible, p50", percentile(delays, 0.5), "s", 60, f"{len(delays)} minutes"),
        Figure("minute closed to flags visible, p95", percentile(delays, 0.95), "s", 60),
    ]


def _readers(watch: Watch, minutes: int) -> list[Figure]:
    seen = len(set(watch.held_minutes))
    return [
        Figure("held read-write connection, failures", len(watch.held_failures), "", 0),
        Figure("held read-write connection, minutes it did not see", max(minutes - 1 - seen, 0), "", 0, f"saw {seen}"),
        Figure("iot sql, failures", len(watch.sql_failures), "", 0, f"of {watch.sql_calls} calls"),
    ]
