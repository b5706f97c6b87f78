"""Start processes in order, start again what dies, stop all of them: circus does the work.

Which processes these are is `processes.py`; the terminal, the lock and the settings are `up.py`.
Circus runs inside this process on the asyncio loop. Its control endpoints stay in memory
(`inproc://`), so there is no socket that another user could send commands to. What circus does
not have is added here: readiness, a growing pause between restarts, an order of stopping, and a
last sweep over whatever carries the mark of this run.
"""

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

import psutil
from circus.arbiter import Arbiter
from circus.exc import ConflictError
from tornado.ioloop import IOLoop

from iot_pipeline.clock import utc_now
from iot_pipeline.errors import IotError
from iot_pipeline.operations.process_log import LOG_BACKUPS, LOG_BYTES, ProcessLog
from iot_pipeline.operations.process_spec import ProcessSpec, exec_command
from iot_pipeline.operations.runstate import RUN_ID_VARIABLE, ProcessReport, leftovers

CHECK_SECONDS = 0.5
FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
# Who lived this long had recovered: the next pause is a short one again.
HEALTHY_SECONDS = 60.0
# Who dies this often before being ready once will not make it.
DEATHS_WHILE_STARTING = 3


class ProcessFailed(IotError):
    """A process did not become ready."""


class _Supervised:
    """A spec with its circus watcher, its log and what is known of its process."""

    def __init__(self, spec: ProcessSpec, watcher: Any, log: ProcessLog, report: ProcessReport) -> None:
        self.spec, self.watcher, self.log, self.report = spec, watcher, log, report
        self.stopped = asyncio.Event()
        self.child: Any = None
        self.ended = True
        self.started = time.monotonic()
        self.deaths_in_a_row = 0
        self.gave_up = False


class Supervisor:
    """Keeps the processes of one `iot up`. Use it on one running asyncio loop only."""

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        folder: Path,
        logs: Path,
        tell: Callable[[str], None],
        changed: Callable[[Sequence[ProcessReport]], None],
    ) -> None:
        self._environment = dict(environment)
        self._folder = folder
        self._logs = logs
        self._tell = tell
        self._changed = changed
        self._processes: dict[str, _Supervised] = {}
        self._restarts: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._arbiter: Any = None
        self.failures = 0
        """How often a process ended although nobody had asked it to."""

    async def open(self) -> None:
        """Start circus, without processes. It takes over the signals: set handlers after this."""
        _log_circus_to(self._logs / "supervisor.log")
        self._arbiter = Arbiter(
            [], "inproc://iot-up", "inproc://iot-up-events", check_delay=CHECK_SECONDS, loop=IOLoop.current()
        )
        await self._arbiter.start()

    async def start(self, spec: ProcessSpec) -> None:
        """Start a process and return when it is ready.

        Raises:
            ProcessFailed: it was not ready in time, or died again and again; it is left as it is.
        """
        log = ProcessLog(self._logs / f"{spec.name}.log")
        watcher = self._arbiter.add_watcher(
            spec.name,
            shlex.quote(sys.executable),
            args=exec_command(spec, os.getpid())[1:],
            env=self._environment,
            working_dir=str(self._folder),
            stdout_stream={"stream": log},
            stderr_stream={"stream": log},
            graceful_timeout=spec.grace_seconds,
            stop_children=spec.has_children,
            respawn=False,  # circus would do so at once and for ever; see _restart
            hooks={"after_reap": (self._ended, True), "after_stop": (self._stopped, True)},
        )
        report = ProcessReport(name=spec.name, state="starting", log=str(log.path))
        self._processes[spec.name] = process = _Supervised(spec, watcher, log, report)
        await self._spawn(process)
        await self._until_ready(process)

    async def stop(self) -> None:
        """Stop everything in stopping order; SIGKILL for what outlives its grace. Leaves nothing behind."""
        self._stopping = True
        for task in self._restarts:
            task.cancel()
        for rank in sorted({process.spec.stop_rank for process in self._processes.values()}):
            together = [process for process in self._processes.values() if process.spec.stop_rank == rank]
            await self._stop_together([process.watcher for process in together])
            for process in together:
                process.log.close()
                process.report = process.report.model_copy(update={"state": "stopped", "pid": None})
            self._publish()
        psutil.wait_procs(self.kill(), timeout=3)
        if self._arbiter is not None:
            await self._when_idle(self._arbiter.stop)
            await asyncio.sleep(0)  # circus closes its sockets in a callback

    def kill(self) -> list[psutil.Process]:
        """End at once whatever is left, grandchildren too; also for a second Ctrl-C while `stop` waits."""
        left = leftovers(self._environment[RUN_ID_VARIABLE])
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        return left

    async def _stop_together(self, watchers: list[Any]) -> None:
        def chosen(**_: object) -> list[Any]:
            return watchers

        await self._when_idle(lambda: self._arbiter.stop_watchers(watcher_iter_func=chosen))

    async def _spawn(self, process: _Supervised) -> None:
        process.stopped.clear()
        process.child, process.ended = None, False
        await self._when_idle(process.watcher.start)
        process.started = time.monotonic()
        pid, process.child = next(iter(process.watcher.processes.items()), (None, None))
        process.report = process.report.model_copy(update={"state": "starting", "pid": pid, "since": utc_now()})
        self._publish()

    async def _until_ready(self, process: _Supervised) -> None:
        deadline = time.monotonic() + process.spec.ready_seconds
        pause = 0.1
        while time.monotonic() < deadline:
            if process.gave_up:
                raise ProcessFailed(f"{process.spec.name} refused to start: {process.log.where()}")
            if process.deaths_in_a_row >= DEATHS_WHILE_STARTING:
                raise ProcessFailed(f"{process.spec.name} died {process.deaths_in_a_row} times: {process.log.where()}")
            pid = process.report.pid
            if pid is not None and await asyncio.to_thread(process.spec.ready, pid) and process.report.pid == pid:
                process.report = process.report.model_copy(update={"state": "running"})
                self._publish()
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.0)
        raise ProcessFailed(
            f"{process.spec.name} was not ready after {process.spec.ready_seconds:.0f} s: {process.log.where()}"
        )

    def _ended(self, *, watcher: Any, exit_code: int | None, **_: object) -> bool:
        """Circus has reaped a process (a hook: called on the loop)."""
        process = self._processes[watcher.name]
        process.ended = True
        process.report = process.report.model_copy(update={"pid": None, "last_exit": exit_code})
        if self._stopping:
            if exit_code == -signal.SIGKILL:
                self._tell(f"{watcher.name} did not stop within {process.spec.grace_seconds:.0f} s and was killed")
            return True
        self.failures += 1
        if exit_code is not None and exit_code == process.spec.gives_up_with:
            process.gave_up = True
            process.report = process.report.model_copy(update={"state": "stopped"})
            self._publish()
            self._tell(f"{watcher.name} gave up and is not started again: {process.log.where()}")
            return True
        lived = time.monotonic() - process.started
        process.deaths_in_a_row = 1 if lived > HEALTHY_SECONDS else process.deaths_in_a_row + 1
        task = asyncio.get_running_loop().create_task(self._restart(process))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)
        return True

    def _stopped(self, *, watcher: Any, **_: object) -> bool:
        """Circus has done with a watcher whose process is gone (a hook: called on the loop).

        It forgets a process without having reaped it when that dies between two of its steps, reaping the dead and
        counting the living. Its end would never be told, and it would never be started again: so it is given back.
        """
        process = self._processes[watcher.name]
        if not process.ended and process.child is None:  # it died while it was being started
            self._ended(watcher=watcher, exit_code=None)
        elif not process.ended:
            watcher.processes[process.child.pid] = process.child
            watcher.reap_process(process.child.pid)
        process.stopped.set()
        return True

    async def _restart(self, process: _Supervised) -> None:
        pause = min(FIRST_PAUSE_SECONDS * 2 ** (process.deaths_in_a_row - 1), LONGEST_PAUSE_SECONDS)
        was_ready = process.report.state == "running"
        restarts = process.report.restarts + 1
        process.report = process.report.model_copy(update={"state": "restarting", "restarts": restarts})
        self._publish()
        how = _exit_text(process.report.last_exit)
        self._tell(f"{process.spec.name} {how}; starting it again in {pause:.1f} s. {process.log.where()}")
        await process.stopped.wait()  # circus ends the watcher of a dead process a little later
        await asyncio.sleep(pause)
        await self._spawn(process)
        if was_ready:
            # While it is being started for the first time, `start` waits for it.
            with contextlib.suppress(ProcessFailed):
                await self._until_ready(process)
                self._tell(f"{process.spec.name} is back: {process.spec.does}")

    async def _when_idle(self, action: Callable[[], Awaitable[object]]) -> None:
        """Circus does one thing at a time and refuses others: ask until it is free."""
        while True:
            try:
                await action()
            except ConflictError:
                await asyncio.sleep(0.02)
            else:
                return

    def _publish(self) -> None:
        self._changed([process.report for process in self._processes.values()])


def _exit_text(code: int | None) -> str:
    if code is None:
        return "ended"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _log_circus_to(path: Path) -> None:
    """Circus logs to the terminal by default; here it has a file, and only what went wrong."""
    handler = RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=LOG_BACKUPS, delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    handler.addFilter(lambda record: not (record.exc_info and isinstance(record.exc_info[1], ConflictError)))
    for name in ("circus", "tornado"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(logging.WARNING)
        logger.propagate = False
