"""One process of `iot up`, told without knowing which: how to start it, and when it is ready.

The processes that there are stand in `processes.py`; `supervisor.py` keeps them alive.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from iot_pipeline.operations.readiness import Ready


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """One process: how to start it, how to know that it works, how to end it."""

    name: str
    command: tuple[str, ...]
    does: str
    """What it does once it is ready; completes the sentence 'collector ...'."""
    ready: Ready
    ready_seconds: float = 60
    """After this long without being ready, starting has failed."""
    stop_rank: int
    """Lower ranks stop first; the same rank stops together."""
    grace_seconds: float
    """From SIGTERM to SIGKILL."""
    gives_up_with: int | None = None
    """Exit code after which starting it again is of no use: a person has to change something first."""
    has_children: bool = False
    """It starts processes of its own, which have to end with it."""


def exec_command(spec: ProcessSpec, supervisor_pid: int) -> list[str]:
    """The command that starts `spec` so that it cannot outlive `supervisor_pid`."""
    wrapper = Path(__file__).with_name("exec_child.py")
    group = ["--group"] if spec.has_children else []
    # -I and -S: no site-packages, no user site; the wrapper starts in 15 ms.
    return [sys.executable, "-IS", str(wrapper), *group, str(supervisor_pid), *spec.command]
