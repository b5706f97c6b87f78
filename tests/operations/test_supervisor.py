"""The supervisor with real processes: order, readiness, restarts, and nothing left behind."""

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from circus.arbiter import Arbiter

from iot_pipeline.operations.process_spec import ProcessSpec
from iot_pipeline.operations.runstate import RUN_ID_VARIABLE, ProcessReport, leftovers
from iot_pipeline.operations.supervisor import ProcessFailed, Supervisor


class World:
    """A supervisor with what it told and reported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.told: list[str] = []
        self.reports: dict[str, ProcessReport] = {}
        self.changes = asyncio.Event()
        self.run_id = folder.name + str(os.getpid())
        self.supervisor = Supervisor(
            environment={**os.environ, RUN_ID_VARIABLE: self.run_id},
            folder=folder,
            logs=folder,
            tell=self.told.append,
            changed=self.changed,
        )

    def changed(self, reports: Sequence[ProcessReport]) -> None:
        self.reports = {report.name: report for report in reports}
        self.changes.set()

    async def until(self, name: str, state: str, restarts: int) -> ProcessReport:
        async with asyncio.timeout(20):
            while (report := self.reports[name]).state != state or report.restarts != restarts:
                self.changes.clear()
                await self.changes.wait()
        return report


def python(
    name: str, code: str, folder: Path, *, rank: int = 0, grace: float = 5, children: bool = False
) -> ProcessSpec:
    """A process that is ready once it has written its pid into `<folder>/<name>.ready`."""
    mark = folder / f"{name}.ready"
    prologue = (
        f"import os, pathlib, signal, subprocess, sys, time\npathlib.Path({str(mark)!r}).write_text(str(os.getpid()))\n"
    )
    return ProcessSpec(
        name=name,
        command=(sys.executable, "-c", prologue + code),
        does="waits",
        ready=lambda pid: mark.exists() and mark.read_text() == str(pid),
        ready_seconds=10,
        stop_rank=rank,
        grace_seconds=grace,
        has_children=children,
    )


def ignored_signals(pid: int) -> set[int]:
    mask = int(Path(f"/proc/{pid}/status").read_text().split("SigIgn:")[1].split()[0], 16)
    return {number for number in range(1, 65) if mask & (1 << (number - 1))}


WAIT = "signal.pause()"


def test_starts_restarts_and_stops(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        await world.supervisor.start(python("steady", WAIT, tmp_path))
        first = world.reports["steady"]
        assert first.state == "running"
        assert first.pid is not None

        os.kill(first.pid, signal.SIGKILL)
        again = await world.until("steady", "running", restarts=1)
        assert again.pid not in (None, first.pid)
        assert again.last_exit == -signal.SIGKILL
        assert any("was ended by SIGKILL" in line for line in world.told)

        await world.supervisor.stop()
        assert world.supervisor.failures == 1
        assert world.reports["steady"].state == "stopped"
        assert leftovers(world.run_id) == []

    asyncio.run(scenario())


def test_an_end_that_circus_forgets_is_told_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Circus reaps the dead and then counts the living: who dies in between is dropped without a word."""
    monkeypatch.setattr(Arbiter, "reap_processes", lambda _: None)

    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        await world.supervisor.start(python("steady", WAIT, tmp_path))
        first = world.reports["steady"].pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        again = await world.until("steady", "running", restarts=1)
        assert (again.last_exit, world.supervisor.failures) == (-signal.SIGKILL, 1)
        with pytest.raises(ProcessFailed, match="refused to start"):
            await world.supervisor.start(
                replace(python("never", "sys.exit(2)", tmp_path), gives_up_with=2, ready=never)
            )
        await world.supervisor.stop()
        assert leftovers(world.run_id) == []

    asyncio.run(scenario())


def test_who_gives_up_is_not_started_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        quitter = replace(python("quitter", "signal.pause()", tmp_path), gives_up_with=-signal.SIGUSR1)
        await world.supervisor.start(quitter)
        pid = world.reports["quitter"].pid
        assert pid is not None
        os.kill(pid, signal.SIGUSR1)
        gone = await world.until("quitter", "stopped", restarts=0)
        assert (gone.pid, gone.last_exit) == (None, -signal.SIGUSR1)
        assert "quitter gave up and is not started again" in world.told[-1]
        with pytest.raises(ProcessFailed, match="refused to start"):
            await world.supervisor.start(
                replace(python("never", "sys.exit(2)", tmp_path), gives_up_with=2, ready=never)
            )
        await world.supervisor.stop()

    asyncio.run(scenario())


def never(_pid: int) -> bool:
    return False


def test_children_of_a_process_end_with_it_and_stubborn_ones_are_killed(tmp_path: Path) -> None:
    stubborn = (
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "deaf = 'import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()'\n"
        "subprocess.Popen([sys.executable, '-c', deaf])\n"
        "signal.pause(); signal.pause(); signal.pause()"
    )

    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        await world.supervisor.start(python("stubborn", stubborn, tmp_path, grace=0.5, children=True))
        assert len(leftovers(world.run_id)) >= 2
        await world.supervisor.stop()
        assert leftovers(world.run_id) == []
        assert any("was killed" in line for line in world.told)

    asyncio.run(scenario())


def test_stops_by_rank(tmp_path: Path) -> None:
    log = tmp_path / "order"
    tell = (
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(log)!r}, 'a').write(sys.argv[0] + NAME), sys.exit()))\n"
    )

    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        for name, rank in (("broker", 2), ("collector", 1), ("simulator", 0)):
            code = f"NAME={name + ' '!r}\n" + tell.replace("sys.argv[0] + ", "") + WAIT
            await world.supervisor.start(python(name, code, tmp_path, rank=rank))
        await world.supervisor.stop()

    asyncio.run(scenario())
    assert log.read_text().split() == ["simulator", "collector", "broker"]


def test_one_that_dies_again_and_again_is_told_with_its_last_words(tmp_path: Path) -> None:
    spec = ProcessSpec(
        name="broken",
        command=(sys.executable, "-c", "import sys; sys.exit('no such table: moon')"),
        does="nothing",
        ready=lambda _pid: False,
        ready_seconds=20,
        stop_rank=0,
        grace_seconds=1,
    )

    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        with pytest.raises(ProcessFailed, match="died 3 times: It last said: no such table: moon"):
            await world.supervisor.start(spec)
        await world.supervisor.stop()
        assert leftovers(world.run_id) == []

    asyncio.run(scenario())


def test_an_inherited_ignored_interrupt_is_not_passed_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        await world.supervisor.start(python("child", WAIT, tmp_path))
        pid = world.reports["child"].pid
        assert pid is not None
        assert signal.SIGINT not in ignored_signals(pid)
        await world.supervisor.stop()

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        asyncio.run(scenario())
    finally:
        signal.signal(signal.SIGINT, before)


def test_what_a_dead_process_started_lives_until_the_end(tmp_path: Path) -> None:
    """A run goes on while its code server is started again; the guard goes when nothing is left to guard."""
    started = tmp_path / "grandchild.pid"
    code = (
        f"if not os.path.exists({str(started)!r}):\n"
        "    child = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"
        f"    pathlib.Path({str(started)!r}).write_text(str(child.pid))\n"
        "signal.pause()"
    )

    async def scenario() -> None:
        world = World(tmp_path)
        await world.supervisor.open()
        await world.supervisor.start(python("parent", code, tmp_path, children=True))
        while not started.exists() or not started.read_text():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        grandchild = int(started.read_text())
        pid = world.reports["parent"].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await world.until("parent", "running", restarts=1)
        assert grandchild in {process.pid for process in leftovers(world.run_id)}
        await world.supervisor.stop()
        assert leftovers(world.run_id) == []

    asyncio.run(scenario())
