"""CPU seconds and memory of the processes of one `iot up`, by looking at them from outside."""

import threading
from dataclasses import dataclass, field

import psutil

PERIOD_SECONDS = 0.2
GONE = (psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied)


@dataclass(slots=True)
class Usage:
    """What one process has used until it was last seen."""

    command: str
    created: float
    cpu_seconds: float = 0.0
    pss_bytes: int = 0


@dataclass(slots=True)
class Sampler:
    """Follows a process and all below it in a thread of its own, until `stop`."""

    root: int
    seen: dict[int, Usage] = field(default_factory=dict)
    peak_pss_bytes: int = 0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> "Sampler":
        """Begin to look."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Stop looking; what was seen stays."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def run_workers(self) -> list[Usage]:
        """Processes that executed a Dagster run (the code server spawned them), in the order of their starts."""
        workers = [usage for usage in self.seen.values() if "multiprocessing.spawn" in usage.command]
        return sorted(workers, key=lambda usage: usage.created)

    def matching(self, text: str) -> Usage | None:
        """The process whose command line holds `text`."""
        return next((usage for usage in self.seen.values() if text in usage.command), None)

    def _run(self) -> None:
        rounds = 0
        while not self._stopped.wait(PERIOD_SECONDS):
            # Proportional set size counts shared pages once; reading it is slow, so less often.
            self._look(memory=rounds % 25 == 0)
            rounds += 1

    def _look(self, *, memory: bool) -> None:
        try:
            top = psutil.Process(self.root)
            processes = [top, *top.children(recursive=True)]
        except GONE:
            return
        total = 0
        for process in processes:
            try:
                usage = self.seen.get(process.pid)
                if usage is None:
                    usage = self.seen[process.pid] = Usage(" ".join(process.cmdline()), process.create_time())
                times = process.cpu_times()
                usage.cpu_seconds = times.user + times.system + times.children_user + times.children_system
                if memory:
                    usage.pss_bytes = process.memory_full_info().pss
                    total += usage.pss_bytes
            except GONE:
                continue
        if memory:
            self.peak_pss_bytes = max(self.peak_pss_bytes, total)
