"""A real file system of a few megabytes that can be full: a tmpfs in a mount namespace of its own.

It needs no root where the kernel lets users make namespaces. The processes under test run inside; the
test looks at the same files through /proc.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

# Holds the namespace until its standard input closes, so it cannot outlive the test.
HOLDER = 'mount -t tmpfs -o size="$2" none "$1" && echo mounted && exec cat >/dev/null'


@dataclass(frozen=True)
class SmallDisk:
    """The disk, seen from both sides."""

    pid: int
    mounted: Path
    """Where the processes inside see it."""

    @property
    def seen(self) -> Path:
        """Where the test sees it."""
        return Path(f"/proc/{self.pid}/root{self.mounted}")

    @property
    def launcher(self) -> tuple[str, ...]:
        """A Python interpreter inside."""
        enter = ("nsenter", "--target", str(self.pid), "--user", "--mount", "--preserve-credentials")
        return (*enter, sys.executable)

    def fill(self, *, leave: int = 0) -> None:
        """Take all space but `leave` bytes."""
        with (self.seen / "filler").open("wb", buffering=0) as handle:
            try:
                while handle.write(bytes(65_536)) == 65_536:
                    pass
            except OSError:
                pass
            handle.truncate(max(handle.tell() - leave, 0))

    def free(self) -> None:
        """Give it back."""
        (self.seen / "filler").unlink()


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[SmallDisk]:
    """A disk of `size` (as mount has it) below `folder`; the test is skipped where that cannot be had."""
    mounted = folder / "disk"
    mounted.mkdir()
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", HOLDER, "sh", str(mounted), size]
    try:
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except FileNotFoundError:
        pytest.skip("there is no unshare (util-linux) to make a small disk with")
    with holder:
        assert holder.stdout is not None
        assert holder.stderr is not None
        if holder.stdout.readline() != b"mounted\n":
            pytest.skip(f"no small disk here: {holder.stderr.read().decode().strip()}")
        yield SmallDisk(holder.pid, mounted)
        assert holder.stdin is not None
        holder.stdin.close()
