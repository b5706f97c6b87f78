"""Real servers for tests: processes on free loopback ports, waited for, and ended by their own pid."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from iot_pipeline.paths import PROJECT_ROOT

# Nothing takes as long on a quiet machine; a busy one is no reason to fail.
READY_SECONDS = 90.0
STEP_SECONDS = 0.02
MOST_SECONDS = 0.2


def free_loopback_port() -> int:
    """A TCP port that nothing listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether something accepts connections on a loopback port."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=0.5):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = READY_SECONDS) -> None:
    """Wait for a condition of another process; fail the test with `what` when it does not come true.

    What takes long to find out is asked for less often: the asking should not starve those who are waited for.
    """
    deadline = time.monotonic() + seconds
    asked = time.monotonic()
    while not condition():
        now = time.monotonic()
        assert now < deadline, f"waited {seconds} s in vain for: {what}"
        time.sleep(min(max(STEP_SECONDS, now - asked), MOST_SECONDS))
        asked = time.monotonic()


@dataclass
class Child:
    """A process of a test, whose output is printed when it ends although nobody ended it."""

    command: Sequence[str]
    log: Path
    environment: Mapping[str, str] | None = None
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Start it (again)."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=self.environment
            )

    def wait_for(self, condition: Callable[[], bool], what: str, *, seconds: float = READY_SECONDS) -> None:
        """Wait for a condition that this process brings about."""

        def alive_and_met() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                self.print_log()
                raise AssertionError(f"{self.command[0]} ended with {self.process.returncode} before: {what}")
            return condition()

        try:
            wait_until(alive_and_met, what, seconds=seconds)
        except AssertionError:
            self.print_log()
            raise

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to this process alone and wait; its exit code."""
        assert self.process is not None
        if self.process.poll() is not None:
            self.print_log()
            return self.process.returncode
        self.process.send_signal(number)
        try:
            return self.process.wait(READY_SECONDS)
        except subprocess.TimeoutExpired:
            self.print_log()
            self.process.kill()
            return self.process.wait()

    def print_log(self) -> None:
        """Show what it said, for the report of the failing test."""
        print(f"--- {self.log.name} ---\n{self.log.read_text(errors='replace')}", file=sys.stderr)


@dataclass
class RunningBroker:
    """An MQTT broker of a test."""

    name: str
    port: int
    child: Child

    @property
    def url(self) -> str:
        """Its address as the product's setting wants it."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        self.child.start()
        self.child.wait_for(lambda: listens(self.port), f"{self.name} on port {self.port}")

    def stop(self) -> None:
        """End it in good order."""
        self.child.end()

    def kill(self) -> None:
        """End it like a power cut would."""
        self.child.end(signal.SIGKILL)


def collector_process(environment: Mapping[str, str], log: Path, *, launcher: Sequence[str] = ()) -> Child:
    """A collector as a process of its own, not started yet. `launcher` replaces the plain interpreter."""
    command = [*(launcher or (sys.executable, "-m", "iot_pipeline.sources.collector"))]
    # The package need not be installed where the tests run.
    return Child(command, log, {**os.environ, "PYTHONPATH": str(PROJECT_ROOT), **environment})
