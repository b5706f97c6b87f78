"""Is the machine fit: a folder that keeps what is written, room for it, a clock that is right?"""

import os
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from iot_pipeline.clock import utc_now
from iot_pipeline.landing.heartbeat import read_heartbeats
from iot_pipeline.operations.doctor.finding import Finding, Verdict, grade
from iot_pipeline.paths import PROJECT_ROOT
from iot_pipeline.settings import Settings

DISK_FAIL_BYTES, DISK_WARN_BYTES = 1_000_000_000, 10_000_000_000
INODES_FAIL, INODES_WARN = 10_000, 200_000
# Each batch waits for three of these before it is acknowledged.
FSYNC_WARN_SECONDS, FSYNC_FAIL_SECONDS = 0.2, 2.0
# This was written after it; a clock before it is wrong.
EARLIEST_SANE = datetime(2026, 1, 1, tzinfo=UTC)
LATEST_SANE = datetime(2100, 1, 1, tzinfo=UTC)
WATCHED_SECONDS, JUMP_SECONDS = 0.2, 0.05


def check_folder(settings: Settings) -> Iterator[Finding]:
    """The data folder can be written to, and how long that takes to be durable."""
    root = settings.paths.root
    try:
        root.mkdir(parents=True, exist_ok=True)
        slowest = max(_fsync_seconds(root) for _ in range(5))
    except OSError as error:
        yield Finding(
            "folder", Verdict.fail, f"{root}: {error.strerror or error}", "give write permission, or set IOT_DATA"
        )
        return
    seen = f"{root} writable, fsync {slowest * 1000:.0f} ms"
    if slowest < FSYNC_WARN_SECONDS:
        yield Finding("folder", Verdict.ok, seen)
    else:
        verdict = Verdict.fail if slowest > FSYNC_FAIL_SECONDS else Verdict.warn
        yield Finding("folder", verdict, seen, "each batch waits for this: use a local disk, not a network folder")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """There is room for files and for their names."""
    stat = os.statvfs(settings.paths.root if settings.paths.root.exists() else PROJECT_ROOT)
    free = stat.f_bavail * stat.f_frsize
    yield _room("disk", grade(free, fail=DISK_FAIL_BYTES, warn=DISK_WARN_BYTES), f"{free / 1e9:.1f} GB free")
    if stat.f_files:  # some file systems have no fixed number
        yield _room("inodes", grade(stat.f_favail, fail=INODES_FAIL, warn=INODES_WARN), f"{stat.f_favail:,} free")


def check_clock(settings: Settings) -> Iterator[Finding]:
    """The clock is sane and steady: minutes are made of it."""
    now = utc_now()
    if not EARLIEST_SANE < now < LATEST_SANE:
        yield Finding("clock", Verdict.fail, f"{now:%Y-%m-%d %H:%M:%S} UTC", "set the clock (timedatectl, chrony)")
        return
    wall, steady = time.time(), time.monotonic()
    time.sleep(WATCHED_SECONDS)
    drift = abs((time.time() - wall) - (time.monotonic() - steady))
    ahead = [beat for beat in read_heartbeats(settings.paths) if beat.last_received_at and beat.last_received_at > now]
    if ahead:
        yield Finding(
            "clock",
            Verdict.fail,
            f"{ahead[0].collector} received messages in the future",
            "the clock was set back: wait until it has passed, or repair those minutes",
        )
    elif drift > JUMP_SECONDS:
        yield Finding(
            "clock",
            Verdict.warn,
            f"jumped by {drift:.2f} s while watched",
            "let chrony or ntpd slew it instead of setting it",
        )
    else:
        yield Finding("clock", Verdict.ok, f"{now:%Y-%m-%d %H:%M:%S} UTC, steady")


def _room(check: str, verdict: Verdict, seen: str) -> Finding:
    return Finding(check, verdict, seen, "" if verdict is Verdict.ok else "make room, or set IOT_DATA to another disk")


def _fsync_seconds(folder: Path) -> float:
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".probe-", suffix=".tmp") as handle:
        handle.write(b"x" * 100_000)
        handle.flush()
        began = time.perf_counter()
        os.fsync(handle.fileno())
        return time.perf_counter() - began
