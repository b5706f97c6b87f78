"""Become another program that cannot outlive `iot up`. Standard library only; starts in milliseconds.

    python -IS exec_child.py [--group] SUPERVISOR_PID COMMAND [ARGUMENT ...]

Two traps are closed before the program starts. A shell that starts something in the background
lets it ignore SIGINT, children inherit that, and some programs copy it to SIGTERM: so every
signal is set back to its default. And a supervisor that is killed outright can tell nobody: so
the kernel kills this process with it. That reaches the program itself only; `--group` leaves a
guard behind which then kills what the program has started, too (it shares the process group).
"""

import ctypes
import os
import select
import signal
import sys

PR_SET_PDEATHSIG = 1
LOOK_SECONDS = 5


def default_signals() -> None:
    """Undo what the starting shell or Python did to signal handling."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_DFL)
        except (OSError, ValueError):  # real-time signals that the C library keeps for itself
            continue
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def die_with(supervisor: int) -> None:
    """Ask the kernel to kill this process when its parent, `supervisor`, is gone."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.stderr.write(f"prctl: {os.strerror(ctypes.get_errno())}; this process may outlive `iot up`\n")
    if os.getppid() != supervisor:  # it died in between: no signal will come
        os._exit(1)


def guard_group(supervisor: int) -> None:
    """Fork a guard that kills this process group once `supervisor` is gone."""
    program = os.getpid()
    handles = [os.pidfd_open(supervisor), os.pidfd_open(program)]
    if os.fork() != 0:
        for handle in handles:
            os.close(handle)
        return
    # It holds no pipe of the program, or readers of its log would wait for the guard, too.
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ended = select.select(handles, [], [])[0]
    # What the program has started may go on without it, but not without the supervisor.
    while handles[0] not in ended and others_in_group():
        ended = select.select(handles[:1], [], [], LOOK_SECONDS)[0]
    os.killpg(0, signal.SIGKILL)


def others_in_group() -> bool:
    """Whether a living process besides this one is in this process group."""
    group = os.getpgrp()
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    state, _, process_group = stat.read().rpartition(b")")[2].split()[:3]
            except OSError:  # ended in between
                continue
            if int(process_group) == group and state != b"Z":
                return True
    return False


def main(arguments: list[str]) -> None:
    """Prepare, then replace this process by the command."""
    group = arguments[0] == "--group"
    supervisor, *command = arguments[1:] if group else arguments
    default_signals()
    die_with(int(supervisor))
    if group:
        guard_group(int(supervisor))
    os.execvp(command[0], command)  # noqa: S606  # the point of this program


if __name__ == "__main__":
    main(sys.argv[1:])
