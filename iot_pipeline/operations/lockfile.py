"""Reading a lock file of `make lock`: which version of what is pinned for this machine."""

import re
from pathlib import Path

from packaging.markers import Marker

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+))?")


def locked_versions(lock: Path) -> dict[str, str]:
    """Name to version of every package that `lock` pins on this platform; empty when there is no lock."""
    if not lock.exists():
        return {}
    pins = filter(None, map(_PIN.match, lock.read_text(encoding="utf-8").splitlines()))
    return {
        pin["name"]: pin["version"] for pin in pins if not pin["marker"] or Marker(pin["marker"].strip()).evaluate()
    }
